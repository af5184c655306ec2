"""Every message survives the wire, and what is no message of the contract is refused with its reason."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.codec_json import MAX_JSON_BYTES
from interfaces.domain.wire import TYPES, Birth, Event, PlanAck, TargetsMessage, read, targets_in, write
from interfaces.domain.wire_commands import LEAST_ROLE, ORDERS, Command, Pause, RoleName, may
from interfaces.domain.wire_examples import ORDERS_GIVEN, TARGETS, command, examples, head
from interfaces.domain.wire_head import MAJOR, WireCode, WireRefusal
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import Kind

SAMPLES = examples()


def refused(payload: str | bytes, cls: type) -> WireRefusal:
    found = read(payload, cls)
    assert isinstance(found, WireRefusal), found
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_is_read_as_it_was_written(name):
    message = SAMPLES[name]
    assert read(write(message), type(message)) == message


def test_there_is_a_sample_of_every_kind_and_order():
    assert {message.kind for message in SAMPLES.values()} == {str(kind) for kind in TYPES}
    assert set(TYPES) == set(Kind) - {Kind.PLAN}
    assert {order.do for order in ORDERS_GIVEN} == set(ORDERS) == set(LEAST_ROLE)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_message_says_its_kind_and_its_schema(name):
    plain = json.loads(write(SAMPLES[name]))
    assert plain["kind"] == SAMPLES[name].kind
    assert plain.get("head", plain)["schema"] == "1.0"
    if "head" in plain:
        assert plain["head"].keys() >= {"session", "seq", "at_epoch_s"}


@pytest.mark.parametrize("name", SAMPLES)
def test_row_79_a_message_of_another_major_version_is_refused_and_both_sides_go_on_alone(name):
    payload = write(SAMPLES[name]).replace(b'"schema":"1.0"', b'"schema":"%d.0"' % (MAJOR + 1))
    said = refused(payload, type(SAMPLES[name]))
    assert said.code is WireCode.UNKNOWN_MAJOR
    assert said.local
    assert "2.0" in said.reason


def test_row_79_what_a_newer_minor_version_adds_is_passed_over_where_it_only_informs():
    payload = write(SAMPLES["event"]).replace(b'"schema":"1.0"', b'"schema":"1.7"').replace(b'"id"', b'"new":[1],"id"')
    found = read(payload, Event)
    assert isinstance(found, Event)
    assert replace(found, head=replace(found.head, schema="1.0")) == SAMPLES["event"]


@pytest.mark.parametrize("name", ["targets", "command pause"])
def test_row_79_an_order_with_a_key_that_is_not_understood_is_refused(name):
    payload = write(SAMPLES[name]).replace(b'"schema":"1.0"', b'"schema":"1.7","only_if":"dark"')
    assert refused(payload, type(SAMPLES[name])).code is WireCode.MALFORMED


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "malformed"),
        (b'"text"', "malformed"),
        (b"{}", "malformed"),
        (b'{"head":{}}', "malformed"),
        (b'{"head":{"schema":1}}', "malformed"),
        (b'{"head":{"schema":"1"}}', "malformed"),
        (b'{"head":{"schema":"99999.0"}}', "malformed"),
        (b'{"head":{"schema":"1.0"},"head":{}}', "malformed"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "malformed"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "malformed"),
        (b" " * (MAX_JSON_BYTES + 1), "too_large"),
        (b'{"head":{"schema":"0.9"}}', "unknown_major"),
        (b'{"head":{"schema":"1.0","session":NaN}}', "malformed"),
        (b'{"head":{"schema":"1.0","session":' + b"9" * 500 + b"}}", "malformed"),
    ],
)
def test_row_15_what_is_no_message_is_refused(payload, code):
    assert refused(payload, Birth).code == code
    assert refused(payload, Live).code == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq":6', b'"seq":-1'),
        (b'"seq":6', b'"seq":6.5'),
        (b'"seq":6', b'"seq":true'),
        (b'"seq":6', b'"seq":"6"'),
        (b'"seq":6', b'"seq":9007199254740993'),
        (b'"at_epoch_s":1793000006.0', b'"at_epoch_s":1e308'),
        (b'"at_epoch_s":1793000006.0', b'"at_epoch_s":-1'),
        (b'"sequence":812', b'"sequence":null'),
        (b'"code":"replayed"', b'"code":"because"'),
        (b'"kind":"plan_ack"', b'"kind":"event"'),
        (b',"kind":"plan_ack"', b""),
        (b'"plan_id":"depot-812"', b'"plan_id":"' + b"x" * 201 + b'"'),
    ],
)
def test_row_15_a_field_out_of_its_range_is_refused(old, new):
    payload = write(SAMPLES["plan_ack"])
    assert old in payload
    assert refused(payload.replace(old, new), PlanAck).code is WireCode.MALFORMED


def test_nan_never_leaves():
    event, live = SAMPLES["event"], SAMPLES["live whole"]
    assert isinstance(event, Event)
    assert isinstance(live, Live)
    assert live.whole is not None
    nan = float("nan")
    with pytest.raises(ValueError, match="finite"):
        write(replace(event, head=replace(head(1), at_epoch_s=nan)))
    with pytest.raises(ValueError, match=r"finite|JSON"):
        write(replace(live, whole=replace(live.whole, operator_limit_w=nan)))
    with pytest.raises(ValueError, match="at most 300"):
        write(replace(event, text="x" * 301))


@pytest.mark.parametrize("do", ORDERS)
def test_an_order_needs_its_role_and_each_role_may_what_lower_ones_may(do):
    order = next(one for one in ORDERS_GIVEN if one.do == do)
    roles: tuple[RoleName, ...] = ("viewer", "driver", "operator", "installer", "admin")
    allowed = [may(role, order) for role in roles]
    assert allowed == sorted(allowed)
    assert not allowed[0]
    assert allowed[-1]
    assert allowed.index(True) == LEAST_ROLE[do]


def test_nothing_can_be_ordered_that_is_not_on_the_list():
    payload = write(command(Pause("place-0")))
    for old, new in (
        (b'"do":"pause"', b'"do":"raise_limit"'),
        (b'"do":"pause"', b'"do":"limit_charger"'),  # without a limit
        (b'"asset":"place-0"', b'"asset":"place-0","limit_a":1000.0'),
        (b'"asset":"place-0"', b'"asset":"../state.db"'),
        (b'"role":"installer"', b'"role":"root"'),
    ):
        assert old in payload
        assert refused(payload.replace(old, new), Command).code is WireCode.MALFORMED


def test_targets_come_back_with_their_prices():
    message = read(write(SAMPLES["targets"]), TargetsMessage)
    assert isinstance(message, TargetsMessage)
    found = targets_in(message)
    assert replace(found, price_eur_per_kwh=TARGETS.price_eur_per_kwh) == TARGETS
    assert np.array_equal(found.price_eur_per_kwh, TARGETS.price_eur_per_kwh)
    assert not found.price_eur_per_kwh.flags.writeable


def test_a_price_in_the_wrong_unit_is_refused():
    payload = write(SAMPLES["targets"]).replace(b"0.21", b"210.0")
    assert "prices_eur_per_kwh" in refused(payload, TargetsMessage).reason


def test_the_sparing_mode_spares():
    live, low = MODES["live"], MODES["low_data"]
    assert low.live_s > live.live_s
    assert low.keepalive_s > live.keepalive_s
    assert low.month_mb < live.month_mb
