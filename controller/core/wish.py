"""What plan or fallback would like, before the envelope clips it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interfaces.domain.units import Ints

RANKS: Final[int] = 4
"""Urgency classes inside a tier: no slack, less than 1 h, less than 4 h, more."""


@dataclass(frozen=True, slots=True)
class Wish:
    """``want_ma`` (N,) upper wish per conductor (negative: discharge or feed in), ``weight`` (N,) share when short,
    ``rank`` (N,) urgency class 0..3 inside a tier (lower first), ``reason`` (N,) why the wish is not higher.
    """

    want_ma: Ints
    weight: Ints
    rank: Ints
    reason: Ints
