"""A charger that ends its session at 0 is paused by a value no car can use, which counts as 0 when it reads back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_check import problems_of
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.registers import decode
from interfaces.drivers.setpoints import CannotWrite, readback_milli, setpoint_writes


def hyc() -> Profile:
    profile = find_profile("alpitronic_hyc")
    assert profile is not None
    return profile


@pytest.mark.parametrize(
    ("wanted_ma", "watts", "read_ma"),
    [(0, 1546, 0), (5_999, 1546, 0), (6_000, 3726, 6_000), (160_000, 99_360, 160_000), (-1, 1546, 0)],
)
def test_what_is_written_and_what_it_reads_back_as(wanted_ma, watts, read_ma):
    writes = setpoint_writes(hyc(), wanted_ma, {}, 60.0)
    assert not isinstance(writes, CannotWrite)
    (write,) = writes
    assert write.words == (watts >> 16, watts & 0xFFFF)
    back = decode(write.register, write.words, hyc().word_order)
    found_ma = readback_milli(hyc(), {"max_power_ac": back})
    assert found_ma is not None
    assert abs(found_ma - read_ma) <= 2
    assert found_ma <= wanted_ma or read_ma == 0


def test_a_zero_written_by_somebody_else_reads_as_zero():
    assert readback_milli(hyc(), {"max_power_ac": 0.0}) == 0


def test_the_ordered_current_is_not_exceeded_at_the_lowest_voltage():
    """EN 50160: 230 V - 10 %. The register holds watts at the AC side of three phases."""
    (write,) = setpoint_writes(hyc(), 100_000, {}, 60.0)  # type: ignore[misc]
    watts = (write.words[0] << 16) + write.words[1]
    assert watts / (3 * 207.0) <= 100.0
    assert watts / (3 * 207.0) > 99.8


def test_a_pause_value_a_car_could_use_is_refused():
    setpoint = hyc().setpoint
    assert setpoint is not None
    broken = replace(hyc(), setpoint=replace(setpoint, pause_ma=6000))
    assert problems_of(broken) == ("setpoint.pause_ma: must be below min_ma",)
