"""Which readings can be true: ranges per role, and the vote that keeps one flipped bit from becoming a current. Pure.

TCP carries no checksum of ours and field devices do send wrong words. A value outside its range is not used. A current
or power that jumps is not used either until a second reading, taken at once, says the same (two of three: the last
accepted, the odd one, the next).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from interfaces.drivers.profile import ROLE_UNITS
from interfaces.drivers.registers import Value

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "A": (-2000.0, 2000.0),
    "V": (0.0, 500.0),
    "W": (-20e6, 20e6),
    "var": (-20e6, 20e6),
    "VA": (-20e6, 20e6),
    "Hz": (40.0, 70.0),
    "%": (-100.0, 101.0),
    "Wh": (0.0, 1e12),
    "s": (0.0, 1e10),
    "degC": (-60.0, 150.0),
}
"""Lowest and highest believable value per unit: low-voltage sites, phase to neutral or phase to phase."""

JUMPS: Final[Mapping[str, float]] = {
    "current_l1_a": 5.0, "current_l2_a": 5.0, "current_l3_a": 5.0,
    "power_l1_w": 2000.0, "power_l2_w": 2000.0, "power_l3_w": 2000.0, "power_w": 5000.0,
}  # fmt: skip
"""Roles whose jumps need a second reading, and the step that is none yet. A smaller phantom is within any margin."""
JUMP_SHARE: Final = 0.05
"""... or this share of the last value, on large connections."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What the jump filter remembers of one block: the last accepted values and the odd ones that wait for a second."""

    accepted: Mapping[str, float] = field(default_factory=dict)
    candidate: Mapping[str, float] | None = None


def in_range(role: str, value: Value | None) -> bool:
    """Whether a value can be true; text and missing values always can."""
    limits = RANGES.get(ROLE_UNITS[role])
    return limits is None or value is None or isinstance(value, str) or limits[0] <= value <= limits[1]


def voted(vote: Vote, fresh: Mapping[str, float]) -> tuple[Vote, bool]:
    """The next vote, and whether ``fresh`` (jump-checked roles of one reading) may be used now.

    False means: hold what was there, read again at once. The first reading ever needs a second one too.
    """
    if _agree(vote.accepted, fresh, known=bool(vote.accepted)):
        return Vote({**vote.accepted, **fresh}), True
    if vote.candidate is not None and _agree(vote.candidate, fresh, known=True):
        return Vote(dict(fresh)), True
    return Vote(vote.accepted, dict(fresh)), False


def jump_checked(values: Mapping[str, Value | None]) -> dict[str, float]:
    """The roles of a reading that take part in the vote."""
    return {role: float(v) for role, v in values.items() if role in JUMPS and isinstance(v, float | int)}


def _agree(old: Mapping[str, float], new: Mapping[str, float], *, known: bool) -> bool:
    if not new:
        return True
    return known and all(
        abs(value - old[role]) <= max(JUMPS[role], JUMP_SHARE * abs(old[role]))
        for role, value in new.items()
        if role in old
    )
