"""Batteries, PV plants, stores of heat and runs as columns of numbers."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.units import Floats
from optimizer.core.compile_background import Background
from optimizer.core.compile_grid import FULL_H, Prices
from optimizer.core.compile_steps import Steps, filled, laid
from optimizer.core.compile_tree import amps_per_kw
from optimizer.core.instance import Batteries, Buffers, Runs, Solar
from optimizer.core.problem import Problem
from optimizer.core.problem_state import Run
from optimizer.core.problem_types import STEP_S

FULL_PCT: Final[float] = 100.0
KEPT_SHARE: Final[float] = 0.8
"""Of what heat would cost later, what is credited for heat left at the end: some of it leaks before it is needed."""


def batteries_of(problem: Problem, place: dict[str, int], prices: Prices, steps: Steps) -> tuple[Batteries, list[str]]:
    """Storage. One whose state nobody knows rests: it neither charges nor discharges in this plan.

    What is stored at the end is worth what it can save later (mean import price less losses and wear), and never less
    than what exporting it would have earned on the way in: else the plan would empty it, or sell what it could keep.
    """
    facts, notes = problem.site.batteries, []
    told = {state.battery: state.soc_pct for state in problem.state.batteries}
    share, moves = [], []
    for one in facts:
        soc_pct = told.get(one.id)
        if soc_pct is None:
            notes.append(f"{one.id}: nobody knows its state of charge, so that it rests in this plan")
        elif not 0.0 <= soc_pct <= FULL_PCT:
            notes.append(f"{one.id}: a state of charge of {soc_pct:g} % cannot be, the nearest possible one is assumed")
        share.append(one.floor_share if soc_pct is None else min(max(soc_pct, 0.0), FULL_PCT) / FULL_PCT)
        moves.append(0.0 if soc_pct is None else 1.0)
    mean_in = float(np.average(prices.import_eur_per_kwh, weights=steps.dt_h))
    mean_out = float(np.average(prices.export_eur_per_kwh, weights=steps.dt_h))

    def column(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    capacity, moving = column([one.capacity_kwh for one in facts]), column(moves)
    out_eff = column([one.discharge_efficiency for one in facts])
    in_eff = column([one.charge_efficiency for one in facts])
    wear = column([one.wear_eur_per_kwh for one in facts])
    return Batteries(
        circuit=np.array([place[one.circuit] for one in facts], dtype=np.int64),
        a_per_kw=_amps(problem, [one.phases for one in facts]),
        charge_kw=moving * column([one.charge_kw for one in facts]),
        discharge_kw=moving * column([one.discharge_kw for one in facts]),
        charge_efficiency=in_eff,
        discharge_efficiency=out_eff,
        soc_kwh=capacity * column(share),
        # One that is below its reserve goes no lower, and fills when energy is cheap: no reserve is worth a new peak.
        floor_kwh=capacity * np.minimum(column([one.floor_share for one in facts]), column(share)),
        capacity_kwh=capacity * column([max(one.ceiling_share, one.floor_share) for one in facts]),
        wear_eur_per_kwh=wear,
        terminal_eur_per_kwh=np.maximum(np.maximum(mean_out / in_eff, out_eff * mean_in - wear), 0.0),
    ), notes


def _amps(problem: Problem, phases: list[tuple[str, ...]]) -> Floats:
    return np.array([amps_per_kw(problem, one) for one in phases], dtype=np.float64).reshape(len(phases), 3)


def solar_of(problem: Problem, place: dict[str, int], background: Background) -> tuple[Solar, tuple[str, ...]]:
    """Plants that may be held back, and their ids."""
    chosen = [k for k, plant in enumerate(problem.site.pv) if plant.curtailable]
    plants = [problem.site.pv[k] for k in chosen]
    return Solar(
        circuit=np.array([place[plant.circuit] for plant in plants], dtype=np.int64),
        a_per_kw=_amps(problem, [plant.phases for plant in plants]),
        available_kw=background.pv_kw[chosen],
    ), tuple(plant.id for plant in plants)


def buffers_of(problem: Problem, place: dict[str, int], prices: Prices, steps: Steps) -> tuple[Buffers, list[str]]:
    """Stores of heat; without a forecast of the demand only their losses are counted, and a note says so."""
    facts, notes = problem.site.buffers, []
    told = {state.buffer: state.heat_kwh for state in problem.state.buffers}
    by_buffer = {one.buffer: one.demand_kw for one in problem.forecast.heat}
    demand, heat = np.zeros((len(facts), steps.count)), []
    for k, one in enumerate(facts):
        column = filled(laid(by_buffer.get(one.id, ()), problem.forecast.start_epoch_s, STEP_S, steps), True)
        if not np.isfinite(column).all():
            notes.append(f"{one.id}: there is no forecast of its heat demand, so that only its losses are planned for")
            column = np.zeros(steps.count)
        demand[k] = np.maximum(column, 0.0) * steps.dt_h
        now_kwh = told.get(one.id)
        if now_kwh is None:
            notes.append(f"{one.id}: nobody knows what it holds, the middle of its band is assumed")
        heat.append((one.low_kwh + one.high_kwh) / 2 if now_kwh is None else now_kwh)
    cop = np.array([one.cop for one in facts], dtype=np.float64)
    mean_in = max(0.0, float(np.average(prices.import_eur_per_kwh, weights=steps.dt_h)))
    return Buffers(
        circuit=np.array([place[one.circuit] for one in facts], dtype=np.int64),
        a_per_kw=_amps(problem, [one.phases for one in facts]),
        power_kw=np.array([one.power_kw for one in facts], dtype=np.float64),
        cop=cop,
        demand_kwh=demand,
        keep=np.array([(1.0 - one.loss_share_per_h) ** FULL_H for one in facts], dtype=np.float64),
        heat_kwh=np.array(heat, dtype=np.float64),
        low_kwh=np.array([one.low_kwh for one in facts], dtype=np.float64),
        high_kwh=np.array([max(one.low_kwh, one.high_kwh) for one in facts], dtype=np.float64),
        comfort_eur_per_kwh=np.array([one.comfort_eur_per_kwh for one in facts], dtype=np.float64),
        terminal_eur_per_kwh=KEPT_SHARE * mean_in / cop,
    ), notes


def runs_of(problem: Problem, place: dict[str, int], steps: Steps) -> tuple[Runs, tuple[Run, ...], list[str]]:
    """Runs that fit into the horizon; one that can no longer be in time starts as soon as it can."""
    notes: list[str] = []
    kept: list[tuple[Run, int, int]] = []
    length = max((len(run.profile_kw) for run in problem.state.runs), default=0)
    for run in problem.state.runs:
        begin_epoch_s = max(run.earliest_epoch_s, problem.now_epoch_s)
        first = int(-(-(begin_epoch_s - steps.quarter_epoch_s[0]) // STEP_S))
        last = int((run.finished_by_epoch_s - steps.quarter_epoch_s[0]) // STEP_S) - len(run.profile_kw)
        if first > steps.count - length:
            notes.append(f"{run.id}: it does not fit into the horizon any more and is left to a later plan")
            continue
        if last < first:
            notes.append(f"{run.id}: it cannot be finished in time and starts as soon as it can")
        kept.append((run, first, min(max(last, first), steps.count - length)))
    profile = np.zeros((len(kept), length))
    for k, (run, _, _) in enumerate(kept):
        profile[k, : len(run.profile_kw)] = run.profile_kw
    return (
        Runs(
            circuit=np.array([place[run.circuit] for run, _, _ in kept], dtype=np.int64),
            a_per_kw=_amps(problem, [run.phases for run, _, _ in kept]),
            profile_kw=profile,
            earliest=np.array([first for _, first, _ in kept], dtype=np.int64),
            latest=np.array([last for _, _, last in kept], dtype=np.int64),
        ),
        tuple(run for run, _, _ in kept),
        notes,
    )
