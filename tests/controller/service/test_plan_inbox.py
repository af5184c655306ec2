"""Plans and targets from the cloud, judged: each thing that can be wrong has its code and gets nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.service.plan_inbox import (
    Accepted,
    AcceptedTargets,
    Mark,
    Refused,
    Site,
    judge,
    judge_targets,
)
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_text
from interfaces.domain.targets import Target, Targets
from interfaces.domain.wire import AckCode, targets_message, write
from interfaces.drivers.pki import key_id_of
from interfaces.drivers.signing import Signer, Verifier

NOW = 1_795_415_500.0
WEEK_S = 7 * 86_400.0


def signer(seed: int) -> Signer:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
    return Signer(key, key_id_of(key.public_key()))


OURS, NEXT, STRANGER = signer(1), signer(2), signer(3)
VERIFIER = Verifier({OURS.key_id: OURS.key.public_key()})
SITE = Site("depot", "depot-1", "v1", frozenset({"a", "b"}), NOW, clock_trusted=True, mark=Mark(6, "older"))


def plan(**changes: Any) -> Plan:
    start = NOW - NOW % 900
    made = Plan(
        plan_id="p7", site="depot", topology_version="v1", sequence=7, key_id="", issued_epoch_s=NOW - 10.0,
        start_epoch_s=start, step_s=900, valid_until_epoch_s=start + 3600, lease_until_epoch_s=NOW + 900,
        assets=("a", "b"), setpoint_ma=np.full((4, 2), 6000), value_ppm=np.full((4, 2), 200_000),
        planned_import_mw=np.zeros(4, dtype=np.int64), grid_ppm=np.zeros((4, 3), dtype=np.int64),
        calm_import_mw=np.full(4, 10**10),
    )  # fmt: skip
    return replace(made, **changes)


def sent(made: Plan | None = None, by: Signer = OURS) -> bytes:
    return by.sign("plan", plan_text(plan() if made is None else made))


def taken(payload: bytes, **site: Any) -> Accepted:
    found = judge(payload, replace(SITE, **site), VERIFIER)
    assert isinstance(found, Accepted), found
    return found


def refused(payload: bytes, verifier: Verifier = VERIFIER, **site: Any) -> Refused:
    found = judge(payload, replace(SITE, **site), verifier)
    assert isinstance(found, Refused), found
    return found


def with_body(change: Any) -> bytes:
    """A plan whose text was changed before it was signed: nobody but the optimizer itself can do that."""
    return OURS.sign("plan", change(plan_text(plan())))


def test_a_good_plan_is_taken_whole():
    found = taken(sent())
    assert found.plan.sequence == 7
    assert found.plan.key_id == OURS.key_id
    assert found.mark.sequence == 7
    assert not found.again


# -- 11: replayed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", [0, 5, 6])
def test_row_11_a_recorded_plan_played_again_is_refused(sequence, figure):
    found = refused(sent(plan(sequence=sequence)))
    assert (found.code, found.sequence, found.plan_id) == (AckCode.REPLAYED, sequence, "p7")
    figure("answer", found.text)


def test_row_11_the_very_same_plan_may_come_again_after_a_restart_and_no_other_of_its_number():
    first = taken(sent())
    again = taken(sent(), mark=first.mark)
    assert again.again
    assert again.mark == first.mark
    assert refused(sent(plan(plan_id="p7b")), mark=first.mark).code is AckCode.REPLAYED


# -- 12: forged -------------------------------------------------------------------------------------------------------


def test_row_12_a_plan_by_a_key_nobody_knows_is_refused(figure):
    found = refused(sent(by=STRANGER))
    assert found.code is AckCode.UNKNOWN_KEY
    figure("unknown key", found.text.replace(STRANGER.key_id, "KEY"))


def test_row_12_a_plan_signed_by_another_key_under_our_name_is_refused(figure):
    found = refused(sent(by=Signer(STRANGER.key, OURS.key_id)))
    assert found.code is AckCode.BAD_SIGNATURE
    figure("wrong signature", found.text)


def test_row_12_a_plan_without_a_signature_is_refused():
    assert refused(plan_text(plan()).encode()).code is AckCode.MALFORMED
    empty = json.dumps({"key_id": OURS.key_id, "signature": "", "body": plan_text(plan())}).encode()
    assert refused(empty).code is AckCode.BAD_SIGNATURE


def test_row_12_a_plan_changed_on_its_way_is_refused():
    assert refused(sent().replace(b"6000", b"9000")).code is AckCode.BAD_SIGNATURE


def test_row_12_targets_are_no_plan():
    assert refused(OURS.sign("targets", plan_text(plan()))).code is AckCode.BAD_SIGNATURE


def test_row_12_the_plan_of_another_site_is_refused(figure):
    found = refused(sent(plan(site="villa")))
    assert found.code is AckCode.OTHER_SITE
    figure("another site", found.text)


def test_row_12_while_keys_change_both_count_and_then_only_the_new_one():
    both = Verifier({**VERIFIER.keys, NEXT.key_id: NEXT.key.public_key()})
    only = Verifier({NEXT.key_id: NEXT.key.public_key()})
    for by in (OURS, NEXT):
        assert isinstance(judge(sent(by=by), SITE, both), Accepted)
    assert isinstance(judge(sent(by=NEXT), SITE, only), Accepted)
    assert refused(sent(by=OURS), only).code is AckCode.UNKNOWN_KEY


def test_a_plan_for_another_topology_is_refused():
    found = refused(sent(plan(topology_version="v0")))
    assert found.code is AckCode.OTHER_TOPOLOGY
    assert "v0" in found.text


def test_a_plan_for_an_asset_that_is_not_here_is_refused_whole():
    found = refused(sent(plan(assets=("a", "ghost"))))
    assert found.code is AckCode.UNKNOWN_ASSET
    assert "ghost" in found.text


# -- 13, 18: time -----------------------------------------------------------------------------------------------------


def test_row_13_a_plan_that_was_kept_for_weeks_is_refused_at_boot(figure):
    """Retained without an end; the box forgot its mark with everything else."""
    found = refused(sent(), epoch_s=NOW + 3 * WEEK_S, mark=Mark())
    assert found.code is AckCode.EXPIRED
    figure("three weeks later", found.text)


def test_row_13_a_plan_whose_lease_is_over_is_refused_though_its_horizon_is_not():
    assert refused(sent(), epoch_s=NOW + 901).code is AckCode.LEASE_OVER


def test_row_18_a_plan_from_the_future_is_refused(figure):
    found = refused(sent(plan(issued_epoch_s=NOW + 3600)))
    assert found.code is AckCode.FROM_THE_FUTURE
    figure("the cloud's clock an hour ahead", found.text)
    assert isinstance(judge(sent(plan(issued_epoch_s=NOW + 30)), SITE, VERIFIER), Accepted), "clocks differ a little"


def test_row_18_a_plan_that_begins_later_waits():
    payload = sent(plan(start_epoch_s=NOW + 60, valid_until_epoch_s=NOW + 4000))
    assert refused(payload).code is AckCode.NOT_YET_VALID
    assert taken(payload, epoch_s=NOW + 61).plan.sequence == 7


def test_no_plan_is_taken_while_the_clock_is_not_trusted():
    assert refused(sent(), clock_trusted=False).code is AckCode.CLOCK_UNTRUSTED


# -- 15, 16, 21: what is no plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sequence":7', '"sequence":NaN'),
        ('"sequence":7', '"sequence":1e308'),
        ('"sequence":7', '"sequence":7.5'),
        ('"sequence":7', '"sequence":-7'),
        ('"sequence":7', '"sequence":7,"sequence":8'),
        ('"sequence":7', '"sequence":' + "9" * 400),
        ('"sequence":7', '"sequence":' + "9" * 20),
        ('"sequence":7', f'"sequence":{2**53 + 1}'),
        ('"step_s":900', '"step_s":' + "9" * 20),
        ("[6000]", "[" + "9" * 20 + "]"),
        ("[6000]", f"[{-(2**63)}]"),
        (f'"issued_epoch_s":{NOW - 10}', '"issued_epoch_s":' + "9" * 20),
        ('"plan_id":"p7"', '"plan_id":"\\ud800"'),
        ("[6000]", "[NaN]"),
        ("[6000]", "[Infinity]"),
        ("[6000]", "[1e308]"),
        ("[6000]", "[null]"),
        ('"step_s":900', '"step_s":0'),
        (f'"lease_until_epoch_s":{NOW + 900}', f'"lease_until_epoch_s":{NOW + 86_400}'),
        ('"step_s":900', '"step":900'),
        ('"steps":4', '"steps":100000'),
    ],
)
def test_row_15_numbers_that_are_none_and_keys_twice_refuse_the_whole_plan(old, new):
    text = plan_text(plan())
    assert old in text
    found = refused(with_body(lambda body: body.replace(old, new, 1)))
    assert found.code is AckCode.MALFORMED


@given(st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_row_15_no_bytes_whatever_are_a_plan_or_break_anything(payload):
    assert isinstance(judge(payload, SITE, VERIFIER), Refused)
    assert isinstance(judge_targets(payload, SITE, VERIFIER), Refused)


def test_row_16_two_megabytes_are_refused_before_they_are_read(figure):
    found = refused(b'{"key_id":"' + b"x" * 2_000_000)
    assert found.code is AckCode.TOO_LARGE
    figure("2 MB", found.text)


def test_row_16_ten_thousand_levels_are_refused(figure):
    found = refused(b"[" * 10_000 + b"]" * 10_000)
    assert found.code is AckCode.MALFORMED
    deep = with_body(lambda body: body.replace("[6000]", "[" * 200 + "6000" + "]" * 200, 1))
    assert refused(deep).code is AckCode.MALFORMED
    figure("10 000 levels", found.text)


def test_row_21_a_plan_in_the_wrong_unit_is_refused(figure):
    """Amperes of a hundred sites, as when watts are taken for milliwatts."""
    huge = with_body(lambda body: body.replace("[6000]", "[11000000000]", 1))
    found = refused(huge)
    assert found.code is AckCode.MALFORMED
    figure("a setpoint in the wrong unit", found.text)


# -- 20, 24: order ----------------------------------------------------------------------------------------------------


def test_row_20_two_workers_on_one_site_count_once_each(figure):
    """Both number their plans from the store, so one of two plans with one number is the later one everywhere."""
    first, second = plan(plan_id="of one"), plan(plan_id="of the other")
    mark = taken(sent(first)).mark
    found = refused(sent(second), mark=mark)
    assert found.code is AckCode.REPLAYED
    assert taken(sent(replace(second, sequence=8)), mark=mark).plan.plan_id == "of the other"
    figure("the second of one number", found.text)


@given(st.permutations(list(range(1, 9))), st.lists(st.integers(0, 7), max_size=6))
@settings(max_examples=40, deadline=None)
def test_row_24_plans_in_any_order_and_twice_end_at_the_newest(order, twice):
    mark, highest = Mark(), []
    payloads = {number: sent(plan(sequence=number)) for number in order}
    for number in [*order, *(order[k] for k in twice)]:
        found = judge(payloads[number], replace(SITE, mark=mark), VERIFIER)
        if isinstance(found, Accepted):
            mark = found.mark
        highest.append(mark.sequence)
    assert highest == sorted(highest), "it never goes back"
    assert mark.sequence == 8


# -- 79: another version ----------------------------------------------------------------------------------------------


def test_row_79_a_plan_of_an_unknown_major_version_is_refused_as_such(figure):
    found = refused(with_body(lambda body: body.replace('"schema":1', '"schema":2').replace('"steps"', '"rows"')))
    assert found.code is AckCode.UNKNOWN_MAJOR
    figure("schema 2", found.text)


def test_row_79_targets_of_an_unknown_major_version_are_refused_as_such():
    body = write(told()).decode()
    assert '"schema":"1.0"' in body
    found = judge_targets(OURS.sign("targets", body.replace('"schema":"1.0"', '"schema":"2.0"')), SITE, VERIFIER)
    assert isinstance(found, Refused)
    assert found.code is AckCode.UNKNOWN_MAJOR


# -- targets ----------------------------------------------------------------------------------------------------------


def told(sequence: int = 7, site: str = "depot", controller: str = "depot-1", issued: float = NOW) -> Any:
    prices = np.array([0.2, 0.1])
    targets = Targets(sequence, issued, (Target("a", NOW + 3600, 9000),), NOW - NOW % 900, 900, prices)
    return targets_message(targets, site=site, controller=controller)


def targets_of(message: Any, **site: Any) -> AcceptedTargets | Refused:
    return judge_targets(OURS.sign("targets", write(message).decode()), replace(SITE, **site), VERIFIER)


def test_targets_are_taken_as_they_were_sent():
    found = targets_of(told())
    assert isinstance(found, AcceptedTargets)
    assert found.mark.sequence == found.targets.sequence == 7
    assert found.targets.price_eur_per_kwh.tolist() == [0.2, 0.1]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"sequence": 6}, AckCode.REPLAYED),
        ({"site": "villa"}, AckCode.OTHER_SITE),
        ({"controller": "depot-2"}, AckCode.OTHER_SITE),
        ({"issued": NOW + 3600}, AckCode.FROM_THE_FUTURE),
    ],
)
def test_targets_that_are_not_ours_or_not_newer_are_refused(facts, code):
    found = targets_of(told(**facts))
    assert isinstance(found, Refused)
    assert found.code is code


def test_targets_wait_for_no_trusted_clock():
    """They are taken; whether their departures are used is for the scan to say, which looks at the clock each time."""
    assert isinstance(targets_of(told(), clock_trusted=False), AcceptedTargets)
