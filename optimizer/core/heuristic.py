"""A plan without a solver: cars one after the other into their cheapest steps, within what every circuit leaves.

For the day when the solver fails or runs out of time. It is always feasible, never clever: batteries rest, runs start
where power is cheapest, heat pumps keep the lower edge of their band.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from optimizer.core.instance import Bools, Floats, Instance, Ints, Solution, on_rows
from optimizer.core.verify import (
    beyond_kw,
    car_states,
    cost_eur,
    idle_run_kw,
    least_a,
    most_amperes,
    net_kw,
    window_share,
)

DUST_A: Final = 1e-9
WAITING_EUR_PER_KWH_STEP: Final = 1e-6
"""Of equally cheap steps the earlier one."""
NO_BOUND_EUR: Final = float("-inf")
"""Nobody has solved the relaxation."""


@dataclass(slots=True)
class Room:
    """What is left while assets are placed: ``amps`` (C + 1, R, T), unlimited beyond the root; ``kw`` (T,): import."""

    amps: Floats
    kw: Floats

    def least(self, way: Ints, amps_per_unit: Floats, kw_per_unit: float) -> Floats:
        """(T,): how many units (A of a car, kW of another) fit on the circuits of ``way``."""
        used = amps_per_unit > 0.0
        fit = (self.amps[way][:, used] / amps_per_unit[used][None, :, None]).min(axis=(0, 1), initial=np.inf)
        both: Floats = np.maximum(np.minimum(fit, self.kw / kw_per_unit if kw_per_unit > 0.0 else np.inf), 0.0)
        return both

    def take(self, way: Ints, amps_per_unit: Floats, kw_per_unit: float, units: Floats) -> None:
        """Place ``units`` (T,)."""
        self.amps[way] -= amps_per_unit[None, :, None] * units[None, None, :]
        self.kw -= kw_per_unit * units


def heuristic(instance: Instance, bound_eur: float = NO_BOUND_EUR) -> Solution:
    """A feasible plan; its values of energy are estimates."""
    grid, cars = instance.grid, instance.cars
    most = np.concatenate([most_amperes(instance), np.full((1, grid.rows, grid.steps), np.inf)])
    idle_kw = np.maximum(grid.base_kw + idle_run_kw(instance).sum(axis=0), 0.0)
    room = Room(most, np.maximum(grid.import_limit_kw, idle_kw) - grid.base_kw)
    ways = [_way(grid.parent, circuit) for circuit in range(len(grid.parent))]
    run_kw = _runs(instance, room, ways)
    buffer_kw = _heat(instance, room, ways)
    car_a = np.zeros((cars.n, grid.steps))
    order = np.lexsort((_laxity_kwh(instance), -cars.short_eur_per_kwh.max(axis=1, initial=0.0)))
    if grid.peak_eur_per_kw > 0.0:
        # First what costs no new peak: the import up to the floor.
        spare = grid.floors_kw[grid.period]
        spare[:1] -= (grid.already_kwh - (grid.full_h - grid.dt_h[0]) * grid.peak_floor_kw) / grid.dt_h[0]
        full = room.kw
        room.kw = np.minimum(full, spare - grid.base_kw - run_kw.sum(axis=0) - buffer_kw.sum(axis=0))
        before = room.kw.copy()
        _fill(instance, room, ways, order, car_a)
        room.kw = full - (before - room.kw)
    _fill(instance, room, ways, order, car_a)
    none = np.zeros((len(instance.batteries.circuit), grid.steps))
    load = grid.base_kw + (cars.kw_per_a[:, None] * car_a).sum(axis=0) + buffer_kw.sum(axis=0) + run_kw.sum(axis=0)
    curtailed = _curtail(instance, room, ways, -load - grid.export_limit_kw)
    return completed(
        instance, car_a, np.zeros(car_a.shape), none, none, curtailed, buffer_kw, run_kw, bound_eur, "heuristic"
    )


def completed(
    instance: Instance, car_a: Floats, discharge_a: Floats, charge_kw: Floats, discharge_kw: Floats,
    curtailed_kw: Floats, buffer_kw: Floats, run_kw: Floats, bound_eur: float, status: str,
) -> Solution:  # fmt: skip
    """The solution that these decisions lead to."""
    grid, stores, buffers = instance.grid, instance.batteries, instance.buffers
    into = stores.charge_efficiency[:, None] * charge_kw - discharge_kw / stores.discharge_efficiency[:, None]
    shortage, zero = _shortage_kwh(instance, car_a, discharge_a), np.zeros(grid.steps)
    draft = Solution(
        car_a=car_a,
        car_discharge_a=discharge_a,
        charge_kw=charge_kw,
        discharge_kw=discharge_kw,
        soc_kwh=stores.soc_kwh[:, None] + np.cumsum(grid.dt_h * into, axis=1),
        curtailed_kw=curtailed_kw,
        buffer_kw=buffer_kw,
        heat_kwh=_heat_states(instance, buffer_kw),
        run_kw=run_kw,
        import_kw=zero,
        export_kw=zero,
        peak_kw=grid.floors_kw,
        shortage_kwh=shortage,
        beyond_kw=0.0,
        objective_eur=0.0,
        bound_eur=bound_eur,
        car_value_eur_per_kwh=_car_values(instance, car_a, shortage),
        battery_value_eur_per_kwh=np.repeat(stores.terminal_eur_per_kwh[:, None], grid.steps, axis=1),
        buffer_value_eur_per_kwh=np.repeat(buffers.terminal_eur_per_kwh[:, None], grid.steps, axis=1),
        status=status,
    )
    net = net_kw(instance, draft)
    bought = np.maximum(net, 0.0)
    return replace(
        draft,
        import_kw=bought,
        export_kw=np.maximum(-net, 0.0),
        peak_kw=grid.peak_kw(bought),
        beyond_kw=float(beyond_kw(instance, draft).sum()),
        objective_eur=cost_eur(instance, draft),
    )


def _shortage_kwh(instance: Instance, car_a: Floats, discharge_a: Floats) -> Floats:
    """(N,): what each car lacks in the end."""
    cars, feeds = instance.cars, instance.cars.discharge_a > 0.0
    gained = (cars.kw_per_a[:, None] * instance.grid.dt_h * car_a).sum(axis=1)
    gained[feeds] = car_states(instance, car_a, discharge_a)[feeds, -1] - cars.soc_kwh[feeds]
    missing: Floats = np.clip(cars.energy_kwh - gained, 0.0, None)
    return missing


def _heat_states(instance: Instance, buffer_kw: Floats) -> Floats:
    """(H, T): what each buffer holds at the end of each step."""
    buffers, dt_h = instance.buffers, instance.grid.dt_h
    heat, level = np.zeros(buffer_kw.shape), buffers.heat_kwh
    for t in range(instance.grid.steps if len(level) else 0):
        level = _next_heat(instance, level, t) + _at(buffers.cop, t) * dt_h[t] * buffer_kw[:, t]
        heat[:, t] = level
    return heat


def _way(parent: Ints, circuit: int) -> Ints:
    """The circuits from ``circuit`` up to the connection."""
    way = [circuit]
    while (above := int(parent[way[-1]])) >= 0:
        way.append(above)
    return np.array(way)


def _laxity_kwh(instance: Instance) -> Floats:
    """(N,): how much more than it wants a car could take in its window."""
    cars = instance.cars
    reachable = cars.kw_per_a * cars.max_a * (window_share(instance) @ instance.grid.dt_h)
    laxity: Floats = reachable - cars.energy_kwh
    return laxity


def _runs(instance: Instance, room: Room, ways: list[Ints]) -> Floats:
    """Each run where it costs least."""
    runs, grid = instance.runs, instance.grid
    a_per_kw = on_rows(runs.a_per_kw, grid.rows)
    power = np.zeros((len(runs.circuit), grid.steps))
    price = grid.import_eur_per_kwh * grid.dt_h
    for r, profile in enumerate(runs.profile_kw):
        starts = np.arange(runs.earliest[r], runs.latest[r] + 1)
        cost = [float(price[start : start + len(profile)] @ profile) for start in starts]
        begin = int(starts[int(np.argmin(cost))])
        power[r, begin : begin + len(profile)] = profile
        room.take(ways[int(runs.circuit[r])], a_per_kw[r], 1.0, power[r])
    return power


def _heat(instance: Instance, room: Room, ways: list[Ints]) -> Floats:
    """Each buffer kept at the lower edge of its band, as far as there is room."""
    buffers, grid = instance.buffers, instance.grid
    a_per_kw = on_rows(buffers.a_per_kw, grid.rows)
    power = np.zeros((len(buffers.circuit), grid.steps))
    for h, circuit in enumerate(buffers.circuit):
        way = ways[int(circuit)]
        fits = np.minimum(room.least(way, a_per_kw[h], 1.0), np.broadcast_to(buffers.power_kw[h], grid.steps))
        level = buffers.heat_kwh.copy()
        for t in range(grid.steps):
            level = _next_heat(instance, level, t)
            made = _at(buffers.cop, t)[h] * grid.dt_h[t]
            missing = _at(buffers.low_kwh, t)[h] - level[h]
            power[h, t] = min(max(missing / made, 0.0), fits[t]) if made > 0.0 else 0.0
            level[h] += made * power[h, t]
        room.take(way, a_per_kw[h], 1.0, power[h])
    return power


def _curtail(instance: Instance, room: Room, ways: list[Ints], beyond_kw: Floats) -> Floats:
    """PV held back where more is exported than may be, as far as the circuits bear it."""
    solar, a_per_kw = instance.solar, on_rows(instance.solar.a_per_kw, instance.grid.rows)
    held = np.zeros(solar.available_kw.shape)
    for p, circuit in enumerate(solar.circuit):
        way = ways[int(circuit)]
        fits = np.minimum(room.least(way, a_per_kw[p], 0.0), np.maximum(solar.available_kw[p], 0.0))
        held[p] = np.clip(beyond_kw - held.sum(axis=0), 0.0, fits)
        room.take(way, a_per_kw[p], 0.0, held[p])
    return held


def _next_heat(instance: Instance, level: Floats, t: int) -> Floats:
    """(H,): what is left of the heat after step ``t`` when nothing is made."""
    buffers, grid = instance.buffers, instance.grid
    left: Floats = buffers.keep ** (grid.dt_h[t] / grid.full_h) * level - _at(buffers.demand_kwh, t)
    return left


def _fill(instance: Instance, room: Room, ways: list[Ints], order: Ints, car_a: Floats) -> None:
    """Every car, in this order, into its cheapest steps."""
    cars, grid = instance.cars, instance.grid
    share, least = window_share(instance), least_a(instance)
    feeds, on = cars.discharge_a > 0.0, on_rows(cars.wired, grid.rows)
    eta = np.where(feeds, cars.efficiency, 1.0)
    wanted = np.maximum(
        np.where(feeds, np.minimum(cars.energy_kwh, cars.capacity_kwh - cars.soc_kwh), cars.energy_kwh), 0.0
    )
    waiting = np.arange(grid.steps) * WAITING_EUR_PER_KWH_STEP
    for i in order[~cars.optional[order]]:
        kw, way, wired = float(cars.kw_per_a[i]), ways[int(cars.circuit[i])], on[i]
        kwh = kw * grid.dt_h
        fits = np.minimum(room.least(way, wired, kw), cars.max_a[i] * share[i] - car_a[i])
        price = grid.import_eur_per_kwh + waiting
        added = _cheapest(fits, kwh, price, wanted[i] / eta[i] - float(kwh @ car_a[i]))
        if (small := _small(car_a[i] + added, least[i])).any():
            fits[small], added[small] = 0.0, 0.0
            added += _cheapest(fits - added, kwh, price, wanted[i] / eta[i] - float(kwh @ (car_a[i] + added)))
            added[_small(car_a[i] + added, least[i])] = 0.0
        car_a[i] += added
        room.take(way, wired, kw, added)


def _small(car_a: Floats, least_a: Floats) -> Bools:
    """(T,): first steps below the car's minimum."""
    small = np.zeros(len(car_a), dtype=bool)
    small[: len(least_a)] = car_a[: len(least_a)] < least_a - DUST_A
    return small


