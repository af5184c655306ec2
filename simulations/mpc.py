"""Strategies with plans: the optimizer's own planner in the loop, and the controller's core between it and the plant.

Once a minute the site tells its status as it would over the wire; the planner makes a plan when one is due; the core
follows it from the next scan on, under all its own rules. Perfect foresight has the same loop: only what it believes of
building, sun, prices and cars is the truth.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from interfaces.domain.live import live_status
from interfaces.domain.targets import Targets
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR
from optimizer.core.planning import Refused
from optimizer.core.problem_money import Dynamic
from optimizer.core.problem_state import Target
from optimizer.core.problem_types import MAX_STEPS
from optimizer.service.horizon import SitePlanner
from simulations.foresight import Foresight
from simulations.generators import Visit
from simulations.orders import PUBLISHED_H
from simulations.planned import PlanWorld
from simulations.plant.view import Orders
from simulations.strategies import Core
from simulations.world import World

STATUS_S: Final[float] = 60.0


class Mpc:
    """The core with plans. ``solve_ms``: processor time of each plan, problem to setpoints."""

    def __init__(self, core: Core, world: World, plans: PlanWorld, *, perfect: bool) -> None:
        self.core = core
        self._world, self._plans, self._perfect = world, plans, perfect
        self._planner = SitePlanner(plans.record, plans.models, guesses=not perfect)
        self._known = Foresight(world, plans.truth, core.plant) if perfect and plans.truth is not None else None
        if self._known is not None:
            self._planner.memory.habits = self._known
        if plans.past is not None:
            self._planner.memory.remember(plans.past.quarters, plans.past.sessions)
        self._told = {v.arrival.tag: v for v in world.visits if v.told_energy_wh is not None}
        self._targets: Targets | None = None
        self._next_status_s = 0.0
        self._prices_day = -1
        self._prices: Dynamic | None = None
        self.solve_ms: list[float] = []
        self.refused: list[str] = []

    @property
    def protection_max(self) -> float:
        """As the core believed."""
        return self.core.protection_max

    @property
    def planner(self) -> SitePlanner:
        """For whoever wants to look."""
        return self._planner

    def decide(self, orders: Orders) -> None:
        """One scan; before it, once a minute, a look at the site and perhaps a new plan."""
        now_s = self.core.plant.now_s
        if now_s >= self._next_status_s and self.core.record is not None:
            self._next_status_s = now_s + STATUS_S
            self._look(away=self._is_away(now_s))
        if not self._is_away(now_s):
            self._targets = orders.targets
        # While the cloud is away the site has the last plan, until its lease is over, and the last targets and prices.
        self.core.decide(replace(orders, plan=self._planner.plan, targets=self._targets))

    def _is_away(self, now_s: float) -> bool:
        away_s = self._plans.cloud_away_s
        return away_s is not None and away_s[0] <= now_s < away_s[1]

    def _look(self, *, away: bool) -> None:
        record, planner = self.core.record, self._planner
        if record is None:
            return
        epoch_s = self.core.plant.epoch_s
        planner.observe(live_status(record, self._world.topology, planner.record.id))
        self._publish_prices()
        if away or not planner.due(epoch_s):
            return
        began_s = time.process_time()
        made = planner.make(
            epoch_s,
            prices=self._prices,
            wishes=self._wishes(),
            weather=self._plans.weather,
            outlook=None if self._known is None else self._known.outlook(epoch_s),
            announced=() if self._known is None else self._known.to_come(epoch_s),
        )
        self.solve_ms.append((time.process_time() - began_s) * MILLI)
        if isinstance(made, Refused):
            self.refused.extend(made.reasons)

    def _wishes(self) -> dict[str, Target]:
        """What drivers said; with perfect foresight what they will do."""
        if self._known is not None:
            return self._known.wishes()
        start_epoch_s = self._world.environment.start_epoch_s
        tags = enumerate(self.core.plant.sessions.tags)
        told = ((i, self._told[tag]) for i, tag in tags if tag is not None and tag in self._told)
        return {self._world.topology.assets[i].id: _told(visit, start_epoch_s) for i, visit in told}

    def _publish_prices(self) -> None:
        """Tomorrow's prices come out at 13:00, where they reach the site at all; perfect foresight has them all."""
        prices, plant = self._world.prices, self.core.plant
        if prices is None or not (self._perfect or self._world.prices_known):
            return
        day, second = divmod(plant.day_s, SECONDS_PER_DAY)
        until_day = int(day) + (2 if second >= PUBLISHED_H * SECONDS_PER_HOUR else 1)
        if until_day == self._prices_day:
            return
        self._prices_day = until_day
        until_s = until_day * SECONDS_PER_DAY - plant.environment.start_day_s
        known = len(prices.eur_per_kwh)
        if not self._perfect:
            known = min(known, max(0, round((until_s - prices.start_s) / prices.step_s)))
        first = max(0, int((plant.now_s - prices.start_s) // prices.step_s) - 1)
        self._prices = Dynamic(
            kind="dynamic",
            start_epoch_s=plant.environment.start_epoch_s + prices.start_s + first * prices.step_s,
            eur_per_kwh=tuple(prices.eur_per_kwh[first : min(known, first + MAX_STEPS)].tolist()),
            step_s=prices.step_s,  # type: ignore[arg-type]  # price files have no other
        )
        self._planner.happened("new prices")


def _told(visit: Visit, start_epoch_s: float) -> Target:
    end_s = visit.arrival.end_s if visit.told_end_s is None else visit.told_end_s
    return Target(
        unit="kwh", amount=(visit.told_energy_wh or 0.0) / MILLI, departure_epoch_s=start_epoch_s + end_s
    )  # fmt: skip
