"""What reaches the controller besides readings: targets of the cars that are there, and the prices known by now."""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.targets import Target, Targets
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from simulations.generators import Prices, Visit
from simulations.plant.site import Plant

PUBLISHED_H: Final[float] = 13.0
"""Day-ahead prices of tomorrow are out at about 13:00 local time."""


class TargetsDesk:
    """Writes the targets message anew when a car comes or goes and, ``renewed``, when tomorrow's prices come out; else
    the prices that were published at the start are all there ever are.
    """

    def __init__(self, visits: tuple[Visit, ...], prices: Prices | None, plant: Plant, *, renewed: bool = True) -> None:
        self._renewed = renewed
        self._told = {v.arrival.tag: v for v in visits if v.told_energy_wh is not None}
        self._prices = prices
        self._plant = plant
        self._tags: tuple[str | None, ...] | None = None
        self._horizon_day = -1
        self._message: Targets | None = None
        self._sequence = 0

    def message(self) -> Targets | None:
        """The message in force; None where nothing is ever known."""
        if not self._told and self._prices is None:
            return None
        plant = self._plant
        day, second = divmod(plant.day_s, SECONDS_PER_DAY)
        horizon_day = int(day) + (2 if second >= PUBLISHED_H * SECONDS_PER_HOUR else 1)
        if not self._renewed and self._horizon_day >= 0:
            horizon_day = self._horizon_day
        tags = plant.sessions.tags
        if tags is self._tags and horizon_day == self._horizon_day:
            return self._message
        self._tags, self._horizon_day = tags, horizon_day
        self._sequence += 1
        self._message = self._written()
        return self._message

    def _written(self) -> Targets:
        plant, prices = self._plant, self._prices
        start_epoch_s = plant.environment.start_epoch_s
        tags = plant.sessions.tags
        present = [self._told[tag] for tag in tags if tag is not None and tag in self._told]
        known = 0
        if prices is not None:
            until_s = self._horizon_day * SECONDS_PER_DAY - plant.environment.start_day_s
            known = min(len(prices.eur_per_kwh), max(0, round((until_s - prices.start_s) / prices.step_s)))
        return Targets(
            sequence=self._sequence,
            issued_epoch_s=plant.epoch_s,
            targets=tuple(_target(visit, start_epoch_s) for visit in present),
            price_start_epoch_s=start_epoch_s + (prices.start_s if prices else 0.0),
            price_step_s=prices.step_s if prices else 0,
            price_eur_per_kwh=prices.eur_per_kwh[:known] + prices.fee_eur_per_kwh if prices else np.zeros(0),
        )


def _target(visit: Visit, start_epoch_s: float) -> Target:
    end_s = visit.arrival.end_s if visit.told_end_s is None else visit.told_end_s
    return Target(
        asset=visit.arrival.asset,
        departure_epoch_s=start_epoch_s + end_s,
        energy_wh=round(visit.told_energy_wh or 0.0),
        tag=visit.arrival.tag,
    )
