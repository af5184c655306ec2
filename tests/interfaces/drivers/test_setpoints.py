"""Wanted values -> registers: rounding, ranges, what is not known yet. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.drivers.device import Device
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile_control import Behaviour, CurrentSetpoint, Write
from interfaces.drivers.setpoints import (
    CannotWrite,
    is_applied,
    phase_writes,
    quantised_ma,
    readback_milli,
    setpoint_writes,
    stop_writes,
)
from interfaces.drivers.sunspec import as_if_found
from interfaces.drivers.writes import WriteBook, due_writes, renewal_s
from tests.interfaces.drivers.far_side import profile_of, spec


@given(
    wanted=st.integers(-100_000, 100_000),
    step=st.sampled_from([1, 100, 1000]),
    low=st.sampled_from([6000, 8000]),
    high=st.integers(8000, 80_000),
)
def test_a_current_is_zero_or_in_range_on_the_step_and_never_above_what_was_wanted(wanted, step, low, high):
    setpoint = CurrentSetpoint((Write("r"),), "r", step_ma=step, min_ma=low, max_ma=high)
    told = quantised_ma(setpoint, wanted)
    assert told == 0 or low <= told <= high
    assert told % step == 0
    assert told <= max(wanted, 0)
    if wanted >= low + step:
        assert told > min(wanted, high) - step


def test_a_percentage_is_not_written_before_its_reference_and_scale_are_known():
    profile = as_if_found(profile_of("sunspec_inverter"))
    known = {"WMax": 10_000, "WMax_SF": 0, "WMaxLimPct_SF": -2}
    for missing in ("WMax", "WMaxLimPct_SF"):
        values = {name: value for name, value in known.items() if name != missing}
        refused = setpoint_writes(profile, -5_000_000, values, 60)
        assert isinstance(refused, CannotWrite)
        assert missing in refused.reason
    writes = setpoint_writes(profile, -5_000_000, known, 60)
    assert not isinstance(writes, CannotWrite)
    assert [(w.register.name, w.words) for w in writes] == [
        ("WMaxLimPct_RvrtTms", (60,)),
        ("WMaxLimPct", (5000,)),
        ("WMaxLim_Ena", (1,)),
    ]


@pytest.mark.parametrize(("wanted_w", "raw"), [(-20_000, 10_000), (0, 0), (3000, 0), (-1, 1), (-3333, 3333)])
def test_an_export_limit_is_what_may_be_fed_in(wanted_w, raw):
    profile = as_if_found(profile_of("sunspec_inverter"))
    writes = setpoint_writes(profile, wanted_w * 1000, {"WMax": 10_000, "WMax_SF": 0, "WMaxLimPct_SF": -2}, 60)
    assert not isinstance(writes, CannotWrite)
    assert writes[1].words == (raw,)


def test_a_battery_is_never_told_more_than_its_rating():
    profile = as_if_found(profile_of("sunspec_battery"))
    values = {"WChaMax": 5000, "WChaMax_SF": 0, "InOutWRte_SF": 0}
    writes = setpoint_writes(profile, 9_000_000, values, 60)
    assert not isinstance(writes, CannotWrite)
    assert [w.words for w in writes[1:3]] == [(100,), (0xFF9C,)]
    assert readback_milli(profile, {**values, "InWRte": -40}) == -2_000_000


def test_what_a_device_cannot_do_is_said():
    meter = profile_of("cg_em500")
    assert isinstance(setpoint_writes(meter, 0, {}, 60), CannotWrite)
    assert isinstance(stop_writes(profile_of("alfen_eve_ng9xx"), 1), CannotWrite)
    assert isinstance(phase_writes(profile_of("abb_terra_ac"), 3), CannotWrite)
    assert isinstance(phase_writes(profile_of("alfen_eve_ng9xx"), 2), CannotWrite)


def test_a_limit_in_force_confirms_downwards_and_an_echo_both_ways():
    abb, bender = profile_of("abb_terra_ac"), profile_of("bender_cc61x_ecu")
    assert is_applied(abb, 16_000, 10_000, 99)
    assert not is_applied(abb, 6000, 16_000, 99)
    assert not is_applied(bender, 16_000, 10_000, 999)
    assert is_applied(bender, 16_000, 16_000, 999)


def test_flash_is_spared():
    """A make that keeps setpoints in flash is not told the same value again, unless its watchdog wants to hear it."""
    profile = replace(profile_of("bender_cc61x_ecu"), behaviour=Behaviour(memory="flash"))
    assert renewal_s(Device(replace(spec("bender_cc61x_ecu"), profile=profile))) == float("inf")
    slow = replace(profile_of("alfen_eve_ng9xx"), behaviour=Behaviour(memory="flash", write_interval_s=45))
    assert renewal_s(Device(replace(spec("alfen_eve_ng9xx"), profile=slow))) == 45


def test_nothing_is_due_without_a_lease():
    device, book, outbox = Device(spec("bender_cc61x_ecu")), WriteBook(provisioned=True), Outbox()
    outbox.put("x", "setpoint", 10_000, 100.0)
    outbox.put("x", "stop", 1, 100.0)
    assert [due.channel for due in due_writes(device, book, outbox, 100.0)] == ["stop", "setpoint"]
    assert due_writes(device, book, outbox, 100.1) == []
    assert outbox.lease_until_s("x") == 100.0
    assert outbox.lease_until_s("y") == float("-inf")
