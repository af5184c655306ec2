"""Values of a device that cannot be used, in sentences: what, and what to look at. Pure.

None of them becomes a number: the last good value stays with its old time, so that it ages and the worst case counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from interfaces.drivers.profile import Profile
from interfaces.drivers.readings import GOOD, NOT_AVAILABLE, OUT_OF_RANGE, PointReading
from interfaces.drivers.replies import Fault, exception_in_words

MOST_NAMED: Final = 4


def doubts(profile: Profile, reading: PointReading, phases: int) -> tuple[str, ...]:
    """What speaks against the values of a point that answers; ``phases`` the site has."""
    return tuple(_doubts(profile, reading, phases)) if reading.connected else ()


def _doubts(profile: Profile, reading: PointReading, phases: int) -> Iterator[str]:
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
