"""What cannot be planned: load, PV and cars to come, at the connection and on every circuit and phase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, Bools, Floats
from optimizer.core.compile_limits import Limits
from optimizer.core.compile_steps import Steps, filled, laid
from optimizer.core.compile_tree import amps_per_kw, below_of, parents_first, root_of
from optimizer.core.problem import CircuitForecast, Problem, PvForecast
from optimizer.core.problem_types import STEP_S


@dataclass(frozen=True, slots=True)
class Background:
    """What cannot be planned. ``net_kw`` (T,) of the connection, PV as negative; ``pv_kw`` (P, T) of each plant.

    ``fuse_a`` (C, 3, T): amperes that count against a limit, never below 0 unless PV there makes firm room;
    ``net_a`` (C, 3, T): signed, for what flows back; ``reserve_a`` (C, 3, T): for cars that are still to come.
    ``power_kw`` (C, T): what counts against a circuit's power limit, where PV there makes room; with those cars.
    """

    net_kw: Floats
    pv_kw: Floats
    fuse_a: Floats
    net_a: Floats
    reserve_a: Floats
    power_kw: Floats
    notes: tuple[str, ...]


def background_of(problem: Problem, steps: Steps, limits: Limits) -> Background:
    """Load, PV and cars to come, at the connection and on every circuit and phase."""
    notes: list[str] = []
    forecast, circuits, below = problem.forecast, problem.site.circuits, below_of(problem)
    index = {circuit.id: k for k, circuit in enumerate(circuits)}
    by_circuit = {one.circuit: one for one in forecast.circuits}
    root = root_of(problem)
    load_kw = _column(
        by_circuit[circuits[root].id].load_kw, problem, steps, True, f"load of {circuits[root].id}", notes
    )
    pv_kw, low_kw = _plants(problem, steps, notes)
    pv_a, low_a = (_on_circuits(problem, kw, below, index) for kw in (pv_kw, low_kw))
    load_a, high_a, settled = _loads(problem, steps, by_circuit, root, notes)
    coming_a = _arrivals(problem, steps, below, index)
    worst = settled[:, None, None]
    firm = np.array([circuit.firm_export for circuit in circuits])[:, None, None] & ~worst
    fuse_a = np.where(firm, high_a - low_a, np.maximum(high_a - np.where(worst, 0.0, pv_a), 0.0))
    reserve_a = np.minimum(coming_a, np.maximum(limits.limit_a - fuse_a, 0.0))
    kw_per_a = problem.site.nominal_voltage_v / MILLI
    power_kw = (high_a - np.where(worst, 0.0, low_a)).sum(axis=1) * kw_per_a
    power_kw += np.minimum(reserve_a.sum(axis=1) * kw_per_a, np.maximum(limits.circuit_kw - power_kw, 0.0))
    net_kw = load_kw - pv_kw.sum(axis=0)
    coming_kw = reserve_a[root].sum(axis=0) * kw_per_a
    return Background(
        net_kw=net_kw + np.minimum(coming_kw, np.maximum(limits.import_kw - net_kw, 0.0)),
        pv_kw=pv_kw,
        fuse_a=fuse_a,
        net_a=np.where(worst, 0.0, load_a) - pv_a,
        reserve_a=reserve_a,
        power_kw=power_kw,
        notes=tuple(notes),
    )


def _column(
    values: tuple[float | None, ...], problem: Problem, steps: Steps, highest: bool, what: str, notes: list[str]
) -> Floats:
    """A forecast on the plan's steps without gaps."""
    column = laid(values, problem.forecast.start_epoch_s, STEP_S, steps)
    missing = int((~np.isfinite(column)).sum())
    if 0 < missing < steps.count:
        notes.append(f"{what}: {missing} of {steps.count} steps of the forecast are missing, other hours stand in")
    return filled(column, highest)


def _plants(problem: Problem, steps: Steps, notes: list[str]) -> tuple[Floats, Floats]:
    """(P, T) what each plant gives: expected, and its low quantile where there is one."""
    by_plant: dict[str, PvForecast] = {one.plant: one for one in problem.forecast.pv}
    expected, low = np.zeros((len(problem.site.pv), steps.count)), np.zeros((len(problem.site.pv), steps.count))
    for k, plant in enumerate(problem.site.pv):
        one = by_plant.get(plant.id)
        column = np.full(steps.count, np.nan)
        if one is not None:
            column = _column(one.power_kw, problem, steps, False, f"PV of {plant.id}", notes)
        if not np.isfinite(column).all():
            notes.append(f"PV of {plant.id}: there is no forecast, so that the plan counts on nothing from it")
            continue
        expected[k] = np.clip(column, 0.0, plant.rated_kw)
        least = (
            expected[k]
            if one is None or one.low_kw is None
            else filled(laid(one.low_kw, problem.forecast.start_epoch_s, STEP_S, steps), False)
        )
        low[k] = np.clip(np.where(np.isfinite(least), least, 0.0), 0.0, expected[k])
    return expected, low


