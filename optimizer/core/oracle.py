"""The model of `instance` in cvxpy, to be read next to its formulas: the tests hold the production solver against it.

Nothing is left out and nothing is clever here: every circuit, phase and step has its row, variables outside a window
are there and bounded to 0. Solved by HiGHS without a warm start, which in cvxpy costs more than it saves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cvxpy as cp
import numpy as np

from optimizer.core.instance import KW_PER_A, PHASES, Bools, Floats, Instance, Ints, Solution


@dataclass(slots=True)
class Part:
    """What one kind of asset adds to the program.

    ``kw``: its power, (T,), consumption positive. ``amps``: per phase, (C, T), on every circuit above it. ``cost`` in
    EUR. ``rows``: its constraints by name. ``at``: its variables and expressions by name.
    """

    kw: Any
    amps: list[Any]
    cost: Any
    rows: dict[str, Any] = field(default_factory=dict)
    at: dict[str, Any] = field(default_factory=dict)


def below(parent: Ints, circuit: Ints) -> Floats:
    """(C, n): 1 where asset n hangs somewhere below circuit C."""
    reach = np.zeros((len(parent), len(circuit)))
    for n, start in enumerate(circuit):
        c = int(start)
        while c >= 0:
            reach[c, n] = 1.0
            c = int(parent[c])
    return reach


def per_step(column: Floats, steps: int) -> Floats:
    """(n, T) from (n,) or (n, T)."""
    return np.broadcast_to(column[:, None] if column.ndim == 1 else column, (len(column), steps))


def on_circuits(instance: Instance, circuit: Ints, a_per_kw: Floats, kw: Any) -> list[Any]:
    """Amperes of each phase on each circuit from the power (n, T) of assets."""
    reach = below(instance.grid.parent, circuit)
    return [(reach * a_per_kw[:, p]) @ kw for p in range(PHASES)]


def outside(soc: Any, start_kwh: Floats, floor_kwh: Floats, capacity_kwh: Floats, there: Bools) -> tuple[Any, Any, Any]:
    """How far states (n, T) are under and over their bounds, and the rows that keep them: where ``there``, and never
    further than they started.
    """
    under, over = cp.Variable(there.shape, nonneg=True), cp.Variable(there.shape, nonneg=True)
    rows = {}
    for name, sign, slack, bound in (("floor", -1.0, under, floor_kwh), ("capacity", 1.0, over, capacity_kwh)):
        most = np.maximum(sign * (start_kwh - bound), 0.0)[:, None]
        rows[name] = cp.multiply(there, sign * (soc - bound[:, None]) - slack) <= 0.0
        rows[f"{name} as at the start"] = slack <= there * most
    return under, over, rows


def window_a(instance: Instance, most_a: Floats) -> Floats:
    """(N, T): the most a car may take in each step: 0 outside its window, a share in its first and last step."""
    cars = instance.cars
    most = np.zeros((cars.n, instance.grid.steps))
    for i in range(cars.n):
        first, end = int(cars.first[i]), int(cars.end[i])
        if first < end:
            most[i, first:end] = most_a[i]
            most[i, first] *= cars.first_share[i]
            most[i, end - 1] *= cars.end_share[i]
    return most


def _cars(instance: Instance) -> Part:
    cars, grid = instance.cars, instance.grid
    steps, kw_per_a, dt = grid.steps, cars.kw_per_a[:, None], grid.dt_h[None, :]
    x, y = cp.Variable((cars.n, steps), nonneg=True), cp.Variable((cars.n, steps), nonneg=True)
    short = cp.Variable(cars.short_kwh.shape, nonneg=True)
    rows = {
        "car most": x <= window_a(instance, cars.max_a),
        "car discharge most": y <= window_a(instance, cars.discharge_a),
        "car shortage": short <= cars.short_kwh,
    }
    plain, feeds = np.flatnonzero(cars.discharge_a <= 0), np.flatnonzero(cars.discharge_a > 0)
    taken = cp.sum(cp.multiply(kw_per_a * dt, x), axis=1)
    missing = cp.sum(short, axis=1)
    if len(plain):
        rows["car energy"] = taken[plain] + missing[plain] == cars.energy_kwh[plain]
    early = cars.early_eur_per_kwh_step[:, None] * np.arange(steps)[None, :] * kw_per_a * dt
    cost = cp.sum(cp.multiply(early, x)) + cp.sum(cp.multiply(cars.short_eur_per_kwh, short))
    part = Part(
        kw=cp.sum(cp.multiply(kw_per_a, x - y), axis=0),
        amps=[(below(grid.parent, cars.circuit) * cars.wired[:, p]) @ (x - y) for p in range(PHASES)],
        cost=cost + _churn(instance, x - y),
        rows=rows,
        at={"x": x, "y": y, "short": short, "plain": plain, "feeds": feeds},
    )
    if len(feeds):
        _car_states(instance, part)
    return part


def _churn(instance: Instance, net: Any) -> Any:
    """The price of moving away from the previous plan, where there was one and the car is still plugged in."""
    cars, grid = instance.cars, instance.grid
    previous = cars.previous_a
    k = previous.shape[1]
    plugged = (cars.first[:, None] <= np.arange(k)) & (np.arange(k) < cars.end[:, None])
    weight = cars.churn_eur_per_kwh * cars.kw_per_a[:, None] * grid.dt_h[None, :k] * (np.isfinite(previous) & plugged)
    if not weight.any():
        return 0.0
    return cp.sum(cp.multiply(weight, cp.abs(net[:, :k] - np.nan_to_num(previous))))


def _car_states(instance: Instance, part: Part) -> None:
    """What a car that can feed back holds, step by step."""
    cars, grid, feeds = instance.cars, instance.grid, part.at["feeds"]
    steps, eta = grid.steps, cars.efficiency[feeds][:, None]
    kwh = cars.kw_per_a[feeds][:, None] * grid.dt_h[None, :]
    soc = cp.Variable((len(feeds), steps))
    first, end, floor, capacity = (getattr(cars, name)[feeds] for name in ("first", "end", "floor_kwh", "capacity_kwh"))
    inside = (first[:, None] <= np.arange(steps)) & (np.arange(steps) < end[:, None])
    under, over, limits = outside(soc, cars.soc_kwh[feeds], floor, capacity, inside)
    x, y, missing = part.at["x"][feeds, :], part.at["y"][feeds, :], cp.sum(part.at["short"], axis=1)[feeds]
    before = cp.hstack([cars.soc_kwh[feeds][:, None], soc[:, :-1]])
    wanted = cars.soc_kwh[feeds] + cars.energy_kwh[feeds]
    part.rows |= {
        "car state": soc == before + cp.multiply(eta * kwh, x) - cp.multiply(kwh / eta, y),
        "car end state": soc[:, -1] + missing >= wanted,
        **{f"car {name}": row for name, row in limits.items()},
    }
    part.cost += cp.sum(cp.multiply(cars.wear_eur_per_kwh[feeds][:, None] * kwh, y))
    part.cost += grid.slack_eur_per_kwh * cp.sum(under + over)
    part.cost -= cars.terminal_eur_per_kwh[feeds] @ soc[:, -1]
    part.at |= {"beyond": cp.sum(under + over)}


def _batteries(instance: Instance) -> Part:
    b, grid = instance.batteries, instance.grid
    shape, dt = (len(b.circuit), grid.steps), grid.dt_h[None, :]
    charge, discharge = cp.Variable(shape, nonneg=True), cp.Variable(shape, nonneg=True)
    soc = cp.Variable(shape)
    under, over, limits = outside(soc, b.soc_kwh, b.floor_kwh, b.capacity_kwh, np.ones(shape, dtype=np.bool_))
    before = cp.hstack([b.soc_kwh[:, None], soc[:, :-1]])
    gain, drain = b.charge_efficiency[:, None] * dt, dt / b.discharge_efficiency[:, None]
    rows = {
        "battery charge": charge <= b.charge_kw[:, None],
        "battery discharge": discharge <= b.discharge_kw[:, None],
        "battery state": soc == before + cp.multiply(gain, charge) - cp.multiply(drain, discharge),
        **{f"battery {name}": row for name, row in limits.items()},
    }
    wear = cp.sum(cp.multiply(b.wear_eur_per_kwh[:, None] * dt, charge + discharge))
    return Part(
        kw=cp.sum(charge - discharge, axis=0),
        amps=on_circuits(instance, b.circuit, b.a_per_kw, charge - discharge),
        cost=wear + grid.slack_eur_per_kwh * cp.sum(under + over) - b.terminal_eur_per_kwh @ soc[:, -1],
        rows=rows,
        at={"charge": charge, "discharge": discharge, "soc": soc, "beyond": cp.sum(under + over)},
    )


def _solar(instance: Instance) -> Part:
    solar = instance.solar
    curtailed = cp.Variable(solar.available_kw.shape, nonneg=True)
    return Part(
        kw=cp.sum(curtailed, axis=0),
        amps=on_circuits(instance, solar.circuit, solar.a_per_kw, curtailed),
        cost=0.0,
        rows={"curtailed": curtailed <= np.maximum(solar.available_kw, 0.0)},
        at={"curtailed": curtailed},
    )


def _buffers(instance: Instance) -> Part:
    h, grid = instance.buffers, instance.grid
    steps, dt = grid.steps, grid.dt_h[None, :]
    shape = (len(h.circuit), steps)
    power, under, over = (cp.Variable(shape, nonneg=True) for _ in range(3))
    heat = cp.Variable(shape)
    keep = h.keep[:, None] ** (dt / grid.full_h)
    before = cp.hstack([h.heat_kwh[:, None], heat[:, :-1]])
    made = cp.multiply(per_step(h.cop, steps) * dt, power)
    rows = {
        "buffer power": power <= per_step(h.power_kw, steps),
        "buffer state": heat == cp.multiply(keep, before) + made - per_step(h.demand_kwh, steps),
        "buffer low": heat + under >= per_step(h.low_kwh, steps),
        "buffer high": heat - over <= per_step(h.high_kwh, steps),
    }
    comfort = cp.sum(cp.multiply(h.comfort_eur_per_kwh[:, None] * dt, under + over))
    return Part(
        kw=cp.sum(power, axis=0),
        amps=on_circuits(instance, h.circuit, h.a_per_kw, power),
        cost=comfort - h.terminal_eur_per_kwh @ heat[:, -1],
        rows=rows,
        at={"power": power, "heat": heat},
    )


def _runs(instance: Instance) -> Part:
    r, steps = instance.runs, instance.grid.steps
    share = cp.Variable((len(r.circuit), steps), nonneg=True)
    start = np.arange(steps)
    allowed = (r.earliest[:, None] <= start) & (start <= r.latest[:, None])
    power = []
    for profile in range(len(r.circuit)):
        moved = np.zeros((steps, steps))
        for lag, kw in enumerate(r.profile_kw[profile]):
            moved += kw * np.eye(steps, k=lag)
        power.append(share[profile, :] @ moved)
    kw = cp.vstack(power)
    return Part(
        kw=cp.sum(kw, axis=0),
        amps=on_circuits(instance, r.circuit, r.a_per_kw, kw),
        cost=0.0,
        rows={"run allowed": share <= allowed.astype(float), "run once": cp.sum(share, axis=1) == 1.0},
        at={"kw": kw},
    )


def idle_run_kw(instance: Instance) -> Floats:
    """(R, T): the most any start of a run would take in each step."""
    r = instance.runs
    most = np.zeros((len(r.circuit), instance.grid.steps))
    for n, profile in enumerate(r.profile_kw):
        for start in range(int(r.earliest[n]), int(r.latest[n]) + 1):
            steps = slice(start, start + len(profile))
            most[n, steps] = np.maximum(most[n, steps], profile)
    return most


def _grid(instance: Instance, parts: list[Part]) -> Part:
    """The balance, the connection's limits and the peak."""
    grid = instance.grid
    steps, dt = grid.steps, grid.dt_h
    already = np.zeros(steps)
    already[:1] = grid.already_kwh
    bought, sold = cp.Variable(steps, nonneg=True), cp.Variable(steps, nonneg=True)
    peak = cp.Variable(1 if grid.next_month is None else 2, nonneg=True)
    turn = steps if grid.next_month is None else grid.next_month
    mean_kw = (already + cp.multiply(dt, bought)) / grid.full_h
    rows = {
        "balance": bought - sold == grid.base_kw + sum(part.kw for part in parts),
        "peak": mean_kw[:turn] <= peak[0],
        "peak floor": peak[0] >= grid.peak_floor_kw,
    }
    if grid.next_month is not None:
        rows["next peak"], rows["next peak floor"] = mean_kw[turn:] <= peak[1], peak[1] >= grid.next_floor_kw
    if grid.under_way:
        rows["pace"] = bought[0] <= peak[0]
    beyond = []
    for name, flow, limit, idle in (
        ("import limit", bought, grid.import_limit_kw, grid.base_kw + idle_run_kw(instance).sum(axis=0)),
        ("export limit", sold, grid.export_limit_kw, -grid.base_kw),
    ):
        slack = cp.Variable(steps, nonneg=True)
        rows |= limit_rows(name, flow, limit, slack, idle)
        beyond.append(slack)
    energy = (grid.import_eur_per_kwh * dt) @ bought - (grid.export_eur_per_kwh * dt) @ sold
    return Part(
        kw=0.0,
        amps=[],
        cost=energy + grid.peak_eur_per_kw * cp.sum(peak) + grid.slack_eur_per_kwh * (dt @ sum(beyond)),
        rows=rows,
        at={"bought": bought, "sold": sold, "peak": peak, "beyond": cp.sum(sum(beyond))},
    )


