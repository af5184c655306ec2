"""Fuses and breakers: when they open. Written from the tables again, knowing nothing of the controller's protection.

gG: mean melting curves of a maker with the 10 % tolerance taken off the current, straight lines in log-log between the
table's points (IEC 60269; below 1.25 In never). MCB: thermal model t = -tau ln(1 - (1.13 In / I)^2) through the
datasheet's point at 2.55 In (IEC 60898-1), magnetic release by curve letter.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.topology import Protection, Topology
from interfaces.domain.units import Bools, Floats

GG_TABLE: Final[dict[int, tuple[tuple[float, float], ...]]] = {
    25: ((1.45, 3834), (1.6, 2095), (1.95, 600), (2.0, 501), (2.46, 120), (2.5, 109), (2.72, 60), (3.02, 30),
         (3.6, 10), (4.05, 5)),
    50: ((1.45, 4000), (1.6, 3356), (2.0, 1014), (2.2, 600), (2.5, 301), (2.95, 120), (3.0, 110), (3.35, 60),
         (3.79, 30), (4.57, 10), (5.18, 5)),
    63: ((1.45, 3707), (1.6, 2234), (2.0, 692), (2.05, 600), (2.5, 208), (2.76, 120), (3.0, 76), (3.13, 60),
         (3.54, 30), (4.29, 10), (4.83, 5)),
    80: ((1.45, 4800), (1.6, 4800), (2.0, 1250), (2.19, 600), (2.5, 250), (2.81, 120), (3.0, 83), (3.19, 60),
         (3.68, 30), (4.69, 10), (5.43, 5)),
    100: ((1.45, 4150), (1.6, 2735), (2.0, 816), (2.1, 600), (2.5, 218), (2.77, 120), (3.0, 76), (3.13, 60),
          (3.56, 30), (4.53, 10), (5.41, 5)),
    125: ((1.45, 2857), (1.6, 1813), (2.0, 647), (2.03, 600), (2.5, 231), (2.88, 120), (3.0, 99), (3.34, 60),
          (3.88, 30), (4.92, 10), (5.75, 5)),
    160: ((1.45, 2115), (1.6, 1409), (1.95, 600), (2.0, 546), (2.5, 204), (2.81, 120), (3.0, 89), (3.26, 60),
          (3.76, 30), (4.7, 10), (5.44, 5)),
    200: ((1.45, 2639), (1.6, 1727), (2.0, 653), (2.04, 600), (2.5, 243), (2.92, 120), (3.0, 107), (3.4, 60),
          (3.95, 30), (5.0, 10), (5.8, 5)),
    250: ((1.45, 4800), (1.6, 4800), (2.0, 1053), (2.15, 600), (2.5, 256), (2.88, 120), (3.0, 99), (3.37, 60),
          (4.05, 30), (5.45, 10), (6.41, 5)),
}  # fmt: skip
"""(multiple of In, seconds). A table entry "> 4800 s" stands as 4800 s: earlier than true is the safe side."""
GG_HOLDS: Final[float] = 1.25
"""Conventional non-fusing current, IEC 60269-1 table 2."""
MCB_HOLDS: Final[float] = 1.13
MAGNETIC: Final[dict[str, float]] = {"B": 5.0, "C": 10.0, "D": 20.0}
MAGNETIC_S: Final[float] = 0.1
STANDARD_HOLD_S: Final[float] = 1.0
"""All that IEC 60898-1 promises at 2.55 In when the device's own curve is unknown."""
COOLING_S: Final[float] = 600.0
_GRID: Final[Floats] = np.linspace(np.log(1.0), np.log(30.0), 512)


