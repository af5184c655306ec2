"""The envelope: every interval and budget of one scan, each with the reason that binds.

A rule returns a ``Cap`` that contains 0 and only shrinks towards 0; ``meet`` intersects them in any order, so the
envelope is never empty and nothing a later rule says can loosen what an earlier one fixed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.params import NO_LIMIT
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import Ints

_FIRST: Final[tuple[Reason, ...]] = (
    Reason.FIRE,
    Reason.OPERATOR_STOP,
    Reason.OPERATOR_LIMIT,
    Reason.PROTECTION_STOP,
    Reason.PROTECTION_PAUSE,
    Reason.PROTECTION_REDUCE,
)
AUTHORITY: Final[Ints] = np.array(
    [_FIRST.index(Reason(k)) if k in _FIRST else len(_FIRST) + k for k in range(100)], dtype=np.int64
)
"""Who is named when two rules say the same: fire before operator before protection (design 4), then by code."""


@dataclass(frozen=True, slots=True)
class Cap:
    """What one rule allows. ``high_ma`` (N,) >= 0 import side, ``low_ma`` (N,) <= 0 export side, ``budget`` (C, 4).

    ``None`` means the rule says nothing about that part. Raises ``ValueError`` when an interval excludes 0.
    """

    reason: Reason
    high_ma: Ints | None = None
    low_ma: Ints | None = None
    budget: Ints | None = None

    def __post_init__(self) -> None:
        if self.high_ma is not None and (self.high_ma < 0).any():
            raise ValueError(f"{self.reason.name}: an import ceiling below 0 excludes 0")
        if self.low_ma is not None and (self.low_ma > 0).any():
            raise ValueError(f"{self.reason.name}: an export ceiling above 0 excludes 0")
        if self.budget is not None and (self.budget < 0).any():
            raise ValueError(f"{self.reason.name}: a budget below 0 excludes 0")


@dataclass(frozen=True, slots=True)
class Envelope:
    """All caps of a scan met: ``high_ma``/``low_ma`` (N,), ``budget`` (C, 4) mA and mW, and who binds where."""

    high_ma: Ints
    high_reason: Ints
    low_ma: Ints
    low_reason: Ints
    budget: Ints
    budget_reason: Ints


def top(topology: Topology) -> Envelope:
    """The envelope before any rule spoke: nameplate and no budget."""
    n, c = topology.n, topology.c
    return Envelope(
        high_ma=topology.max_ma.copy(),
        high_reason=np.full(n, int(Reason.RATED), dtype=np.int64),
        low_ma=-topology.max_export_ma,
        low_reason=np.full(n, int(Reason.RATED), dtype=np.int64),
        budget=np.full((c, ROWS_PER_CIRCUIT), NO_LIMIT, dtype=np.int64),
        budget_reason=np.full((c, ROWS_PER_CIRCUIT), int(Reason.NONE), dtype=np.int64),
    )


def meet(topology: Topology, caps: Iterable[Cap]) -> Envelope:
    """Intersection of all caps. On a tie the higher authority is named, so that order never matters."""
    env = top(topology)
    high, high_reason = env.high_ma, env.high_reason
    low, low_reason = env.low_ma, env.low_reason
    budget, budget_reason = env.budget, env.budget_reason
    for cap in caps:
        code = int(cap.reason)
        if cap.high_ma is not None:
            tighter = (cap.high_ma < high) | ((cap.high_ma == high) & (AUTHORITY[code] < AUTHORITY[high_reason]))
            high, high_reason = np.minimum(high, cap.high_ma), np.where(tighter, code, high_reason)
        if cap.low_ma is not None:
            tighter = (cap.low_ma > low) | ((cap.low_ma == low) & (AUTHORITY[code] < AUTHORITY[low_reason]))
            low, low_reason = np.maximum(low, cap.low_ma), np.where(tighter, code, low_reason)
        if cap.budget is not None:
            tighter = (cap.budget < budget) | ((cap.budget == budget) & (AUTHORITY[code] < AUTHORITY[budget_reason]))
            budget, budget_reason = np.minimum(budget, cap.budget), np.where(tighter, code, budget_reason)
    return Envelope(high, high_reason, low, low_reason, budget, budget_reason)
