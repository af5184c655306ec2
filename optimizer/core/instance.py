"""The planning problem as numbers: what the linear program is made from, and what comes out of it.

T steps, N cars, C circuits, B batteries, P curtailable PV plants, H thermal buffers, R shiftable runs. Index 0 of the
circuits is the grid connection point; parents come before children. Power in kW, current in A per conductor, energy in
kWh; consumption positive. Everything here is finite except limits, where ``inf`` means that there is none.

The model (both implementations, `lp` and `oracle`, are this and nothing else), with x the cars' currents, y their
discharge, c/d battery charge and discharge, u curtailed PV, h heat pump power, z start shares of runs:

    minimise   sum dt (import price g+  -  export price g-)                     energy
             + peak_eur_per_kw * P                                              capacity tariff, P per billing period
             + sum short_eur_per_kwh * s                                        shortage, convex per car
             + sum early_eur_per_kwh_step * t * kw dt x                         a tiny wish to be early
             + sum wear (c + d) dt + sum car wear kw y dt                       wear
             + sum comfort_eur_per_kwh * (under + over) dt                      heat outside its band
             + sum churn_eur_per_kwh * kw dt |x - previous|                     first steps only
             + slack_eur_per_kwh * (kW beyond a limit that nothing can keep) dt
             - terminal value of what batteries, buffers and discharging cars hold at the end
    subject to energy of each car: sum kw dt x + sum_k s_k = energy_kwh         (0 <= s_k <= short_kwh_k)
               balance of each step: g+ - g- = base + sum kw (x - y) + sum (c - d) + u + sum h + runs
               amperes of each circuit, phase and step within its headroom (both ways where something can feed in)
               their sum over the phases within its headroom too, where a circuit has a power limit
               import and export limits, peak: (already + dt g+) <= full_h * P in each step, and g+ <= P in one that is
               under way: what a quarter has left unused is not caught up at a power that no charger could follow
               battery, car and heat states step by step, bounds soft where the present state already breaks them

What is soft, exactly. *Idle* is the plan in which no car, battery or buffer moves, nothing is curtailed, and every run
takes in each step the most that any of its starts would take there (upwards; nothing downwards). A limit is hard,
except as far as idle breaks it: that far and no further it may be exceeded, for ``slack_eur_per_kwh``. So the most that
planned amperes may add up to is ``max(headroom, amperes of idle)``, and idle is always a feasible plan. Amperes beyond
are counted as ``KW_PER_A``. A state that starts outside its bounds may be outside by as much as at the start, in every
step (of a car: of its window), for ``slack_eur_per_kwh`` per kWh and step; the other states are hard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PHASES: Final = 3
KW_PER_A: Final = 0.23
"""What one ampere beyond a limit counts for: a conductor at 230 V."""
FIRM_STEPS: Final = 4
"""The first steps keep the cars' minimum currents; by the time a later one is due, it has been planned again."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The connection and the circuits.

    ``dt_h`` (T,): length of each step, the first one may be what is left of its quarter; ``full_h``: a whole step.
    ``base_kw`` (T,): net power of all that cannot be planned, PV that cannot be curtailed as negative. Prices (T,) in
    EUR/kWh with taxes, fees and CO2 weight; nowhere is export dearer than import. ``import_limit_kw``,
    ``export_limit_kw`` (T,). ``headroom_a`` (C, R, T): limit less background, what planned amperes may add up to;
    ``feed_in_a`` (C, R, T): how far they may add up below zero (a positive number). R is 3, the phases, or 4: the last
    row is the sum over the phases then, a power limit in amperes. ``parent`` (C,): -1 for index 0.
    ``already_kwh``: imported in the first step's quarter before the plan begins. ``next_month``: the step in which the
    next billing period begins, None where the plan does not reach it; its peak has its own floor ``next_floor_kw``.
    """

    dt_h: Floats
    full_h: float
    base_kw: Floats
    import_eur_per_kwh: Floats
    export_eur_per_kwh: Floats
    import_limit_kw: Floats
    export_limit_kw: Floats
    parent: Ints
    headroom_a: Floats
    feed_in_a: Floats
    peak_eur_per_kw: float
    peak_floor_kw: float
    already_kwh: float
    slack_eur_per_kwh: float
    next_month: int | None = None
    next_floor_kw: float = 0.0

    @property
    def steps(self) -> int:
        """T."""
        return len(self.dt_h)

    @property
    def rows(self) -> int:
        """R."""
        return int(self.headroom_a.shape[1])

    @property
    def period(self) -> Ints:
        """(T,): 0 in the first billing period, 1 in the next."""
        return (np.arange(self.steps) >= (self.steps if self.next_month is None else self.next_month)).astype(np.int64)

    @property
    def floors_kw(self) -> Floats:
        """(1,) or (2,): the peak of each billing period is never less."""
        floors: tuple[float, ...] = (self.peak_floor_kw,)
        return np.array(floors if self.next_month is None else (*floors, self.next_floor_kw))

    @property
    def under_way(self) -> bool:
        """Part of the first step has passed."""
        return bool(self.dt_h[0] < self.full_h)

    def peak_kw(self, import_kw: Floats) -> Floats:
        """(1,) or (2,): the peak of an import (T,) in each billing period, at least the floor."""
        mean_kw = self.dt_h * import_kw / self.full_h
        mean_kw[0] += self.already_kwh / self.full_h
        if self.under_way:
            mean_kw[0] = max(mean_kw[0], import_kw[0])
        peaks = self.floors_kw
        np.maximum.at(peaks, self.period, mean_kw)
        return peaks


def on_rows(per_phase: Floats | Ints, rows: int) -> Floats:
    """(n, R) amperes on each row of a circuit, from those on each phase (n, 3)."""
    amps: Floats = per_phase.astype(np.float64)
    return amps if rows == PHASES else np.concatenate([amps, amps.sum(axis=1, keepdims=True)], axis=1)


@dataclass(frozen=True, slots=True)
class Cars:
    """One line per charging session, all (N,) unless said otherwise.

    ``circuit``: the one it hangs on; ``wired`` (N, 3): conductors it uses on each grid phase; ``kw_per_a``: sum of its
    conductors' voltages. In the window ``first <= t < end`` it takes 0 <= x <= ``max_a`` (``first_share``,
    ``end_share`` of it in the first and last step, when it is plugged in for only a part). Below ``min_a`` it does not
    charge: rounding keeps that, the relaxation does not. ``energy_kwh``: still wanted, as the charger's meter counts.
    ``short_kwh``, ``short_eur_per_kwh`` (N, S): widths and prices of the shortage, prices ascending; the widths add up
    to the energy.
    ``early_eur_per_kwh_step``: cost of waiting. ``discharge_a``: 0 where it cannot feed back; such cars have a state
    ``soc_kwh`` between ``floor_kwh`` and ``capacity_kwh``, ``efficiency`` each way, ``wear_eur_per_kwh`` on discharge,
    and the energy row is ``end state + shortage >= soc_kwh + energy_kwh``; others ignore these columns.
    In a window of one step both shares apply. The states' rows exist in the window only; ``terminal_eur_per_kwh`` is
    for cars that can feed back. ``pause_eur``: what it is worth not to pause a car that charges now, 0 where it may be
    paused; rounding weighs it, the relaxation does not. ``optional``: nobody asked for its energy, so that rounding
    raises no current for it and a plan without a solver leaves it out.
    ``previous_a`` (N, K): the last plan's x - y in the first K steps on this grid of
    steps, NaN where there was none; ``churn_eur_per_kwh``: price of moving x - y away from it, in the window.
    """

    circuit: Ints
    wired: Ints
    kw_per_a: Floats
    min_a: Floats
    max_a: Floats
    first: Ints
    end: Ints
    first_share: Floats
    end_share: Floats
    energy_kwh: Floats
    short_kwh: Floats
    short_eur_per_kwh: Floats
    early_eur_per_kwh_step: Floats
    discharge_a: Floats
    soc_kwh: Floats
    floor_kwh: Floats
    capacity_kwh: Floats
    efficiency: Floats
    wear_eur_per_kwh: Floats
    terminal_eur_per_kwh: Floats
    pause_eur: Floats
    optional: Bools
    previous_a: Floats
    churn_eur_per_kwh: float

    @property
    def n(self) -> int:
        """N."""
        return len(self.circuit)


@dataclass(frozen=True, slots=True)
class Batteries:
    """Stationary storage, (B,) each; ``a_per_kw`` (B, 3): amperes on each phase per kW.

    The state starts at ``soc_kwh`` and stays in ``floor_kwh``..``capacity_kwh``; a start outside is led back as fast as
    the power allows (soft). ``terminal_eur_per_kwh`` values the state at the end.
    """

    circuit: Ints
    a_per_kw: Floats
    charge_kw: Floats
    discharge_kw: Floats
    charge_efficiency: Floats
    discharge_efficiency: Floats
    soc_kwh: Floats
    floor_kwh: Floats
    capacity_kwh: Floats
    wear_eur_per_kwh: Floats
    terminal_eur_per_kwh: Floats


@dataclass(frozen=True, slots=True)
class Solar:
    """Plants that can be curtailed: ``available_kw`` (P, T) is part of ``base_kw`` and of the background already, what
    is curtailed (0..available) adds to both. ``a_per_kw`` (P, 3).
    """

    circuit: Ints
    a_per_kw: Floats
    available_kw: Floats


@dataclass(frozen=True, slots=True)
class Buffers:
    """Heat pumps, boilers and cold stores, (H,) or (H, T): a store of heat with a comfort band.

    ``heat_kwh`` next = ``keep`` * heat + cop * power * dt - demand; ``keep`` (H,) is what is left after one whole step.
    Leaving ``low_kwh``..``high_kwh`` costs ``comfort_eur_per_kwh`` per kWh and hour. A cold store counts its cold.
    """

    circuit: Ints
    a_per_kw: Floats
    power_kw: Floats
    cop: Floats
    demand_kwh: Floats
    keep: Floats
    heat_kwh: Floats
    low_kwh: Floats
    high_kwh: Floats
    comfort_eur_per_kwh: Floats
    terminal_eur_per_kwh: Floats


@dataclass(frozen=True, slots=True)
class Runs:
    """Loads that run once, uninterrupted: ``profile_kw`` (R, L) from one of the starts ``earliest``..``latest`` (both
    included, earliest + L <= T). The relaxation mixes starts, rounding chooses one.
    """

    circuit: Ints
    a_per_kw: Floats
    profile_kw: Floats
    earliest: Ints
    latest: Ints


@dataclass(frozen=True, slots=True)
class Instance:
    """One planning problem in numbers."""

    grid: Grid
    cars: Cars
    batteries: Batteries
    solar: Solar
    buffers: Buffers
    runs: Runs


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solver found, on the instance's own columns.

    ``car_a``, ``car_discharge_a`` (N, T); battery ``charge_kw``, ``discharge_kw``, ``soc_kwh`` at the end of each step
    (B, T); ``curtailed_kw`` (P, T); ``buffer_kw``, ``heat_kwh`` (H, T); ``run_kw`` (R, T); ``import_kw``, ``export_kw``
    (T,); ``peak_kw`` of each billing period; ``shortage_kwh`` (N,). ``beyond_kw``: sum over limits and steps of what is
    beyond them, 0 where every limit can be kept. ``objective_eur`` of this solution, ``bound_eur`` of the relaxation.
    ``car_value_eur_per_kwh`` (N,): by how much the objective would fall if one kWh less were wanted (of a car that can
    feed back: if it held one kWh more and wanted as much less); ``battery_value_eur_per_kwh`` (B, T),
    ``buffer_value_eur_per_kwh`` (H, T): if one kWh fell into the store in that step. Positive: energy there is worth
    having. They are the relaxation's dual prices. ``status``: optimal, incumbent, heuristic or failed.
    """

    car_a: Floats
    car_discharge_a: Floats
    charge_kw: Floats
    discharge_kw: Floats
    soc_kwh: Floats
    curtailed_kw: Floats
    buffer_kw: Floats
    heat_kwh: Floats
    run_kw: Floats
    import_kw: Floats
    export_kw: Floats
    peak_kw: Floats
    shortage_kwh: Floats
    beyond_kw: float
    objective_eur: float
    bound_eur: float
    car_value_eur_per_kwh: Floats
    battery_value_eur_per_kwh: Floats
    buffer_value_eur_per_kwh: Floats
    status: str
