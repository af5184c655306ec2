"""Whether a plan keeps every row of its problem: plain sums over the instance and the solution, nothing of the solver.

Run before a plan leaves. What idle breaks already (see `instance`) may stay broken, but not by more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from optimizer.core.instance import FIRM_STEPS, KW_PER_A, Bools, Floats, Instance, Ints, Solution, on_rows

TOLERANCE: Final = 1e-5
"""A, kW, kWh: a hundredth of what a setpoint can say, a hundred times what the solver leaves in a row."""
TOLERANCE_EUR: Final = 1e-5
"""Relative to the sum of what is paid and earned, and absolute below 1 EUR."""


@dataclass(frozen=True, slots=True)
class Violation:
    """``what`` is broken, ``where`` (index of asset or circuit, phase, step), ``by`` how much in the row's own unit."""

    what: str
    where: tuple[int, ...]
    by: float


def verify(instance: Instance, solution: Solution, *, firm: bool = True) -> list[Violation]:
    """Every row that the solution breaks; ``firm=False`` for a relaxation: minimum currents, one start per run and one
    direction at a time are not asked for.
    """
    wrong = _misshapen(instance, solution)
    if wrong:
        return wrong
    found = [*_cars(instance, solution), *_stores(instance, solution), *_heat(instance, solution)]
    found += _connection(instance, solution)
    found += _circuits(instance, solution)
    found += _money(instance, solution)
    if firm:
        found += [*_minimum(instance, solution), *_one_way(solution), *_one_start(instance, solution)]
    return found


def net_kw(instance: Instance, solution: Solution) -> Floats:
    """(T,): power at the connection, consumption positive."""
    cars = ((solution.car_a - solution.car_discharge_a) * instance.cars.kw_per_a[:, None]).sum(axis=0)
    stores = (solution.charge_kw - solution.discharge_kw).sum(axis=0)
    others = solution.curtailed_kw.sum(axis=0) + solution.buffer_kw.sum(axis=0) + solution.run_kw.sum(axis=0)
    net: Floats = instance.grid.base_kw + cars + stores + others
    return net


def amperes(instance: Instance, solution: Solution) -> Floats:
    """(C, R, T): what the plan adds to each circuit, row and step."""
    cars, total = instance.cars, np.zeros(instance.grid.headroom_a.shape)
    current = solution.car_a - solution.car_discharge_a
    np.add.at(total, cars.circuit, on_rows(cars.wired, instance.grid.rows)[:, :, None] * current[:, None, :])
    for part, kw in (
        (instance.batteries, solution.charge_kw - solution.discharge_kw),
        (instance.solar, solution.curtailed_kw),
        (instance.buffers, solution.buffer_kw),
        (instance.runs, solution.run_kw),
    ):
        np.add.at(total, part.circuit, on_rows(part.a_per_kw, instance.grid.rows)[:, :, None] * kw[:, None, :])
    return _with_children(instance.grid.parent, total)


def idle_run_kw(instance: Instance) -> Floats:
    """(R, T): the most that each run takes in each step, over its possible starts."""
    runs = instance.runs
    most = np.zeros((len(runs.circuit), instance.grid.steps))
    for r, profile in enumerate(runs.profile_kw):
        for start in range(int(runs.earliest[r]), int(runs.latest[r]) + 1):
            span = slice(start, start + len(profile))
            most[r, span] = np.maximum(most[r, span], profile)
    return most


def most_amperes(instance: Instance) -> Floats:
    """(C, R, T): how far planned amperes may go up."""
    runs, a_per_kw = instance.runs, on_rows(instance.runs.a_per_kw, instance.grid.rows)
    idle: Floats = np.zeros(instance.grid.headroom_a.shape)
    np.add.at(idle, runs.circuit, a_per_kw[:, :, None] * idle_run_kw(instance)[:, None, :])
    most: Floats = np.maximum(instance.grid.headroom_a, _with_children(instance.grid.parent, idle))
    return most


