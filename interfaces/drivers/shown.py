"""The names people see: registers by their name, or by the label several of them share. Pure.

A gateway shows the same path for several services and, of some values, twice: in 16 bits and, on newer firmware, in 32.
What answers is shown under the path; of several that answer, the one the profile calls by the plain path comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interfaces.drivers.profile import Profile
from interfaces.drivers.registers import Value


@dataclass(frozen=True, slots=True)
class Shown:
    """A value in its unit; None where the device says "not available" or does not have the register."""

    value: Value | None
    unit: str


def shown_values(profile: Profile, values: Mapping[str, Value | None]) -> dict[str, Shown]:
    """Values by the name they are shown under; ``values``: decoded registers by name, absent where never read.

    Registers that share a label also stay under their own names.
    """
    found = {one.name: Shown(values.get(one.name), one.unit) for one in profile.registers if one.readable}
    for register in profile.registers:
        if not register.label or not register.readable:
            continue
        known = found.get(register.label)
        if known is None or known.value is None:
            found[register.label] = Shown(values.get(register.name), register.unit)
    return found
