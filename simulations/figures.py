"""The figures of one strategy's run, from the plant's books and its judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict

import numpy as np

from interfaces.domain.units import MILLI
from simulations.plant.sessions import SessionRecord


class Figures(TypedDict):
    """What a run is judged by.

    Overloads are row-seconds above rated x derating as the plant measures them (a row is one phase of one circuit).
    ``energy_possible_kwh``: see ``ideal``. ``cost_eur``: what charging adds to the bill of the grid connection;
    ``cost_energy_eur``, ``cost_peak_eur``, ``cost_total_eur``: the whole bill (see ``bill``); None without prices.
    ``unmet_kwh``: what cars that have left lacked; ``sessions_met_pct``: how many of them had what they came for.
    ``open_kwh``: what those still there lack.
    ``self_consumption_pct``: of the PV energy. ``solve_ms_*``: processor time of a plan; None without plans.
    ``longest_outside_overload_s``: longest unbroken overload that a step from outside explains.
    ``protection_max``: highest accumulator of the plant's own fuse models, share of tripping;
    ``protection_believed_max``: of the controller's. ``trips``: circuits that opened. ``switches``: charging
    interruptions. ``queued_s``: car-seconds without an offer although energy was wanted. ``fairness``: Jain's index of
    delivered / wanted.
    """

    sessions: int
    energy_wanted_kwh: float
    energy_possible_kwh: float
    energy_delivered_kwh: float
    cost_eur: float | None
    cost_energy_eur: float | None
    cost_peak_eur: float | None
    cost_total_eur: float | None
    unmet_kwh: float
    open_kwh: float
    sessions_met_pct: float
    self_consumption_pct: float | None
    solve_ms_p50: float | None
    solve_ms_p99: float | None
    self_made_overload_s: float
    overload_s: float
    relearn_overload_s: float
    worst_excess_a: float
    longest_outside_overload_s: float
    protection_max: float
    protection_believed_max: float
    trips: int
    peak_15min_w: float
    switches: int
    queued_s: float
    fairness: float


def fairness(records: Sequence[SessionRecord]) -> float:
    """Jain's index of delivered / wanted: 1 when all got the same share, 1/n when one got everything."""
    shares = [min(r.delivered_wh / r.wanted_wh, 1.0) for r in records if r.wanted_wh > 0.0]
    squares = sum(x * x for x in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares > 0.0 else 1.0


def delivered_kwh(records: Sequence[SessionRecord]) -> float:
    """Energy that reached the cars; the last step's overshoot above the wish does not count."""
    return sum(min(r.delivered_wh, r.wanted_wh) for r in records) / MILLI


def wanted_kwh(records: Sequence[SessionRecord]) -> float:
    """Energy the cars came for."""
    return sum(r.wanted_wh for r in records) / MILLI


MET_SHARE: Final[float] = 0.98
MET_WH: Final[float] = 200.0
"""A session is met when no more than this is missing: a car tapers off, and a kilometre is nobody's complaint."""


def unmet_kwh(records: Sequence[SessionRecord]) -> float:
    """What the cars that have left lacked."""
    return sum(max(r.wanted_wh - r.delivered_wh, 0.0) for r in records if r.complete) / MILLI


def open_kwh(records: Sequence[SessionRecord]) -> float:
    """What the cars that are still there lack."""
    return sum(max(r.wanted_wh - r.delivered_wh, 0.0) for r in records if not r.complete) / MILLI


def met_pct(records: Sequence[SessionRecord]) -> float:
    """Share of the cars that have left which had what they came for; 100 when none left."""
    left = [r for r in records if r.complete and r.wanted_wh > 0.0]
    met = sum(r.delivered_wh >= min(MET_SHARE * r.wanted_wh, r.wanted_wh - MET_WH) for r in left)
    return 100.0 * met / len(left) if left else 100.0


def solve_ms(times_ms: Sequence[float]) -> tuple[float | None, float | None]:
    """Median and 99th percentile; None of nothing."""
    if not times_ms:
        return None, None
    p50, p99 = np.quantile(np.array(times_ms), (0.5, 0.99)).tolist()
    return p50, p99