def window_share(instance: Instance) -> Floats:
    """(N, T): the share of each step in which each car is plugged in."""
    cars, step = instance.cars, np.arange(instance.grid.steps)[None, :]
    share: Floats = _in_window(instance).astype(np.float64) * np.where(
        step == cars.first[:, None], cars.first_share[:, None], 1.0
    )
    return share * np.where(step == cars.end[:, None] - 1, cars.end_share[:, None], 1.0)


def car_states(instance: Instance, car_a: Floats, discharge_a: Floats) -> Floats:
    """(N, T): what the battery of each car holds at the end of each step, where it can feed back."""
    cars = instance.cars
    feeds = cars.discharge_a[:, None] > 0.0
    kwh, eta = cars.kw_per_a[:, None] * instance.grid.dt_h, np.where(feeds, cars.efficiency[:, None], 1.0)
    change = np.where(feeds, kwh * (eta * car_a - discharge_a / eta), 0.0)
    states: Floats = cars.soc_kwh[:, None] + np.cumsum(change, axis=1)
    return states


def beyond_kw(instance: Instance, solution: Solution) -> Floats:
    """(T,): what is beyond the limits, circuits' amperes as kW."""
    grid = instance.grid
    amps, net = amperes(instance, solution), net_kw(instance, solution)
    over = _real(amps - grid.headroom_a) + _real(-amps - grid.feed_in_a)
    beyond: Floats = KW_PER_A * over.sum(axis=(0, 1))
    beyond += _real(np.maximum(net, 0.0) - grid.import_limit_kw) + _real(np.maximum(-net, 0.0) - grid.export_limit_kw)
    return beyond


def cost_eur(instance: Instance, solution: Solution) -> float:
    """The objective, from the decisions alone."""
    grid, dt = instance.grid, instance.grid.dt_h
    net = net_kw(instance, solution)
    bought, sold = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    money = float((dt * (grid.import_eur_per_kwh * bought - grid.export_eur_per_kwh * sold)).sum())
    money += grid.peak_eur_per_kw * float(grid.peak_kw(bought).sum()) + grid.slack_eur_per_kwh * float(
        dt @ beyond_kw(instance, solution)
    )
    return money + _car_cost(instance, solution) + _store_cost(instance, solution) + _heat_cost(instance, solution)


def shortage_eur(instance: Instance, shortage_kwh: Floats) -> float:
    """What missing this much costs, the cheapest tiers first."""
    cars = instance.cars
    before = np.cumsum(cars.short_kwh, axis=1) - cars.short_kwh
    filled = np.clip(shortage_kwh[:, None] - before, 0.0, cars.short_kwh)
    return float((filled * cars.short_eur_per_kwh).sum())


def _car_cost(instance: Instance, solution: Solution) -> float:
    cars, grid = instance.cars, instance.grid
    kwh = cars.kw_per_a[:, None] * grid.dt_h
    total = shortage_eur(instance, solution.shortage_kwh)
    waiting = cars.early_eur_per_kwh_step[:, None] * np.arange(grid.steps) * kwh * solution.car_a
    feeds = cars.discharge_a > 0.0
    wear = cars.wear_eur_per_kwh[:, None] * kwh * solution.car_discharge_a
    total += float(waiting.sum()) + float(wear[feeds].sum())
    states = car_states(instance, solution.car_a, solution.car_discharge_a)
    total -= float((cars.terminal_eur_per_kwh * states[:, -1])[feeds].sum())
    plugged = (window_share(instance) > 0.0) & feeds[:, None]
    total += grid.slack_eur_per_kwh * float(_outside(states, cars.floor_kwh, cars.capacity_kwh)[plugged].sum())
    k = cars.previous_a.shape[1]
    moved = np.abs((solution.car_a - solution.car_discharge_a)[:, :k] - cars.previous_a) * kwh[:, :k]
    return total + cars.churn_eur_per_kwh * float(moved[_in_window(instance)[:, :k] & np.isfinite(moved)].sum())