def gg_seconds(rated_a: float, multiple: Floats) -> Floats:
    """Melting time in s at multiples of the rating; sizes without a curve take the next smaller one's ratios."""
    sizes = sorted(GG_TABLE)
    size = max((s for s in sizes if s <= rated_a), default=sizes[0])
    x, t = np.log(np.array(GG_TABLE[size], dtype=np.float64)).T
    wanted = np.log(np.maximum(multiple, 1e-9))
    before = t[0] + (wanted - x[0]) * (t[1] - t[0]) / (x[1] - x[0])
    after = t[-1] + (wanted - x[-1]) * (t[-1] - t[-2]) / (x[-1] - x[-2])
    inside = np.interp(wanted, x, t)
    log_s = np.where(wanted < x[0], before, np.where(wanted > x[-1], after, inside))
    return np.where(multiple < GG_HOLDS, np.inf, np.exp(log_s))


def mcb_seconds(holds_s_at_2_55: float, curve: str | None, multiple: Floats) -> Floats:
    """Tripping time in s of a warm breaker at multiples of its rating."""
    tau_s = -holds_s_at_2_55 / np.log1p(-((MCB_HOLDS / 2.55) ** 2))
    share = (MCB_HOLDS / np.maximum(multiple, MCB_HOLDS + 1e-9)) ** 2
    seconds = np.where(multiple <= MCB_HOLDS, np.inf, -tau_s * np.log1p(-share))
    magnetic = MAGNETIC.get(curve or "B", MAGNETIC["B"])
    return np.where(multiple >= magnetic, np.minimum(seconds, MAGNETIC_S), seconds)


def trip_seconds(protection: Protection, multiple: Floats) -> Floats:
    """Time in s after which the device opens at constant multiples of its rating; ``inf`` where it holds."""
    if protection.kind == "gG":
        return gg_seconds(protection.rated_a, multiple)
    if protection.kind == "mcb":
        held = protection.holds_s_at_2_55
        return mcb_seconds(STANDARD_HOLD_S if held is None else held, protection.curve, multiple)
    return np.full(np.shape(multiple), np.inf)


class Breakers:
    """Damage per circuit and phase, 0..1; at 1 the circuit opens and stays open until ``reset``."""

    def __init__(self, topology: Topology) -> None:
        c = topology.c
        guards = [x.protection for x in topology.circuits]
        self._rated_a: Floats = np.array([[np.inf if g is None else g.rated_a] for g in guards], dtype=np.float64)
        # Damage per second over the grid of log multiples, one line per circuit; nothing below the grid's first point.
        self._rate: Floats = np.zeros((c, len(_GRID)))
        for k, guard in enumerate(guards):
            if guard is not None:
                self._rate[k] = 1.0 / trip_seconds(guard, np.exp(_GRID))
        self.damage: Floats = np.zeros((c, 3))
        self.worst: float = 0.0
        self.open: Bools = np.zeros(c, dtype=np.bool_)

    def advance(self, dt_s: float, row_a: Floats) -> None:
        """Accumulate damage from true currents (C, 3) A during ``dt_s``."""
        multiple = np.abs(row_a) / self._rated_a
        if multiple.max(initial=0.0) <= MCB_HOLDS:
            self.damage *= float(np.exp(-dt_s / COOLING_S))
            return
        place = np.log(np.maximum(multiple, 1.0)) / _GRID[-1] * (len(_GRID) - 1)
        left = np.minimum(place.astype(np.int64), len(_GRID) - 2)
        lines = np.arange(len(multiple))[:, None]
        low, high = self._rate[lines, left], self._rate[lines, left + 1]
        rate = low + (np.minimum(place, len(_GRID) - 1) - left) * (high - low)
        cooled = self.damage * float(np.exp(-dt_s / COOLING_S))
        self.damage = np.where(rate > 0.0, self.damage + rate * dt_s, cooled)
        self.worst = max(self.worst, float(self.damage.max(initial=0.0)))
        self.open |= (self.damage >= 1.0).any(axis=1)

    def reset(self, line: int) -> None:
        """Somebody put in a new fuse."""
        self.open[line] = False
        self.damage[line] = 0.0