def _on_circuits(problem: Problem, kw: Floats, below: Floats, index: dict[str, int]) -> Floats:
    """(C, 3, T) amperes of the plants behind each circuit."""
    amps = np.zeros((len(problem.site.circuits), len(PHASES), kw.shape[1]))
    for k, plant in enumerate(problem.site.pv):
        own = amps_per_kw(problem, plant.phases)[:, None] * kw[k][None, :]
        amps += below[:, index[plant.circuit], None, None] * own[None, :, :]
    return amps


def _loads(
    problem: Problem, steps: Steps, by_circuit: dict[str, CircuitForecast], root: int, notes: list[str]
) -> tuple[Floats, Floats, Bools]:
    """(C, 3, T) load on each circuit: expected and high; and (C,) where the worst case stands in for a forecast.

    Without a meter the declared worst case counts, as it does in the controller. Where nothing at all is known of a
    circuit, everything its parent carries may hang on it.
    """
    circuits = problem.site.circuits
    index = {circuit.id: k for k, circuit in enumerate(circuits)}
    shape = (len(circuits), len(PHASES), steps.count)
    expected, high, settled = np.zeros(shape), np.zeros(shape), np.zeros(len(circuits), dtype=np.bool_)
    for k in parents_first(problem):
        circuit = circuits[k]
        one = by_circuit.get(circuit.id)
        worst = circuit.background_max_a
        known = one is not None and any(value is not None for value in one.load_kw)
        if worst is not None and (not circuit.metered or not known) and k != root:
            expected[k] = high[k] = np.array(worst)[:, None]
            settled[k] = True
        elif one is not None and known:
            share_a = _phase_amps(problem, k, one)
            expected[k], high[k] = _load_kw(problem, steps, one, notes)[:, None, :] * share_a[None, :, None]
        else:
            parent = index[circuit.parent or circuit.id]
            expected[k], high[k] = expected[parent], high[parent]
            notes.append(
                f"load of {circuit.id}: there is no forecast, so that all of {circuits[parent].id} may be there"
            )
    return expected, high, settled


def _load_kw(problem: Problem, steps: Steps, one: CircuitForecast, notes: list[str]) -> Floats:
    """(2, T) expected and high; the root's gaps were told already."""
    silent = notes if one.circuit != problem.site.circuits[root_of(problem)].id else []
    expected = _column(one.load_kw, problem, steps, True, f"load of {one.circuit}", silent)
    if one.high_kw is None:
        return np.stack([expected, expected])
    high = filled(laid(one.high_kw, problem.forecast.start_epoch_s, STEP_S, steps), True)
    return np.stack([expected, np.maximum(np.where(np.isfinite(high), high, expected), expected)])


def _phase_amps(problem: Problem, k: int, one: CircuitForecast) -> Floats:
    """(3,) amperes per kW on each phase: as told, else evenly over the phases this circuit has."""
    there = np.array([amps > 0 for amps in problem.site.circuits[k].limit_a], dtype=np.float64)
    share = np.array(one.phase_share) if one.phase_share is not None else there
    if share.sum() <= 0:
        share = np.ones(len(PHASES))
    amps: Floats = share / share.sum() * MILLI / problem.site.nominal_voltage_v
    return amps


def _arrivals(problem: Problem, steps: Steps, below: Floats, index: dict[str, int]) -> Floats:
    """(C, 3, T) amperes kept for cars to come; none in the running quarter, they are not here yet."""
    amps = np.zeros((len(below), len(PHASES), steps.count))
    for one in problem.forecast.arrivals:
        column = laid(one.power_kw, problem.forecast.start_epoch_s, STEP_S, steps)
        column = np.maximum(np.where(np.isfinite(column), column, 0.0), 0.0)
        column[0] = 0.0
        k = index[one.circuit]
        there = tuple(name for name, amp in zip(PHASES, problem.site.circuits[k].limit_a, strict=True) if amp > 0)
        amps += below[:, k, None, None] * amps_per_kw(problem, there)[None, :, None] * column[None, None, :]
    return amps