def _store_cost(instance: Instance, solution: Solution) -> float:
    stores, grid = instance.batteries, instance.grid
    wear = stores.wear_eur_per_kwh[:, None] * grid.dt_h * (solution.charge_kw + solution.discharge_kw)
    outside = _outside(solution.soc_kwh, stores.floor_kwh, stores.capacity_kwh)
    held = float(stores.terminal_eur_per_kwh @ solution.soc_kwh[:, -1])
    return float(wear.sum()) + grid.slack_eur_per_kwh * float(outside.sum()) - held


def _heat_cost(instance: Instance, solution: Solution) -> float:
    buffers, dt = instance.buffers, instance.grid.dt_h
    low, high = _rows(buffers.low_kwh, instance), _rows(buffers.high_kwh, instance)
    outside = np.maximum(low - solution.heat_kwh, 0.0) + np.maximum(solution.heat_kwh - high, 0.0)
    held = float(buffers.terminal_eur_per_kwh @ solution.heat_kwh[:, -1])
    return float((buffers.comfort_eur_per_kwh[:, None] * dt * outside).sum()) - held


def _misshapen(instance: Instance, solution: Solution) -> list[Violation]:
    """Columns of another shape, or with something in them that is no number."""
    t, n = instance.grid.steps, instance.cars.n
    stores, plants = (len(instance.batteries.circuit), t), (len(instance.solar.circuit), t)
    buffers, runs = (len(instance.buffers.circuit), t), (len(instance.runs.circuit), t)
    shapes = {
        "car_a": (n, t), "car_discharge_a": (n, t), "charge_kw": stores, "discharge_kw": stores, "soc_kwh": stores,
        "curtailed_kw": plants, "buffer_kw": buffers, "heat_kwh": buffers, "run_kw": runs, "import_kw": (t,),
        "export_kw": (t,), "shortage_kwh": (n,), "peak_kw": instance.grid.floors_kw.shape, "beyond_kw": (),
        "objective_eur": (),
    }  # fmt: skip
    found = []
    for name, shape in shapes.items():
        column = np.asarray(getattr(solution, name), dtype=np.float64)
        if column.shape != shape:
            found.append(Violation(f"shape of {name}", column.shape, np.inf))
        elif not np.isfinite(column).all():
            found.append(
                Violation(f"{name} is no number", tuple(np.argwhere(~np.isfinite(column))[0].tolist()), np.inf)
            )
    return found


def _cars(instance: Instance, solution: Solution) -> Iterator[Violation]:
    cars, share = instance.cars, window_share(instance)
    yield from _above("car current", solution.car_a, cars.max_a[:, None] * share)
    yield from _above("car current below zero", -solution.car_a, 0.0)
    yield from _above("car discharge", solution.car_discharge_a, cars.discharge_a[:, None] * share)
    yield from _above("car discharge below zero", -solution.car_discharge_a, 0.0)
    yield from _above("shortage", solution.shortage_kwh, cars.short_kwh.sum(axis=1))
    yield from _above("shortage below zero", -solution.shortage_kwh, 0.0)
    kwh = (cars.kw_per_a[:, None] * instance.grid.dt_h * solution.car_a).sum(axis=1)
    states, feeds = car_states(instance, solution.car_a, solution.car_discharge_a), cars.discharge_a > 0.0
    gained = np.where(feeds, states[:, -1] - cars.soc_kwh, kwh)
    missing = cars.energy_kwh - gained - solution.shortage_kwh
    yield from _above("car energy", missing, 0.0)
    yield from _above("car energy, too much", np.where(feeds, 0.0, -missing), 0.0)
    inside = np.where(_in_window(instance) & feeds[:, None], states, cars.soc_kwh[:, None])
    yield from _above("car floor", np.minimum(cars.floor_kwh, cars.soc_kwh)[:, None] - inside, 0.0)
    yield from _above("car capacity", inside, np.maximum(cars.capacity_kwh, cars.soc_kwh)[:, None])


