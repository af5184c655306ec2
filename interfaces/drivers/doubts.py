"""Values of a device that cannot be used, and a failsafe nobody can rely on, in sentences. Pure.

No such value becomes a number: the last good value stays with its old time, so that it ages and the worst case counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interfaces.drivers.device import PointSpec
from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import GOOD, NOT_AVAILABLE, OUT_OF_RANGE, PointReading
from interfaces.drivers.replies import Fault, exception_in_words

MOST_NAMED: Final = 4


def doubts(spec: PointSpec, reading: PointReading, phases: int) -> tuple[str, ...]:
    """What speaks against the values of a point that answers, and against its failsafe; ``phases`` the site has."""
    if not reading.connected:
        return ()
    return (*_of_values(spec.profile, reading, phases), *_of_failsafe(spec, reading))


def _of_failsafe(spec: PointSpec, reading: PointReading) -> Iterator[str]:
    """A failsafe that is not what the site file wants, once it was seen to and the device was told something."""
    seen, wish, failsafe = reading.failsafe, spec.failsafe, spec.profile.failsafe
    told_once = spec.managed and reading.setpoint.written_milli is not None
    if wish is None or not told_once or seen.verdict == "verified":
        return
    if None in {failsafe.current_read, failsafe.timeout_read}:
        return  # this make cannot prove it: a standing warning of the site file
    current = "no current" if seen.current_a is None else f"{seen.current_a:g} A"
    timeout = "no time-out" if seen.timeout_s is None else f"{seen.timeout_s:g} s"
    how = "unsafe" if seen.verdict == "unsafe" else "not readable"
    yield (
        f"its failsafe is {how} (read {current}, {timeout}; wanted "
        f"{wish.current_a:g} A after {wish.timeout_s:g} s): it counts at its nameplate when it falls silent; set it on "
        "the device, or allow it to be written"
    )


def _of_values(profile: Profile, reading: PointReading, phases: int) -> Iterator[str]:
    make = f"{profile.vendor} {profile.id}"
    wild = [role for role, sample in reading.roles.items() if sample.quality == OUT_OF_RANGE]
    if wild:
        yield (
            f"{_named(wild)} cannot be true and is not used: wrong profile, word order or scale? "
            f"Compare with the display, then with the profile {profile.id}"
        )
    measured = _measured(profile, phases)
    blank = [role for role in measured if _quality(reading, role) == NOT_AVAILABLE]
    if blank and profile.kind == "meter":
        yield (
            f"{_named(blank)} is not available, the device itself says so (NaN or its word for it): "
            "check the voltage inputs and transformers of that phase, and the profile"
        )
    failed = {_quality(reading, role) for role in measured} - {GOOD, NOT_AVAILABLE, OUT_OF_RANGE, ""}
    for quality in sorted(failed):
        yield f"{_named([r for r in measured if _quality(reading, r) == quality])} cannot be read: {in_words(quality)}"
    if reading.odd_state:
        yield (
            f"shows state {reading.odd_state}, which the map of {make} does not have: it counts as unknown and gets "
            "nothing on its account; wrong profile, or a newer firmware?"
        )


def in_words(problem: str) -> str:
    """A fault as people read it: a code of an exception with its meaning."""
    head, _, code = problem.partition(": code ")
    if head != Fault.EXCEPTION or not code.isdecimal():
        return problem
    return f"{head} {exception_in_words(int(code))}"


def _measured(profile: Profile, phases: int) -> tuple[str, ...]:
    """The roles that protection lives on."""
    currents = tuple(name for n in range(1, phases + 1) if (name := f"current_l{n}_a") in profile.roles)
    return currents or (("power_w",) if "power_w" in profile.roles else ())


def _quality(reading: PointReading, role: str) -> str:
    sample = reading.roles.get(role)
    return "" if sample is None else sample.quality


def _named(roles: list[str]) -> str:
    more = len(roles) - MOST_NAMED
    return ", ".join(roles[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
