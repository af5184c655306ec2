"""What comes from the cloud: judged once, kept before it is used, handed over again; nothing older is ever taken."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.service.cloud_inbox import CloudInbox, Here
from controller.service.inbox import Inbox as FieldInbox
from controller.service.kept import Kept
from controller.service.plan_inbox import Mark, Site
from interfaces.domain.codec import pack
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_text
from interfaces.domain.targets import Targets
from interfaces.domain.wire import AckCode, PlanAck, TargetsMessage, write
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.signing import Signer
from tests.interfaces.drivers.mosquitto import make_keys

NOW_S = 1_790_000_000.0
STEPS = 96


def plan(sequence: int, **change) -> Plan:
    steps = np.zeros((STEPS, 1), dtype=np.int64)
    line = np.zeros(STEPS, dtype=np.int64)
    made = Plan(
        plan_id=f"p-{sequence}", site="garage", topology_version="v1", sequence=sequence, key_id="",
        issued_epoch_s=NOW_S - 5, start_epoch_s=NOW_S - 60, step_s=900, valid_until_epoch_s=NOW_S + 86_400,
        lease_until_epoch_s=NOW_S + 900, assets=("place-1",), setpoint_ma=steps, value_ppm=steps,
        planned_import_mw=line, grid_ppm=np.zeros((STEPS, 3), dtype=np.int64), calm_import_mw=line,
    )  # fmt: skip
    return replace(made, **change)


def targets(sequence: int, **change) -> TargetsMessage:
    made = TargetsMessage("box-1", "garage", sequence, NOW_S, (), NOW_S, 900, (0.1, 0.2))
    return replace(made, **change)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signer(keys: Path) -> Signer:
    return Signer.of_file(keys / "signing.key")


class Desk:
    """An inbox and what it told the field process; ``again`` is the same box after a restart."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder, self.keys = folder, keys
        self.told: list[Plan | Targets] = []
        self.epoch_s = NOW_S
        self.trusted = True
        self.known = True
        self.follows = True
        self.assets = frozenset({"place-1"})
        self.inbox = CloudInbox(Kept(folder / "state.db"), self.here, self.told.append)

    def here(self) -> Here | None:
        site = Site("garage", "box-1", "v1", self.assets, self.epoch_s, self.trusted, Mark(), self.follows)
        return Here(site, self.keys / "signing.pub") if self.known else None

    def again(self) -> Desk:
        return Desk(self.folder, self.keys)

    async def take(self, payload: bytes) -> list[PlanAck]:
        return acks(await self.inbox.take(Kind.PLAN, payload))


class Unreadable(Kept):
    """A disk that takes what is written and returns nothing for now."""

    def get(self, name: str) -> bytes | None:
        raise OSError(f"{name}: an error of the disk")


def acks(answers) -> list[PlanAck]:
    return [write_through(answer(Head(1, 1, NOW_S))) for _, answer in answers]


def write_through(ack: PlanAck) -> PlanAck:
    assert write(ack), "it is what the contract allows"
    return ack


@pytest.fixture
def desk(tmp_path: Path, keys: Path) -> Desk:
    return Desk(tmp_path, keys)


async def test_a_plan_is_answered_handed_over_and_in_force_after_a_restart(desk, signer):
    payload = signer.sign("plan", plan_text(plan(3)))
    (ack,) = await desk.take(payload)
    assert (ack.code, ack.plan_id, ack.sequence) == (AckCode.ACCEPTED, "p-3", 3)
    assert [one.sequence for one in desk.told] == [3]
    later = desk.again()
    await later.inbox.field_started()
    assert [one.sequence for one in later.told] == [3]


async def test_row_11_a_replayed_plan_is_refused_also_after_a_restart(desk, signer, figure):
    old, new = (signer.sign("plan", plan_text(plan(k))) for k in (3, 4))
    await desk.take(old)
    await desk.take(new)
    (refused,) = await desk.take(old)
    assert refused.code is AckCode.REPLAYED
    later = desk.again()
    (refused,) = await later.take(old)
    assert refused.code is AckCode.REPLAYED
    assert later.told == []
    assert "replay" not in refused.text
    assert "sequence 3 is not above 4" in later.inbox.problems[Kind.PLAN]
    figure("told", later.inbox.problems[Kind.PLAN])
    (taken,) = await later.take(new)
    assert taken.code is AckCode.ACCEPTED, "the retained one comes again at each connection"