def _stores(instance: Instance, solution: Solution) -> Iterator[Violation]:
    stores, dt = instance.batteries, instance.grid.dt_h
    yield from _above("battery charge", solution.charge_kw, stores.charge_kw[:, None])
    yield from _above("battery discharge", solution.discharge_kw, stores.discharge_kw[:, None])
    yield from _above("battery power below zero", -np.minimum(solution.charge_kw, solution.discharge_kw), 0.0)
    before = np.concatenate([stores.soc_kwh[:, None], solution.soc_kwh[:, :-1]], axis=1)
    into = stores.charge_efficiency[:, None] * solution.charge_kw
    change = dt * (into - solution.discharge_kw / stores.discharge_efficiency[:, None])
    yield from _above("battery state", np.abs(solution.soc_kwh - before - change), 0.0)
    yield from _above("battery floor", np.minimum(stores.floor_kwh, stores.soc_kwh)[:, None] - solution.soc_kwh, 0.0)
    yield from _above("battery capacity", solution.soc_kwh, np.maximum(stores.capacity_kwh, stores.soc_kwh)[:, None])


def _heat(instance: Instance, solution: Solution) -> Iterator[Violation]:
    buffers, grid = instance.buffers, instance.grid
    yield from _above("buffer power", solution.buffer_kw, _rows(buffers.power_kw, instance))
    yield from _above("buffer power below zero", -solution.buffer_kw, 0.0)
    before = np.concatenate([buffers.heat_kwh[:, None], solution.heat_kwh[:, :-1]], axis=1)
    kept = buffers.keep[:, None] ** (grid.dt_h / grid.full_h) * before
    made = _rows(buffers.cop, instance) * solution.buffer_kw * grid.dt_h - _rows(buffers.demand_kwh, instance)
    yield from _above("buffer state", np.abs(solution.heat_kwh - kept - made), 0.0)
    yield from _above("curtailed", solution.curtailed_kw, np.maximum(instance.solar.available_kw, 0.0))
    yield from _above("curtailed below zero", -solution.curtailed_kw, 0.0)


def _connection(instance: Instance, solution: Solution) -> Iterator[Violation]:
    grid = instance.grid
    bought, sold = solution.import_kw, solution.export_kw
    yield from _above("balance", np.abs(bought - sold - net_kw(instance, solution)), 0.0)
    yield from _above("import and export at once", np.minimum(bought, sold), 0.0)
    yield from _above("import below zero", -bought, 0.0)
    yield from _above("export below zero", -sold, 0.0)
    idle = grid.base_kw + idle_run_kw(instance).sum(axis=0)
    yield from _above("import limit", bought, np.maximum(np.maximum(grid.import_limit_kw, idle), 0.0))
    yield from _above("export limit", sold, np.maximum(np.maximum(grid.export_limit_kw, -grid.base_kw), 0.0))
    used_kwh = grid.dt_h * bought
    used_kwh[:1] += grid.already_kwh
    yield from _above("peak", used_kwh / grid.full_h, solution.peak_kw[grid.period])
    yield from _above("pace", bought[:1] if grid.under_way else np.zeros(1), solution.peak_kw[:1])
    yield from _above("peak floor", grid.floors_kw, solution.peak_kw)


def _circuits(instance: Instance, solution: Solution) -> Iterator[Violation]:
    amps = amperes(instance, solution)
    yield from _above("circuit", amps, most_amperes(instance))
    yield from _above("circuit, feeding in", -amps, np.maximum(instance.grid.feed_in_a, 0.0))


