"""The numbers of the linear program that change from one solve to the next: costs, bounds and right-hand sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.core.instance import KW_PER_A, Floats, Instance
from optimizer.core.lp_layout import Layout
from optimizer.core.lp_tree import Reach, per_step


@dataclass(frozen=True, slots=True)
class Vectors:
    """``cost``, ``lower``, ``upper`` per column, ``row_lower``, ``row_upper`` per row; ``offset``: constant, EUR."""

    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    offset: float


def vectors_of(instance: Instance, layout: Layout, reach: Reach, run_kw: Floats) -> Vectors:
    """Costs and bounds for the columns and rows of ``layout``."""
    rows, columns = layout.shape
    made = Vectors(np.zeros(columns), np.zeros(columns), np.full(columns, np.inf), np.zeros(rows), np.zeros(rows), 0.0)
    offset = _cars(instance, layout, reach, made)
    if layout.cells.fed.size:
        _car_states(instance, layout, made)
    _grid(instance, layout, made, run_kw)
    if len(instance.batteries.circuit):
        _batteries(instance, layout, made)
    if len(instance.buffers.circuit):
        _buffers(instance, layout, made)
    if len(instance.solar.circuit):
        made.upper[layout.columns["curtailed"]] = np.maximum(instance.solar.available_kw, 0.0).reshape(-1)
    made.row_lower[layout.rows["run"]] = made.row_upper[layout.rows["run"]] = 1.0
    offset += _circuits(instance, layout, reach, made)
    feeds = instance.cars.discharge_a > 0.0
    away = feeds & (np.diff(layout.cells.start) == 0)
    offset -= float((instance.cars.terminal_eur_per_kwh * instance.cars.soc_kwh)[away].sum())
    return Vectors(made.cost, made.lower, made.upper, made.row_lower, made.row_upper, offset)


def _cars(instance: Instance, layout: Layout, reach: Reach, made: Vectors) -> float:
    cars, cells, grid = instance.cars, layout.cells, instance.grid
    car, step = cells.car, cells.step
    kwh = cars.kw_per_a[car] * grid.dt_h[step]
    cost = cars.early_eur_per_kwh_step[car] * step * kwh
    most, offset = reach.cell_a, 0.0
    split, torn = layout.split, cells.fed[layout.torn]
    if split.size:
        before = cars.previous_a[car[split], step[split]]
        price = cars.churn_eur_per_kwh * kwh[split]
        kept = np.clip(before, 0.0, most[split])
        made.cost[layout.columns["x above"]] = cost[split] + price
        made.upper[layout.columns["x above"]] = most[split] - kept
        cost[split] -= price
        most = most.copy()
        most[split] = kept
        offset = float((price * np.abs(before)).sum())
    if torn.size:
        before = cars.previous_a[car[torn], step[torn]]
        made.row_lower[layout.rows["churn"]] = made.row_upper[layout.rows["churn"]] = before
        price = cars.churn_eur_per_kwh * kwh[torn]
        made.cost[layout.columns["churn up"]] = made.cost[layout.columns["churn down"]] = price
    if "x" in layout.columns:
        made.cost[layout.columns["x"]], made.upper[layout.columns["x"]] = cost, most
    if "short" in layout.columns:
        made.cost[layout.columns["short"]] = cars.short_eur_per_kwh.reshape(-1)
        made.upper[layout.columns["short"]] = cars.short_kwh.reshape(-1)
    made.row_lower[layout.rows["energy"]] = cars.energy_kwh
    made.row_upper[layout.rows["energy"]] = np.where(cars.discharge_a > 0.0, np.inf, cars.energy_kwh)
    return offset


def _car_states(instance: Instance, layout: Layout, made: Vectors) -> None:
    cars, cells = instance.cars, layout.cells
    car, step = cells.car[cells.fed], cells.step[cells.fed]
    made.upper[layout.columns["y"]] = cars.discharge_a[car] * cells.share[cells.fed]
    made.cost[layout.columns["y"]] = cars.wear_eur_per_kwh[car] * cars.kw_per_a[car] * instance.grid.dt_h[step]
    begin = np.ones(len(car), dtype=bool)
    begin[1:] = car[1:] != car[:-1]
    last = np.append(begin[1:], True)
    first_row = np.where(begin, cars.soc_kwh[car], 0.0)
    made.row_lower[layout.rows["car state"]] = made.row_upper[layout.rows["car state"]] = first_row
    state = layout.columns["car state"]
    made.lower[state] = np.minimum(cars.floor_kwh, cars.soc_kwh)[car]
    made.upper[state] = np.maximum(cars.capacity_kwh, cars.soc_kwh)[car]
    made.cost[state] = np.where(last, -cars.terminal_eur_per_kwh[car], 0.0)
    plugged = car[last]
    made.row_lower[layout.rows["energy"]][plugged] = cars.soc_kwh[plugged] + cars.energy_kwh[plugged]
    outside = car[layout.soft.cells]
    if outside.size:
        made.row_lower[layout.rows["car band"]] = cars.floor_kwh[outside]
        made.row_upper[layout.rows["car band"]] = cars.capacity_kwh[outside]
        for name in ("car below", "car above"):
            made.cost[layout.columns[name]] = instance.grid.slack_eur_per_kwh


def _grid(instance: Instance, layout: Layout, made: Vectors, run_kw: Floats) -> None:
    grid, soft = instance.grid, layout.soft
    bought, sold = layout.columns["import"], layout.columns["export"]
    slack = grid.slack_eur_per_kwh * grid.dt_h
    made.cost[bought] = grid.import_eur_per_kwh * grid.dt_h
    made.cost[sold] = -np.minimum(grid.export_eur_per_kwh, grid.import_eur_per_kwh) * grid.dt_h
    made.upper[bought], made.upper[sold] = np.maximum(grid.import_limit_kw, 0.0), np.maximum(grid.export_limit_kw, 0.0)
    idle = np.maximum(grid.base_kw + run_kw.sum(axis=0), 0.0)
    for name, flow, steps, most, limit in (
        ("import beyond", bought, soft.imports, idle, grid.import_limit_kw),
        ("export beyond", sold, soft.exports, -grid.base_kw, grid.export_limit_kw),
    ):
        if steps.size:
            made.upper[layout.columns[name]] = (most - np.maximum(limit, 0.0))[steps]
            made.cost[layout.columns[name]] = (made.cost[flow] + slack)[steps]
    made.row_lower[layout.rows["balance"]] = made.row_upper[layout.rows["balance"]] = grid.base_kw
    if layout.peaked:
        peak = layout.columns["peak"]
        made.cost[peak], made.lower[peak] = grid.peak_eur_per_kw, grid.floors_kw
        made.row_lower[layout.rows["peak"]] = -np.inf
        made.row_upper[layout.rows["peak"].start] = -grid.already_kwh / grid.dt_h[0]
        made.row_lower[layout.rows["pace"]] = -np.inf


def _batteries(instance: Instance, layout: Layout, made: Vectors) -> None:
    stores, grid, steps = instance.batteries, instance.grid, instance.grid.steps
    wear = (stores.wear_eur_per_kwh[:, None] * grid.dt_h).reshape(-1)
    made.cost[layout.columns["charge"]] = made.cost[layout.columns["discharge"]] = wear
    made.upper[layout.columns["charge"]] = np.repeat(stores.charge_kw, steps)
    made.upper[layout.columns["discharge"]] = np.repeat(stores.discharge_kw, steps)
    state = layout.columns["soc"]
    made.lower[state] = np.repeat(np.minimum(stores.floor_kwh, stores.soc_kwh), steps)
    made.upper[state] = np.repeat(np.maximum(stores.capacity_kwh, stores.soc_kwh), steps)
    made.cost[state.start + steps - 1 : state.stop : steps] = -stores.terminal_eur_per_kwh
    row = layout.rows["battery"]
    made.row_lower[row.start : row.stop : steps] = made.row_upper[row.start : row.stop : steps] = stores.soc_kwh
    outside = layout.soft.batteries
    if outside.size:
        made.row_lower[layout.rows["battery band"]] = np.repeat(stores.floor_kwh[outside], steps)
        made.row_upper[layout.rows["battery band"]] = np.repeat(stores.capacity_kwh[outside], steps)
        for name in ("battery below", "battery above"):
            made.cost[layout.columns[name]] = grid.slack_eur_per_kwh


def _buffers(instance: Instance, layout: Layout, made: Vectors) -> None:
    buffers, grid, steps = instance.buffers, instance.grid, instance.grid.steps
    made.upper[layout.columns["buffer"]] = per_step(buffers.power_kw, steps).reshape(-1)
    heat = layout.columns["heat"]
    made.lower[heat] = -np.inf
    made.cost[heat.start + steps - 1 : heat.stop : steps] = -buffers.terminal_eur_per_kwh
    comfort = (buffers.comfort_eur_per_kwh[:, None] * grid.dt_h).reshape(-1)
    made.cost[layout.columns["too cold"]] = made.cost[layout.columns["too hot"]] = comfort
    change = -per_step(buffers.demand_kwh, steps).copy()
    change[:, 0] += buffers.keep ** (grid.dt_h[0] / grid.full_h) * buffers.heat_kwh
    made.row_lower[layout.rows["heat"]] = made.row_upper[layout.rows["heat"]] = change.reshape(-1)
    made.row_lower[layout.rows["heat band"]] = per_step(buffers.low_kwh, steps).reshape(-1)
    made.row_upper[layout.rows["heat band"]] = per_step(buffers.high_kwh, steps).reshape(-1)


def _circuits(instance: Instance, layout: Layout, reach: Reach, made: Vectors) -> float:
    """Rows of the circuits; the constant cost of being outside where the two limits of a row exclude each other.

    Where they do, whatever lies between them breaks both by the same sum: that is the row's interval then.
    """
    grid, soft = instance.grid, layout.soft
    headroom, feed_in = grid.headroom_a.reshape(-1), grid.feed_in_a.reshape(-1)
    upper, lower = headroom[layout.kept], -feed_in[layout.kept]
    rows = layout.rows["amps"]
    if not (soft.up.size or soft.down.size):
        made.row_upper[rows], made.row_lower[rows] = upper, lower
        return 0.0
    hard, hard_low = reach.hard_a.reshape(-1), -np.maximum(feed_in, 0.0)
    made.row_upper[rows] = np.minimum(np.maximum(upper, lower), hard[layout.kept])
    made.row_lower[rows] = np.maximum(np.minimum(upper, lower), hard_low[layout.kept])
    slack = np.tile(grid.slack_eur_per_kwh * KW_PER_A * grid.dt_h, len(grid.parent) * grid.rows)
    if soft.up.size:
        above = hard[soft.up] - np.maximum(headroom[soft.up], -feed_in[soft.up])
        made.cost[layout.columns["amps beyond"]] = slack[soft.up]
        made.upper[layout.columns["amps beyond"]] = np.maximum(above, 0.0)
    if soft.down.size:
        below = np.minimum(headroom[soft.down], -feed_in[soft.down]) - hard_low[soft.down]
        made.cost[layout.columns["feed-in beyond"]] = slack[soft.down]
        made.upper[layout.columns["feed-in beyond"]] = np.maximum(below, 0.0)
    return float((slack[layout.kept] * np.maximum(lower - upper, 0.0)).sum())