def _cheapest(fits: Floats, kwh: Floats, price: Floats, wanted_kwh: float) -> Floats:
    """(T,) A: the wanted energy in the cheapest steps that have room."""
    order = np.argsort(price, kind="stable")
    could = np.maximum(fits, 0.0)[order] * kwh[order]
    before = np.cumsum(could) - could
    taken = np.clip(wanted_kwh - before, 0.0, could)
    amps = np.zeros(len(fits))
    amps[order] = taken / np.maximum(kwh[order], 1e-12)
    return amps


def _car_values(instance: Instance, car_a: Floats, shortage_kwh: Floats) -> Floats:
    """(N,): the dearest step a car is charged in; where it stays short, what the next kWh missing costs."""
    cars = instance.cars
    paid = np.where(car_a > 0.0, instance.grid.import_eur_per_kwh, 0.0).max(axis=1, initial=0.0)
    tiers = np.cumsum(cars.short_kwh, axis=1)
    tier = np.minimum((tiers < shortage_kwh[:, None] - 1e-6).sum(axis=1), max(cars.short_kwh.shape[1] - 1, 0))
    if not cars.short_kwh.size:
        return np.asarray(paid)
    values: Floats = np.where(shortage_kwh > 1e-6, cars.short_eur_per_kwh[np.arange(cars.n), tier], paid)
    return values


def _at(column: Floats, t: int) -> Floats:
    """(n,) of step ``t``, from (n,) or (n, T)."""
    here: Floats = column if column.ndim == 1 else column[:, t]
    return here
