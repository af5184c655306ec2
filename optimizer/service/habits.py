"""What a car turns out to be while it charges: its conductors, its smallest and largest current, whether it has enough.

Only what helps a plan to be followed is learned here, per session and forgotten with it. Safety does not rest on any of
it: the site has its own, more careful view of phases and offers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from interfaces.domain.live import AssetLive, LiveStatus, car_connected, same_session
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI

DRAWS_KW: Final[float] = 0.2
"""Below this a car is idle: its electronics take as much."""
STEADY_A: Final[float] = 1.0
"""An offer that moved no more than this stood still."""
ASLEEP_S: Final[float] = 600.0
"""A car that was offered enough so long and drew next to nothing has had enough; the site itself asks again."""
IDLE_S: Final[float] = 120.0
"""A car that does not begin within two minutes of a steady offer does not begin at that offer."""
OWN_LIMIT_S: Final[float] = 60.0
OWN_LIMIT_SHARE: Final[float] = 0.9
"""A car that draws less than this share of its offer for a minute is at a limit of its own."""
FORGET_LIMIT_S: Final[float] = 1800.0
"""Cars take less while they are cold or nearly full: the limit is looked at anew."""
KNOWN_KWH: Final[float] = 0.3
"""Whoever has charged so much on all its conductors uses all of them."""


class CarFacts(Protocol):
    """What a planner asks of the cars that are here; by EVSE."""

    @property
    def asleep(self) -> frozenset[str]:
        """EVSEs whose car draws nothing although it may."""

    def phases(self, evse: str) -> tuple[int, int, int] | None:
        """Conductors on L1, L2, L3 it uses; None where nobody knows yet."""

    def max_a(self, evse: str) -> float | None:
        """What it takes at most; None where it takes all it is offered."""

    def min_a(self, evse: str) -> float | None:
        """What it needs to charge at all; None for the usual minimum."""

    def observe(self, status: LiveStatus) -> None:
        """Look at every EVSE once more."""


@dataclass(slots=True)
class _Car:
    """One session, by its time of plug-in. ``offer_a`` stood still since ``since_s``; ``drew_a`` the lowest offer at
    which it drew, ``idle_a`` the highest at which it did not.
    """

    plugged_in_s: float | None
    since_s: float
    offer_a: float
    idle_since_s: float | None = None
    asleep: bool = False
    phases: tuple[int, int, int] | None = None
    limit: tuple[float, float] | None = None
    drew_a: float = np.inf
    idle_a: float = 0.0

    @property
    def min_a(self) -> float | None:
        """The smallest offer at which it is known to charge, where smaller ones were in vain."""
        return self.drew_a if 0.0 < self.idle_a < self.drew_a < np.inf else None


@dataclass(slots=True)
class Habits:
    """The cars of one site, by EVSE."""

    topology: Topology
    _cars: dict[str, _Car] = field(default_factory=dict)

    @property
    def asleep(self) -> frozenset[str]:
        """EVSEs whose car draws nothing although it may."""
        return frozenset(name for name, car in self._cars.items() if car.asleep)

    def phases(self, evse: str) -> tuple[int, int, int] | None:
        """Conductors on L1, L2, L3 it was seen to use; None before it has charged."""
        car = self._cars.get(evse)
        return None if car is None else car.phases

    def max_a(self, evse: str) -> float | None:
        """What it takes at most; None where it takes all it is offered."""
        car = self._cars.get(evse)
        return None if car is None or car.limit is None else car.limit[0]

    def min_a(self, evse: str) -> float | None:
        """What it needs to charge at all; None where nothing speaks for more than the usual minimum."""
        car = self._cars.get(evse)
        return None if car is None else car.min_a

    def observe(self, status: LiveStatus) -> None:
        """Look at every EVSE once more."""
        for asset in status.assets:
            i = self.topology.index.get(asset.id)
            if i is None or not self.topology.is_evse[i]:
                continue
            if not car_connected(asset):
                self._cars.pop(asset.id, None)
            elif asset.power_kw is not None:
                car = self._car(asset, status.epoch_s)
                if abs(asset.setpoint_a - car.offer_a) > STEADY_A:
                    car.since_s, car.offer_a = status.epoch_s, asset.setpoint_a
                self._look(car, asset, len(self.topology.assets[i].phases), asset.power_kw, status.epoch_s)

    def _car(self, asset: AssetLive, now_s: float) -> _Car:
        """The session's car; another one where cars were exchanged between two statuses."""
        car = self._cars.get(asset.id)
        if car is None or not same_session(asset.plugged_in_epoch_s, car.plugged_in_s):
            car = self._cars[asset.id] = _Car(asset.plugged_in_epoch_s, now_s, asset.setpoint_a)
        return car

    def _look(self, car: _Car, asset: AssetLive, conductors: int, power_kw: float, now_s: float) -> None:
        steady_s = now_s - car.since_s
        if power_kw <= DRAWS_KW:
            self._idle(car, asset, steady_s, now_s)
            return
        car.asleep, car.idle_since_s = False, None
        if sum(asset.phases) < conductors or asset.energy_kwh >= KNOWN_KWH:
            car.phases = asset.phases
        drawn_a = power_kw * MILLI / (self.topology.nominal_mv / MILLI * max(sum(asset.phases), 1))
        if steady_s > 0.0:
            car.drew_a = min(car.drew_a, asset.setpoint_a)
        if car.limit is not None and (drawn_a > car.limit[0] + STEADY_A or now_s - car.limit[1] > FORGET_LIMIT_S):
            car.limit = None
        if drawn_a >= OWN_LIMIT_SHARE * asset.setpoint_a:
            return
        if steady_s >= OWN_LIMIT_S:
            car.limit = (drawn_a, now_s)

    def _idle(self, car: _Car, asset: AssetLive, steady_s: float, now_s: float) -> None:
        needs_a = car.min_a or self.topology.assets[self.topology.index[asset.id]].min_a
        if asset.setpoint_a < needs_a:
            car.idle_since_s = None if not car.asleep else car.idle_since_s
            return
        if steady_s >= IDLE_S and car.drew_a < np.inf and asset.setpoint_a < car.drew_a:
            car.idle_a = max(car.idle_a, asset.setpoint_a)
            return
        car.idle_since_s = now_s if car.idle_since_s is None else car.idle_since_s
        if now_s - car.idle_since_s >= ASLEEP_S:
            car.asleep = True
