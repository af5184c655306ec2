"""What really happened on the wires, judged by the plant and never by the controller's own image (design 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, SECONDS_PER_QUARTER, Bools, Floats

WINDOW_OLD_S: Final[float] = 60.0
WINDOW_NEW_S: Final[float] = 14.0
"""A background that stood as high between 60 s and 14 s ago is no news: the overload is of our own making."""
PROMPT_S: Final[float] = 1.0
"""The 14 s count from a meter's sample; devices polled slower than this are given the rest of their period too."""
EPS_A: Final[float] = 1e-6


@dataclass(frozen=True, slots=True)
class Overloads:
    """Row-seconds above rated x derating over a run (a row is one phase of one circuit).

    ``worst_excess_a``: highest current above it. ``longest_s``: longest unbroken overload of one row,
    ``longest_outside_s``: of those row-seconds alone that a step from outside explains.
    ``worst_self_made_a``: highest excess of a self-made row-second. ``peak_15min_w``: highest quarter-hour import.
    """

    overload_s: float
    self_made_overload_s: float
    relearn_overload_s: float
    worst_excess_a: float
    worst_self_made_a: float
    longest_s: float
    longest_outside_s: float
    peak_15min_w: float


class Judge:
    """Collects overloads. Feed it every step; backgrounds of the last minute are kept in a doubled ring."""

    def __init__(self, topology: Topology, step_s: float) -> None:
        self._limit_a: Floats = topology.rated_ma / MILLI + EPS_A
        self._old = max(1, round(WINDOW_OLD_S / step_s))
        new = np.maximum(1, np.round((WINDOW_NEW_S + _late_s(topology)) / step_s)).astype(np.int64)
        spans = np.maximum(self._old + 1 - new, 1)
        self._spans = [(int(n), spans == n) for n in np.unique(spans)]
        # Slot k and slot k + size hold the same sample, so that any window is one slice.
        self._size = self._old + 1
        self._ring: Floats = np.zeros((2, 2 * self._size, topology.c, 3))
        self._count = 0
        self._since: Floats = np.zeros((topology.c, 3))
        self._since_outside: Floats = np.zeros((topology.c, 3))
        self.over: Bools = np.zeros((topology.c, 3), dtype=np.bool_)
        self._overload_s = self._self_made_s = self._relearn_s = self._longest_s = 0.0
        self._longest_outside_s = 0.0
        self._worst_a = self._worst_self_a = 0.0
        self._quarter = -1
        self._quarter_ws = self._peak_w = 0.0

    def add(self, dt_s: float, row_a: Floats, background_a: Floats, late_a: Floats | float) -> None:
        """One step: true currents, true background and what newly used conductors add to it, all (C, 3) A."""
        explained = background_a + late_a
        self._push(background_a, explained)
        self.over = row_a > self._limit_a
        if not self.over.any():
            self._since[:] = self._since_outside[:] = 0.0
            return
        self._since = np.where(self.over, self._since + dt_s, 0.0)
        self._longest_s = max(self._longest_s, float(self._since.max()))
        highest = self._highest()
        plain = self.over & (background_a <= highest[0] + EPS_A)
        self._since_outside = np.where(self.over & ~plain, self._since_outside + dt_s, 0.0)
        self._longest_outside_s = max(self._longest_outside_s, float(self._since_outside.max()))
        own = plain & (explained <= highest[1] + EPS_A)
        excess = row_a - self._limit_a + EPS_A
        self._worst_a = max(self._worst_a, float(excess[self.over].max()))
        self._worst_self_a = max(self._worst_self_a, float(excess[own].max(initial=0.0)))
        self._overload_s += dt_s * int(self.over.sum())
        self._self_made_s += dt_s * int(own.sum())
        self._relearn_s += dt_s * int((plain & ~own).sum())

    def _push(self, background_a: Floats, explained_a: Floats) -> None:
        if self._count == 0:
            self._ring[0], self._ring[1] = background_a, explained_a
        slot = self._count % self._size
        for k, value in enumerate((background_a, explained_a)):
            self._ring[k, slot] = self._ring[k, slot + self._size] = value
        self._count += 1

    def _highest(self) -> Floats:
        """(2, C, 3) A: backgrounds' maxima over each circuit's window."""
        start = (self._count - 1 - self._old + self._size) % self._size
        highest = np.zeros((2, *self.over.shape))
        for span, circuits in self._spans:
            highest[:, circuits] = self._ring[:, start : start + span, circuits].max(axis=1)
        return highest

    def add_import(self, dt_s: float, epoch_s: float, import_w: float) -> None:
        """Import at the grid connection point during a step, for the quarter-hour peak."""
        quarter = int(epoch_s // SECONDS_PER_QUARTER)
        if quarter != self._quarter:
            self._quarter, self._quarter_ws = quarter, 0.0
        self._quarter_ws += import_w * dt_s
        self._peak_w = max(self._peak_w, self._quarter_ws / SECONDS_PER_QUARTER)

    def result(self) -> Overloads:
        """The figures so far."""
        return Overloads(
            overload_s=self._overload_s,
            self_made_overload_s=self._self_made_s,
            relearn_overload_s=self._relearn_s,
            worst_excess_a=self._worst_a,
            worst_self_made_a=self._worst_self_a,
            longest_s=self._longest_s,
            longest_outside_s=self._longest_outside_s,
            peak_15min_w=self._peak_w,
        )


def _late_s(topology: Topology) -> Floats:
    """(C,) s that a step becomes known, and obeyed, later than with a meter and chargers polled every second."""
    meter_s = np.where(topology.metered, np.maximum(topology.meter_period_s - PROMPT_S, 0.0), 0.0)
    asset_s = np.maximum(topology.settle_poll_s - PROMPT_S, 0.0)
    return np.asarray(meter_s + (topology.ancestry_f * asset_s).max(axis=1, initial=0.0))