def limit_rows(name: str, flow: Any, limit: Floats, slack: Any, idle: Floats) -> dict[str, Any]:
    """``flow`` within ``limit``, or beyond it by ``slack``: no further than idle is."""
    there = np.isfinite(limit)
    if not there.any():
        return {f"{name} beyond": slack <= 0.0}
    most = np.where(there, np.maximum(idle - np.where(there, limit, 0.0), 0.0), 0.0)
    return {name: flow[there] <= limit[there] + slack[there], f"{name} beyond": slack <= most}


def _circuits(instance: Instance, parts: list[Part]) -> Part:
    """Amperes of every circuit, phase and step, both ways, and of all phases together where there is a power limit."""
    grid, r = instance.grid, instance.runs
    rows: dict[str, Any] = {}
    beyond = []
    idle = on_circuits(instance, r.circuit, r.a_per_kw, idle_run_kw(instance))
    flows = [sum((part.amps[p] for part in parts), np.zeros(idle[p].shape)) for p in range(PHASES)]
    names = ["L1", "L2", "L3"]
    if grid.rows > PHASES:
        flows, idle, names = [*flows, sum(flows)], [*idle, sum(idle)], [*names, "all phases"]
    for p, on in enumerate(names):
        for name, flow, limit, still in (
            (f"headroom {on}", flows[p], grid.headroom_a[:, p, :], idle[p]),
            (f"feed-in {on}", -flows[p], grid.feed_in_a[:, p, :], np.zeros(idle[p].shape)),
        ):
            slack = cp.Variable(limit.shape, nonneg=True)
            rows |= limit_rows(name, flow, limit, slack, still)
            beyond.append(KW_PER_A * slack)
    cost = grid.slack_eur_per_kwh * cp.sum(sum(beyond) @ grid.dt_h)
    return Part(kw=0.0, amps=[], cost=cost, rows=rows, at={"beyond": cp.sum(sum(beyond))})


