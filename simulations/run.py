"""Closed loops in simulated time: the controller's core and the plant, no sockets, several strategies in parallel.

Every step the field is read, the controller scans once, its commands reach the chargers, and the plant moves on.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from interfaces.domain.units import kwh_from_ws
from simulations.faults import Faults, disobedient
from simulations.figures import Figures, delivered_kwh, fairness, wanted_kwh
from simulations.generators import Prices
from simulations.ideal import possible_kwh
from simulations.orders import TargetsDesk
from simulations.plant.site import Plant
from simulations.plant.view import FieldView, Orders
from simulations.scenario import StrategyName
from simulations.strategies import Strategy, strategy_of
from simulations.world import World

Watcher = Callable[["Loop"], None]


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """Figures of one strategy and the processor time its loop took."""

    name: StrategyName
    figures: Figures
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All strategies. ``speed_x``: simulated time over processor time, so per core; ``wall_s``: how long it took."""

    runs: tuple[StrategyRun, ...]
    wall_s: float
    speed_x: float


class Bill:
    """What charging adds to the bill at the grid connection: the bill with the cars less the bill without them."""

    def __init__(self, prices: Prices | None, plant: Plant) -> None:
        self._prices, self._plant = prices, plant
        self._is_evse = plant.topology.is_evse
        self._sum_eur = 0.0

    def add(self, dt_s: float) -> None:
        """Book the step that has just ended."""
        if self._prices is None:
            return
        plant = self._plant
        cars_w = float(plant.power_w[self._is_evse].sum())
        if cars_w == 0.0:
            return
        net_w = float((plant.row_a[0] * plant.grid.circuit_v[0]).sum())
        self._sum_eur += kwh_from_ws(dt_s) * (self._rate(net_w) - self._rate(net_w - cars_w))

    def _rate(self, net_w: float) -> float:
        """EUR per kWh times W: import at the price and the fee, export at its own."""
        prices = self._prices
        if prices is None:
            return 0.0
        if net_w < 0.0:
            return net_w * prices.export_eur_per_kwh
        return net_w * (prices.at(self._plant.now_s) + prices.fee_eur_per_kwh)

    @property
    def eur(self) -> float | None:
        """The sum so far; None without prices."""
        return None if self._prices is None else self._sum_eur


class Loop:
    """One strategy at one fresh plant."""

    def __init__(self, world: World, name: StrategyName) -> None:
        self.world = world
        visits = disobedient(world.visits, world.faults)
        self.plant = Plant(
            world.topology,
            [v.arrival for v in visits],
            seed=world.seed,
            environment=world.environment,
            step_s=world.step_s,
        )
        self.view = FieldView(self.plant, world.seed, world.polling)
        self.strategy: Strategy = strategy_of(name, self.plant, self.view)
        self._faults = Faults(world.faults, self.plant, self.view)
        self._desk = TargetsDesk(visits, world.prices if world.prices_known else None, self.plant)
        self._bill = Bill(world.prices, self.plant)

    def run(self, watcher: Watcher | None = None) -> None:
        """All steps; ``watcher`` sees the loop after each."""
        step_s, plant = self.world.step_s, self.plant
        for step in range(1, self.world.steps + 1):
            self._faults.advance(plant.now_s)
            orders = Orders(operator_limit_mw=self._faults.operator_limit_mw, targets=self._desk.message())
            self.strategy.decide(orders)
            plant.step(step_s, step * step_s)
            self._bill.add(step_s)
            if watcher is not None:
                watcher(self)

    def figures(self, possible: float) -> Figures:
        """What came of it; ``possible``: kWh with perfect knowledge."""
        plant = self.plant
        records = plant.sessions.report(plant.now_s)
        judged = plant.judge.result()
        return Figures(
            sessions=len(records),
            energy_wanted_kwh=wanted_kwh(records),
            energy_possible_kwh=possible,
            energy_delivered_kwh=delivered_kwh(records),
            cost_eur=self._bill.eur,
            self_made_overload_s=judged.self_made_overload_s,
            overload_s=judged.overload_s,
            relearn_overload_s=judged.relearn_overload_s,
            worst_excess_a=judged.worst_excess_a,
            longest_outside_overload_s=judged.longest_outside_s,
            protection_max=plant.breakers.worst,
            protection_believed_max=self.strategy.protection_max,
            trips=int(plant.breakers.open.sum()),
            peak_15min_w=judged.peak_15min_w,
            switches=sum(r.interruptions for r in records),
            queued_s=sum(r.queued_s for r in records),
            fairness=fairness(records),
        )


def simulate(world: World, names: Sequence[StrategyName], *, workers: int = 2) -> Outcome:
    """Run the strategies, in worker processes when there are several; the same world for each."""
    began_s = time.perf_counter()
    if workers < 2 or len(names) < 2:
        possible = possible_kwh(world)
        loops = [_timed(world, name) for name in names]
    else:
        # Spawned, not forked: a fork would copy the locks of whatever threads its parent runs.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(names) + 1), mp_context=context) as pool:
            jobs = [pool.submit(_timed, world, name) for name in names]
            ideal = pool.submit(possible_kwh, world)
            loops = [job.result() for job in jobs]
            possible = ideal.result()
    runs = tuple(
        StrategyRun(name, {**figures, "energy_possible_kwh": possible}, cpu_s)
        for name, (figures, cpu_s) in zip(names, loops, strict=True)
    )
    cpu_s = sum(run.cpu_s for run in runs)
    simulated_s = world.steps * world.step_s * len(runs)
    return Outcome(runs, time.perf_counter() - began_s, simulated_s / max(cpu_s, 1e-9))


def _timed(world: World, name: StrategyName) -> tuple[Figures, float]:
    loop = Loop(world, name)
    began_s = time.process_time()
    loop.run()
    return loop.figures(0.0), time.process_time() - began_s
