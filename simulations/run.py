"""Closed loops in simulated time: the controller's core and the plant, no sockets, several strategies in parallel.

Every step the field is read, the controller scans once, its commands reach the chargers, and the plant moves on.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from simulations.bill import Bill
from simulations.faults import Faults, disobedient
from simulations.figures import Figures, delivered_kwh, fairness, met_pct, open_kwh, solve_ms, unmet_kwh, wanted_kwh
from simulations.ideal import possible_kwh
from simulations.mpc import Mpc
from simulations.orders import TargetsDesk
from simulations.planned import PlanWorld
from simulations.plant.site import Plant
from simulations.plant.view import FieldView, Orders
from simulations.scenario import PLANNED, StrategyName
from simulations.strategies import Core, Strategy, strategy_of
from simulations.world import World

Watcher = Callable[["Loop"], None]


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """Figures of one strategy, the processor time its loop took, and whoever watched it."""

    name: StrategyName
    figures: Figures
    cpu_s: float
    watcher: Watcher | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """All strategies. ``speed_x``: simulated time over processor time, so per core; ``wall_s``: how long it took."""

    runs: tuple[StrategyRun, ...]
    wall_s: float
    speed_x: float


class Loop:
    """One strategy at one fresh plant."""

    def __init__(self, world: World, name: StrategyName, plans: PlanWorld | None = None) -> None:
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
        self.planned: Mpc | None = None
        if name in PLANNED:
            if plans is None or not isinstance(self.strategy, Core):
                raise ValueError(f"{name} needs something to plan with")
            self.strategy = self.planned = Mpc(self.strategy, world, plans, perfect=name == "mpc-perfect")
        self._faults = Faults(world.faults, self.plant, self.view)
        prices = world.prices if world.prices_known else None
        # Without an optimizer nobody sends prices any more: the site has those that were published when the run began.
        self._desk = TargetsDesk(visits, prices, self.plant, renewed=name in PLANNED)
        self._bill = Bill(world.prices, world.economy, world.time_zone, self.plant)

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
        costs = self._bill.costs(open_kwh(records))
        took_ms = solve_ms([] if self.planned is None else self.planned.solve_ms)
        return Figures(
            sessions=len(records),
            energy_wanted_kwh=wanted_kwh(records),
            energy_possible_kwh=possible,
            energy_delivered_kwh=delivered_kwh(records),
            cost_eur=None if costs is None else costs.charging,
            cost_energy_eur=None if costs is None else costs.energy,
            cost_peak_eur=None if costs is None else costs.peak,
            cost_total_eur=None if costs is None else costs.total,
            unmet_kwh=unmet_kwh(records),
            open_kwh=open_kwh(records),
            sessions_met_pct=met_pct(records),
            self_consumption_pct=None if costs is None else costs.self_consumption_pct,
            solve_ms_p50=took_ms[0],
            solve_ms_p99=took_ms[1],
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


PlanWorlds: TypeAlias = Mapping[StrategyName, PlanWorld]


def simulate(
    world: World,
    names: Sequence[StrategyName],
    *,
    workers: int = 2,
    plans: PlanWorlds | None = None,
    watchers: Mapping[StrategyName, Watcher] | None = None,
) -> Outcome:
    """Run the strategies, in worker processes when there are several; the same world for each. ``plans``: what those
    with plans need. ``watchers``: picklable; what they have seen comes back in the run.
    """
    known = {} if plans is None else plans
    seen = {} if watchers is None else watchers
    began_s = time.perf_counter()
    if workers < 2 or len(names) < 2:
        possible = possible_kwh(world)
        loops = [_timed(world, name, known.get(name), seen.get(name)) for name in names]
    else:
        # Spawned, not forked: a fork would copy the locks of whatever threads its parent runs.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(names) + 1), mp_context=context) as pool:
            jobs = [pool.submit(_timed, world, name, known.get(name), seen.get(name)) for name in names]
            ideal = pool.submit(possible_kwh, world)
            loops = [job.result() for job in jobs]
            possible = ideal.result()
    runs = tuple(
        StrategyRun(name, {**figures, "energy_possible_kwh": possible}, cpu_s, watcher)
        for name, (figures, cpu_s, watcher) in zip(names, loops, strict=True)
    )
    cpu_s = sum(run.cpu_s for run in runs)
    simulated_s = world.steps * world.step_s * len(runs)
    return Outcome(runs, time.perf_counter() - began_s, simulated_s / max(cpu_s, 1e-9))


def _timed(
    world: World, name: StrategyName, plans: PlanWorld | None, watcher: Watcher | None
) -> tuple[Figures, float, Watcher | None]:
    loop = Loop(world, name, plans)
    began_s = time.process_time()
    loop.run(watcher)
    return loop.figures(0.0), time.process_time() - began_s, watcher