async def test_row_12_a_forged_plan_leaves_the_one_in_force_alone(desk, signer, tmp_path):
    await desk.take(signer.sign("plan", plan_text(plan(3))))
    stranger = Signer.of_file(make_keys(tmp_path / "other") / "signing.key")
    (refused,) = await desk.take(stranger.sign("plan", plan_text(plan(9))))
    assert refused.code is AckCode.UNKNOWN_KEY
    (refused,) = await desk.take(signer.sign("targets", plan_text(plan(9))))
    assert refused.code is AckCode.BAD_SIGNATURE, "signed as something else"
    later = desk.again()
    await later.inbox.field_started()
    assert [one.sequence for one in later.told] == [3]


async def test_row_13_a_plan_retained_for_weeks_is_not_used_at_start(desk, signer, figure):
    payload = signer.sign("plan", plan_text(plan(3)))
    await desk.take(payload)
    later = desk.again()
    later.epoch_s = NOW_S + 21 * 86_400
    await later.inbox.field_started()
    (refused,) = await later.take(payload)
    assert refused.code is AckCode.EXPIRED
    assert later.told == []
    figure("told", refused.text)


async def test_row_18_a_plan_that_starts_later_waits_and_then_counts(desk, signer):
    payload = signer.sign("plan", plan_text(plan(3, start_epoch_s=NOW_S + 100)))
    (refused,) = await desk.take(payload)
    assert refused.code is AckCode.NOT_YET_VALID
    assert acks(await desk.inbox.look()) == [], "said once"
    desk.epoch_s += 101
    (taken,) = acks(await desk.inbox.look())
    assert taken.code is AckCode.ACCEPTED
    assert [one.sequence for one in desk.told] == [3]
    assert desk.inbox.problems == {}


async def test_row_66_while_the_clock_is_not_trusted_a_plan_waits(desk, signer):
    desk.trusted = False
    (refused,) = await desk.take(signer.sign("plan", plan_text(plan(3))))
    assert refused.code is AckCode.CLOCK_UNTRUSTED
    assert desk.told == []
    desk.trusted = True
    await desk.inbox.look()
    assert [one.sequence for one in desk.told] == [3]


async def test_a_plan_that_waits_is_pushed_aside_by_no_forged_one_and_no_restart_of_the_field_process(desk, signer):
    await desk.take(signer.sign("plan", plan_text(plan(3))))
    waiting = signer.sign("plan", plan_text(plan(4, start_epoch_s=NOW_S + 100)))
    (refused,) = await desk.take(waiting)
    assert refused.code is AckCode.NOT_YET_VALID
    (refused,) = await desk.take(b"{}")
    assert refused.code is AckCode.MALFORMED
    await desk.inbox.field_started()
    desk.epoch_s += 101
    (taken,) = acks(await desk.inbox.look())
    assert taken.sequence == 4
    assert acks(await desk.inbox.look()) == []


@pytest.mark.parametrize(("assets", "steps"), [(100, 192), (250, 400), (500, 192)])
async def test_a_plan_that_is_accepted_fits_through_to_the_field_process(desk, signer, assets, steps):
    names = tuple(f"place-{k:04d}-{'x' * 40}" for k in range(assets))
    cells, line = np.full((steps, assets), 6000), np.zeros(steps, dtype=np.int64)
    large = plan(
        3, assets=names, setpoint_ma=cells, value_ppm=cells, planned_import_mw=line, calm_import_mw=line,
        grid_ppm=np.zeros((steps, 3), dtype=np.int64),
    )  # fmt: skip
    desk.assets = frozenset(names)
    (taken,) = await desk.take(signer.sign("plan", plan_text(large)))
    assert taken.code is AckCode.ACCEPTED
    assert FieldInbox("garage").take(pack(desk.told[0])) is None


async def test_a_plan_with_more_setpoints_than_fit_is_refused_here(desk, signer):
    found = json.loads(plan_text(plan(3)))
    found["steps"] = 400
    for key in ("setpoint_ma", "value_ppm"):
        found[key] = {f"place-{k}": [[0], [6000]] for k in range(251)}
    (refused,) = await desk.take(signer.sign("plan", json.dumps(found)))
    assert (refused.code, refused.text) == (AckCode.MALFORMED, "more than 100000 setpoints")