def _money(instance: Instance, solution: Solution) -> Iterator[Violation]:
    cost = cost_eur(instance, solution)
    turnover = float(np.abs(instance.grid.import_eur_per_kwh * instance.grid.dt_h * solution.import_kw).sum())
    allowed = TOLERANCE_EUR * max(1.0, abs(cost), turnover)
    yield from _above("objective", np.array(abs(cost - solution.objective_eur)), 0.0, allowed)
    yield from _above("objective below its bound", np.array(solution.bound_eur - solution.objective_eur), 0.0, allowed)
    beyond = abs(float(beyond_kw(instance, solution).sum()) - solution.beyond_kw)
    yield from _above("beyond limits", np.array(beyond), 0.0, TOLERANCE * instance.grid.headroom_a.size)


def least_a(instance: Instance) -> Floats:
    """(N, K): the least current a car charges with in the first steps, on average over the step.

    That is its minimum while it is plugged in, or all that it can still take where that is less.
    """
    cars, k = instance.cars, min(FIRM_STEPS, instance.grid.steps)
    feeds = cars.discharge_a > 0.0
    store = (cars.capacity_kwh - cars.soc_kwh) / np.where(feeds, cars.efficiency, 1.0)
    space = np.where(feeds, store, cars.energy_kwh)
    fills = np.maximum(space, 0.0)[:, None] / (cars.kw_per_a[:, None] * instance.grid.dt_h[:k])
    least: Floats = np.minimum(cars.min_a[:, None] * window_share(instance)[:, :k], fills)
    return least


def _minimum(instance: Instance, solution: Solution) -> Iterator[Violation]:
    least = least_a(instance)
    current = solution.car_a[:, : least.shape[1]]
    yield from _above("minimum current", np.where(current > TOLERANCE, least - current, 0.0), 0.0)


def _one_way(solution: Solution) -> Iterator[Violation]:
    yield from _above("battery both ways", np.minimum(solution.charge_kw, solution.discharge_kw), 0.0)
    yield from _above("car both ways", np.minimum(solution.car_a, solution.car_discharge_a), 0.0)


def _one_start(instance: Instance, solution: Solution) -> Iterator[Violation]:
    runs = instance.runs
    for r, profile in enumerate(runs.profile_kw):
        off = [
            float(np.abs(solution.run_kw[r] - _started(profile, start, instance.grid.steps)).max())
            for start in range(int(runs.earliest[r]), int(runs.latest[r]) + 1)
        ]
        if min(off) > TOLERANCE:
            yield Violation("run", (r,), min(off))


def _started(profile: Floats, start: int, steps: int) -> Floats:
    power = np.zeros(steps)
    power[start : start + len(profile)] = profile
    return power


def _in_window(instance: Instance) -> Bools:
    cars, step = instance.cars, np.arange(instance.grid.steps)[None, :]
    inside: Bools = (step >= cars.first[:, None]) & (step < cars.end[:, None])
    return inside


def _outside(states: Floats, floor: Floats, capacity: Floats) -> Floats:
    """How far states are outside their bounds."""
    return _real(floor[:, None] - states) + _real(states - capacity[:, None])


def _real(excess: Floats) -> Floats:
    """What is more than the solver's dust."""
    real: Floats = np.where(excess > TOLERANCE, excess, 0.0)
    return real


def _rows(column: Floats, instance: Instance) -> Floats:
    """(n, T) from (n,) or (n, T)."""
    return np.broadcast_to(column[:, None] if column.ndim == 1 else column, (len(column), instance.grid.steps))


def _with_children(parent: Ints, total: Floats) -> Floats:
    """Each circuit with all that hangs below it; parents come before children."""
    for c in range(len(parent) - 1, 0, -1):
        total[parent[c]] += total[c]
    return total


def _above(what: str, values: Floats, most: Floats | float, tolerance: float = TOLERANCE) -> Iterator[Violation]:
    """Where ``values`` are more than ``most``, the worst place only: one row in a thousand says as much as all."""
    excess = np.asarray(values - most)
    if excess.size and excess.max() > tolerance:
        worst = np.unravel_index(int(excess.argmax()), excess.shape)
        yield Violation(what, tuple(int(k) for k in worst), float(excess.max()))
