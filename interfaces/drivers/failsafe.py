"""What a device does when it no longer hears from us: what we want of it, and what its registers prove. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import FailsafeStatus, FailsafeVerdict

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


def timeout_to_write_s(profile: Profile, wish: FailsafeWish) -> int:
    """The time-out to set: as wished, within what the device accepts, whole seconds rounded down."""
    low, high = profile.failsafe.timeout_range_s
    return max(low, min(high, int(wish.timeout_s)))