async def test_a_site_that_follows_no_plans_says_so_and_that_is_no_problem(desk, signer):
    payload = signer.sign("plan", plan_text(plan(3)))
    desk.follows = False
    (refused,) = await desk.take(payload)
    assert refused.code is AckCode.LOCAL_ONLY
    assert (desk.told, desk.inbox.problems) == ([], {})
    desk.follows = True
    (taken,) = await desk.take(payload)
    assert taken.code is AckCode.ACCEPTED


async def test_before_the_site_is_known_nothing_is_refused(desk, signer):
    desk.known = False
    assert await desk.take(signer.sign("plan", plan_text(plan(3)))) == []
    desk.known = True
    (taken,) = acks(await desk.inbox.look())
    assert taken.code is AckCode.ACCEPTED


async def test_row_14_of_a_backlog_the_newest_counts_whatever_the_order(desk, signer):
    for sequence in (5, 3, 6, 4):
        await desk.take(signer.sign("plan", plan_text(plan(sequence))))
    assert [one.sequence for one in desk.told] == [5, 6]


async def test_row_24_plans_that_are_judged_at_one_time_never_turn_the_number_back(desk, signer):
    payloads = [signer.sign("plan", plan_text(plan(sequence))) for sequence in (9, 3, 8, 4)]
    await asyncio.gather(*(desk.inbox.take(Kind.PLAN, payload) for payload in payloads))
    assert desk.told[-1].sequence == 9
    (refused,) = await desk.again().take(payloads[2])
    assert refused.code is AckCode.REPLAYED


async def test_row_73_a_plan_whose_number_cannot_be_stored_is_not_used(desk, signer, tmp_path):
    desk.inbox.kept = Kept(tmp_path / "nowhere" / "state.db")
    (refused,) = await desk.take(signer.sign("plan", plan_text(plan(3))))
    assert refused.code is AckCode.NOT_STORED
    assert desk.told == []


async def test_while_the_last_number_cannot_be_read_no_plan_is_used(desk, signer):
    old, new = (signer.sign("plan", plan_text(plan(k))) for k in (3, 4))
    await desk.take(new)
    later = desk.again()
    reads = later.inbox.kept
    later.inbox.kept = Unreadable(desk.folder / "state.db")
    await later.inbox.field_started()
    (refused,) = await later.take(old)
    assert refused.code is AckCode.NOT_STORED
    assert later.told == []
    later.inbox.kept = reads
    (refused,) = await later.take(old)
    assert refused.code is AckCode.REPLAYED, "nothing has turned the number back"


async def test_text_that_is_no_unicode_is_refused_in_an_answer_that_can_be_sent(desk):
    twice = rb'{"\ud800":"","\ud800":"","body":""}'
    (refused,) = await desk.take(twice)
    assert refused.code is AckCode.MALFORMED
    (refused,) = await desk.take(rb'{"key_id":"\ud800","signature":"","body":"\ud83d\ude00"}')
    assert refused.code is AckCode.MALFORMED


async def test_targets_survive_a_restart_and_no_older_ones_replace_them(desk, signer):
    await desk.inbox.take(Kind.TARGETS, signer.sign("targets", write(targets(7)).decode()))
    later = desk.again()
    await later.inbox.take(Kind.TARGETS, signer.sign("targets", write(targets(6)).decode()))
    assert later.told == []
    assert "targets" in later.inbox.problems[Kind.TARGETS]
    await later.inbox.field_started()
    assert [one.sequence for one in later.told] == [7]
    assert later.told[0].price_eur_per_kwh.tolist() == [0.1, 0.2]


async def test_targets_for_another_box_are_refused(desk, signer):
    await desk.inbox.take(Kind.TARGETS, signer.sign("targets", write(targets(7, controller="box-2")).decode()))
    assert desk.told == []


@pytest.mark.parametrize("stored", [b"", b"[]\n", b"nonsense", b"[1]\nx"])
async def test_a_damaged_memory_is_as_good_as_none(desk, signer, stored):
    desk.inbox.kept.put(Kind.PLAN, stored)
    await desk.inbox.field_started()
    assert desk.told == []
    (taken,) = await desk.take(signer.sign("plan", plan_text(plan(3))))
    assert taken.code is AckCode.ACCEPTED
