"""What stores of heat hold, reckoned from what their loads have drawn: hardly any of them tells.

The band is what the load's own thermostat keeps, so that the reckoning never leaves it, whatever it has got wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from interfaces.domain.live import LiveStatus
from interfaces.domain.units import SECONDS_PER_HOUR, Floats
from optimizer.core.compile_steps import Steps, holds, steps_of
from optimizer.core.problem import HeatForecast, Problem
from optimizer.core.problem_facts import BufferFacts
from optimizer.core.problem_state import BufferState
from optimizer.core.problem_types import MAX_STEPS, STEP_S
from optimizer.service.record import HeatDemand

GAP_S: Final[float] = 3600.0
"""Nothing heard for longer: nobody knows what was drawn meanwhile, and the middle of the band is assumed."""


class HeatStores:
    """The stores of one site. ``demand`` by the id of the store."""

    def __init__(self, buffers: tuple[BufferFacts, ...], demand: Mapping[str, HeatDemand], time_zone: str) -> None:
        self._buffers, self._demand, self._zone = buffers, demand, time_zone
        self._heat_kwh: dict[str, float] = {}
        self._power_kw: dict[str, float] = {}
        self._last_epoch_s = -np.inf

    def observe(self, status: LiveStatus) -> None:
        """The time since the last status, at the power that was told then."""
        if not self._buffers or status.epoch_s <= self._last_epoch_s:
            return
        hours = (status.epoch_s - self._last_epoch_s) / SECONDS_PER_HOUR
        if status.epoch_s - self._last_epoch_s > GAP_S:
            self._heat_kwh = {}
        else:
            now = steps_of(self._last_epoch_s, 1, self._zone)
            for one in self._buffers:
                self._heat_kwh[one.id] = self._after(one, hours, now)
        self._last_epoch_s = status.epoch_s
        self._power_kw = {asset.id: asset.power_kw for asset in status.assets if asset.power_kw is not None}

    def told(self, problem: Problem) -> Problem:
        """The problem with what the stores hold now and what will be drawn from them."""
        if not self._buffers:
            return problem
        begin_epoch_s = problem.forecast.start_epoch_s
        gone = max(0, int((problem.now_epoch_s - begin_epoch_s) // STEP_S))
        steps = steps_of(begin_epoch_s, min(problem.settings.horizon_steps + gone, MAX_STEPS), self._zone)
        heat = tuple(HeatForecast(one.id, tuple(self._drawn_kw(one, steps).tolist())) for one in self._buffers)
        states = tuple(BufferState(name, kwh) for name, kwh in self._heat_kwh.items())
        return replace(
            problem,
            state=replace(problem.state, buffers=states),
            forecast=replace(problem.forecast, heat=heat),
        )

    def _after(self, one: BufferFacts, hours: float, now: Steps) -> float:
        before = self._heat_kwh.get(one.id, (one.low_kwh + one.high_kwh) / 2)
        made = one.cop * max(self._power_kw.get(one.id, 0.0), 0.0) * hours
        left = before * (1.0 - one.loss_share_per_h) ** hours + made - float(self._drawn_kw(one, now)[0]) * hours
        return float(min(max(left, one.low_kwh), one.high_kwh))

    def _drawn_kw(self, one: BufferFacts, steps: Steps) -> Floats:
        """(T,) heat that is drawn; of several hours that hold a step the first counts."""
        demand = self._demand.get(one.id)
        drawn = np.full(steps.count, 0.0 if demand is None else demand.otherwise_kw)
        for hours in reversed(() if demand is None else demand.hours):
            drawn[holds(steps, hours.when, any_part=False)] = hours.kw
        return drawn
