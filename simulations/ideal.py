"""What the same cars could take with perfect knowledge: the yardstick of every strategy.

The true background is known, the controller's own allocation solves every step for what each car really takes on the
conductors it really uses, and nothing waits: no ramps, no ledger, no timers, no reaction time. The rows are the same:
rating, contract and margin of every circuit, no fuse credit for export, minimum currents and steps of the devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from controller.core.allocate import Demand, allocate
from controller.core.params import NO_LIMIT
from interfaces.domain.topology import POWER_ROW, Topology
from interfaces.domain.units import MILLI, MISSING, SECONDS_PER_HOUR, Bools, Floats, Ints, kwh_from_ws
from simulations.plant.building import Building
from simulations.plant.ev import Arrival, Cars
from simulations.plant.grid import Grid
from simulations.plant.pv import Inverters, Sun
from simulations.plant.sessions import Sessions
from simulations.world import World

IDEAL_STEP_S: Final[float] = 10.0
"""Cars and buildings move little in 10 s; the background is the mean of the steps in between."""
LAXITY_BOUNDS_S: Final[tuple[float, float, float]] = (0.0, 3600.0, 14_400.0)
"""Who must hurry comes first: classes of slack, as the fallback has them, but with the true facts."""


def possible_kwh(world: World) -> float:
    """Energy that reaches the cars of this world in kWh."""
    return kwh_from_ws(sum(ideal_wh(world)) * SECONDS_PER_HOUR)


def ideal_wh(world: World) -> Iterator[float]:
    """Energy of each step, Wh."""
    topology = world.topology
    cars = Cars(topology.n, np.random.default_rng(world.seed))
    sessions = Sessions(topology, [v.arrival for v in world.visits])
    of_tag = {v.arrival.tag: v.arrival for v in world.visits}
    here = _Here(topology)
    grid = Grid(topology)
    tags = sessions.tags
    for dt_s, now_s, background_a in true_background(world):
        sessions.advance(now_s, cars)
        if sessions.tags is not tags:
            tags = sessions.tags
            here.look(tags, of_tag)
        wire = here.conductors(now_s)
        appetite_a = np.where(here.awake(now_s), np.maximum(cars.appetite_a() - here.habit_a, 0.0), 0.0)
        budget = _budget(topology, background_a, grid.circuit_v)
        amps = _allocated(topology, here, wire, appetite_a, cars, budget, now_s)
        draw_a = np.where(wire, np.minimum(amps, appetite_a)[:, None], 0.0)
        flexible, _ = grid.rows(draw_a, np.zeros((topology.c, 3)))
        volts = grid.settle(flexible + background_a)
        energy_wh = (draw_a * volts).sum(axis=1) * dt_s / SECONDS_PER_HOUR
        energy_wh = np.minimum(energy_wh, cars.remaining_wh)
        cars.take(energy_wh)
        yield float(energy_wh.sum())


def true_background(world: World) -> Iterator[tuple[float, float, Floats]]:
    """(length in s, end time, mean current (C, 3) A of building and sun) of each ideal step, as in every run."""
    topology, around = world.topology, world.environment
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(world.seed).spawn(5)]
    building, sun = Building(topology, around.loads, streams[2]), Sun(around.sky, streams[3])
    inverters, grid = Inverters(topology), Grid(topology)
    count = max(1, round(IDEAL_STEP_S / world.step_s))
    heard = np.ones(len(inverters.columns))
    feed_a = np.zeros((topology.n, 3))
    total, mixed = np.zeros((topology.c, 3)), 0
    for step in range(1, world.steps + 1):
        now_s = step * world.step_s
        day_s = around.start_day_s + now_s
        if len(inverters.columns):
            feeds = inverters.advance(sun.share(world.step_s, now_s, day_s), -inverters.nameplate_a, heard)
            feed_a[inverters.columns] = topology.wired[inverters.columns] * feeds[:, None]
        flexible, own = grid.rows(feed_a, building.amps(world.step_s, now_s, day_s))
        total, mixed = total + flexible + own, mixed + 1
        if mixed == count or step == world.steps:
            yield mixed * world.step_s, now_s, total / mixed
            total, mixed = np.zeros((topology.c, 3)), 0


class _Here:
    """The true facts of the cars that are plugged in."""

    def __init__(self, topology: Topology) -> None:
        n = topology.n
        self._topology = topology
        self._first: Bools = np.zeros((n, 3), dtype=np.bool_)
        self._all: Bools = np.zeros((n, 3), dtype=np.bool_)
        self._late_s: Floats = np.full(n, -np.inf)
        self._sleep_s: Floats = np.full((n, 2), np.inf)
        self.end_s: Floats = np.full(n, np.inf)
        self.habit_a: Floats = np.zeros(n)
        self.floor_ma: Ints = topology.min_ma.copy()
        self._began_s: dict[str | None, float] = {}
        self._cars: tuple[str | None, ...] = (None,) * n

    def look(self, tags: tuple[str | None, ...], of_tag: dict[str | None, Arrival]) -> None:
        """Note who came and forget who left."""
        for i, tag in enumerate(tags):
            if tag == self._cars[i]:
                continue
            self._first[i] = self._all[i] = False
            if tag is not None:
                self._note(i, of_tag[tag])
        self._cars = tags

    def _note(self, i: int, car: Arrival) -> None:
        topology, traits = self._topology, car.traits
        phases = topology.assets[i].phases
        for conductor, phase in enumerate(phases[: car.phases]):
            self._all[i, phase] = True
            self._first[i, phase] = conductor == 0
        self._late_s[i] = -np.inf if traits.late_conductors_s is None else car.start_s + traits.late_conductors_s
        nap = (np.inf, np.inf) if traits.asleep is None else traits.asleep
        self._sleep_s[i] = (car.start_s + nap[0], car.start_s + nap[1])
        self.end_s[i] = car.end_s
        self.habit_a[i] = traits.habit_a
        self.floor_ma[i] = max(int(topology.min_ma[i]), int(np.ceil(traits.min_a * MILLI)))

    def conductors(self, now_s: float) -> Bools:
        """(N, 3) grid phases each car loads now."""
        return np.where((now_s >= self._late_s)[:, None], self._all, self._first)

    def awake(self, now_s: float) -> Bools:
        """(N,) cars that want to charge now."""
        return np.asarray((now_s < self._sleep_s[:, 0]) | (now_s >= self._sleep_s[:, 1]))


def _allocated(
    topology: Topology,
    here: _Here,
    wire: Bools,
    appetite_a: Floats,
    cars: Cars,
    budget: Ints,
    now_s: float,
) -> Floats:
    """(N,) A per conductor from the controller's own allocation, fed with the truth."""
    step = np.maximum(topology.step_ma, 1)
    wanted = np.ceil(appetite_a * MILLI / step).astype(np.int64) * step
    # A tapering car below the minimum is still offered the minimum and takes less.
    ceiling = np.minimum(np.where(appetite_a > 0.0, np.maximum(wanted, here.floor_ma), 0), topology.max_ma)
    asks = (ceiling >= here.floor_ma) & topology.is_evse & (appetite_a > 0.0)
    if not asks.any():
        return np.zeros(topology.n)
    rest_w = appetite_a * wire.sum(axis=1) * (topology.nominal_mv / MILLI)
    laxity_s = here.end_s - now_s - cars.remaining_wh * SECONDS_PER_HOUR / np.maximum(rest_w, 1.0)
    rank = np.sum([laxity_s >= bound for bound in LAXITY_BOUNDS_S], axis=0)
    columns = np.flatnonzero(asks).tolist()
    cost = np.zeros((topology.n, 4), dtype=np.int64)
    cost[:, :POWER_ROW] = wire
    cost[:, POWER_ROW] = wire.sum(axis=1) * (topology.nominal_mv // MILLI)
    demand = Demand(
        order=tuple(sorted(columns, key=lambda i: (int(topology.tier[i]), float(laxity_s[i]), i))),
        floor_ma=here.floor_ma,
        ceiling_ma=ceiling,
        tier=topology.tier * (len(LAXITY_BOUNDS_S) + 1) + rank,
        weight=np.ones(topology.n, dtype=np.int64),
        cost=cost,
        probation=np.zeros(topology.n, dtype=np.bool_),
        probe_ma=here.floor_ma,
        single=np.zeros(topology.n, dtype=np.bool_),
        single_cost=cost,
    )
    return allocate(budget, demand, topology).amps_ma / MILLI


def _budget(topology: Topology, background_a: Floats, circuit_v: Floats) -> Ints:
    """(C, 4) what the rows have left for cars; export gives no fuse credit unless it is firm, but counts in W rows."""
    used = np.where(topology.firm_export[:, None], background_a, np.maximum(background_a, 0.0))
    amps = topology.limit_ma - np.ceil(used * MILLI).astype(np.int64)
    net_mw = np.ceil((background_a * circuit_v).sum(axis=1) * MILLI).astype(np.int64)
    power = np.where(topology.max_import_mw == MISSING, NO_LIMIT, topology.max_import_mw - net_mw)
    rows: Ints = np.maximum(np.concatenate([amps, power[:, None]], axis=1), 0)
    return rows
