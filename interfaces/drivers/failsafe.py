"""What a device does when it no longer hears from us: what we want of it, and what its registers prove. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.readings import FailsafeStatus, FailsafeVerdict
from interfaces.drivers.registers import Value, exact
from interfaces.drivers.roles import UNIT_FACTORS, holds

CURRENT_TOLERANCE_A: Final = 0.05
"""Rounding of devices that hold float currents."""


@dataclass(frozen=True, slots=True)
class FailsafeWish:
    """The installer's values: current per conductor when we are silent, and after how long."""

    current_a: float
    timeout_s: float


def judge_failsafe(
    profile: Profile, wish: FailsafeWish | None, current_a: float | None, timeout_s: float | None, at_s: float
) -> FailsafeStatus:
    """The verdict on what was read: proven at least as safe as wished, not provable, or proven less safe."""
    return FailsafeStatus(_verdict(profile, wish, current_a, timeout_s), current_a, timeout_s, at_s)


def _verdict(
    profile: Profile, wish: FailsafeWish | None, current_a: float | None, timeout_s: float | None
) -> FailsafeVerdict:
    remaining = profile.failsafe.timeout_kind == "remaining"
    if wish is None:
        return "unverified"
    if current_a is not None and current_a > wish.current_a + CURRENT_TOLERANCE_A:
        return "unsafe"
    if timeout_s is not None and (timeout_s > wish.timeout_s or (timeout_s == 0 and not remaining)):
        return "unsafe"
    # A count-down that stands at 0 says nothing about the time it starts from.
    proven = current_a is not None and timeout_s is not None and timeout_s > 0
    return "verified" if proven else "unverified"


def as_read(
    profile: Profile, values: Mapping[str, Value | None], longest_remaining_s: float
) -> tuple[float | None, float | None]:
    """Current (A) and time-out (s) as the device's registers say them, None for what they do not prove.

    A watchdog that is switched off proves nothing. One that counts down proves the longest seen since connecting.
    """
    failsafe = profile.failsafe
    if not all(holds(test, values) for test in failsafe.active_when):
        return None, None
    current = _in_unit(profile, values, failsafe.current_read)
    timeout_s = _in_unit(profile, values, failsafe.timeout_read)
    if timeout_s is not None and failsafe.timeout_kind == "remaining":
        timeout_s = max(timeout_s, longest_remaining_s)
    return None if current is None else current / failsafe.current_factor, timeout_s


def _in_unit(profile: Profile, values: Mapping[str, Value | None], name: str | None) -> float | None:
    """A register's number in the product's unit (a time-out may come in ms)."""
    value = None if name is None else values.get(name)
    if name is None or value is None or isinstance(value, str):
        return None
    return float(value) * UNIT_FACTORS.get(profile.register(name).unit, ("", 1.0))[1]


def in_register_unit(register: Register, value: Fraction) -> Fraction:
    """A number in the product's unit, for a register that counts in another one."""
    return value / exact(UNIT_FACTORS.get(register.unit, ("", 1.0))[1])


def timeout_to_write_s(profile: Profile, wish: FailsafeWish) -> int:
    """The time-out to set: as wished, within what the device accepts, whole seconds rounded down."""
    low, high = profile.failsafe.timeout_range_s
    return max(low, min(high, int(wish.timeout_s)))