def model(instance: Instance) -> dict[str, Part]:
    """Every part of the program by name."""
    assets = {
        name: make(instance)
        for name, make, count in (
            ("cars", _cars, instance.cars.n),
            ("batteries", _batteries, len(instance.batteries.circuit)),
            ("solar", _solar, len(instance.solar.circuit)),
            ("buffers", _buffers, len(instance.buffers.circuit)),
            ("runs", _runs, len(instance.runs.circuit)),
        )
        if count
    }
    parts = list(assets.values())
    return {**assets, "grid": _grid(instance, parts), "circuits": _circuits(instance, parts)}


def solve(instance: Instance) -> Solution:
    """The optimum of the relaxation, with its values."""
    parts = model(instance)
    rows = [row for part in parts.values() for row in part.rows.values()]
    problem = cp.Problem(cp.Minimize(sum(part.cost for part in parts.values())), rows)
    problem.solve(solver=cp.HIGHS, warm_start=False)
    if problem.status != cp.OPTIMAL:
        raise RuntimeError(f"the model always has an optimum, HiGHS says {problem.status}")
    return _solution(instance, parts, float(problem.value))


def _solution(instance: Instance, parts: dict[str, Part], objective_eur: float) -> Solution:
    steps, n = instance.grid.steps, instance.cars.n

    def found(part: str, name: str, count: int) -> Floats:
        return np.asarray(parts[part].at[name].value) if part in parts else np.zeros((count, steps))

    batteries, heats = len(instance.batteries.circuit), len(instance.buffers.circuit)
    return Solution(
        car_a=found("cars", "x", n),
        car_discharge_a=found("cars", "y", n),
        charge_kw=found("batteries", "charge", batteries),
        discharge_kw=found("batteries", "discharge", batteries),
        soc_kwh=found("batteries", "soc", batteries),
        curtailed_kw=found("solar", "curtailed", len(instance.solar.circuit)),
        buffer_kw=found("buffers", "power", heats),
        heat_kwh=found("buffers", "heat", heats),
        run_kw=found("runs", "kw", len(instance.runs.circuit)),
        import_kw=found("grid", "bought", 1),
        export_kw=found("grid", "sold", 1),
        peak_kw=np.asarray(parts["grid"].at["peak"].value),
        shortage_kwh=np.asarray(parts["cars"].at["short"].value).sum(axis=1) if n else np.zeros(0),
        beyond_kw=sum(float(part.at["beyond"].value) for part in parts.values() if "beyond" in part.at),
        objective_eur=objective_eur,
        bound_eur=objective_eur,
        car_value_eur_per_kwh=_car_values(instance, parts),
        battery_value_eur_per_kwh=_dual(parts, "batteries", "battery state", (batteries, steps)),
        buffer_value_eur_per_kwh=_dual(parts, "buffers", "buffer state", (heats, steps)),
        status="optimal",
    )


def _dual(parts: dict[str, Part], part: str, row: str, shape: tuple[int, ...]) -> Floats:
    """What one kWh more on the right-hand side of a state row saves."""
    return np.asarray(parts[part].rows[row].dual_value).reshape(shape) if part in parts else np.zeros(shape)


def _car_values(instance: Instance, parts: dict[str, Part]) -> Floats:
    """What a car's next kWh is worth: wanting one less, or, where it can feed back, holding it already.

    Where nothing can be charged, any price above the dearest shortage is a dual price: wanting less saves that one.
    """
    cars = instance.cars
    values = np.zeros(cars.n)
    if cars.n:
        part, plain = parts["cars"], parts["cars"].at["plain"]
        dearest = np.where(cars.short_kwh > 0.0, cars.short_eur_per_kwh, 0.0).max(axis=1)
        if len(plain):
            values[plain] = np.minimum(-part.rows["car energy"].dual_value, dearest[plain])
        if len(part.at["feeds"]):
            values[part.at["feeds"]] = part.rows["car state"].dual_value[:, 0]
    return values
