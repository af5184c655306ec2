"""What perfect foresight knows: the true building and sun, and every car, those that are here and those that will come.

It sees the site through the same statuses as any planner and plans with the same model; only nothing has to be guessed.
What drivers ask for is no guess: a car whose driver wants it ready at noon is ready at noon, also where it will stand
there until four.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from interfaces.domain.live import LiveStatus
from interfaces.domain.topology import PHASES, Asset
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_QUARTER
from optimizer.core.problem import HORIZON_STEPS
from optimizer.core.problem_state import Session, Target
from optimizer.service.habits import Habits
from optimizer.service.record import Outlook
from simulations.generators import Visit
from simulations.plant.ev import Arrival
from simulations.plant.site import Plant
from simulations.truth import Truth
from simulations.world import World

HORIZON_S: Final[int] = HORIZON_STEPS * SECONDS_PER_QUARTER
DAY_STEPS: Final[int] = SECONDS_PER_DAY // SECONDS_PER_QUARTER


class Foresight:
    """The truth of one world at one plant. It stands in for a planner's `Habits` too: what a car turns out to be is
    known from its plug-in on. That a car is nearly full and takes less and less is seen, as everywhere.
    """

    def __init__(self, world: World, truth: Truth, plant: Plant) -> None:
        self._world, self._truth, self._plant = world, truth, plant
        self._topology = world.topology
        self._visits = {v.arrival.tag: v for v in world.visits}
        self._seen = Habits(world.topology)

    @property
    def asleep(self) -> frozenset[str]:
        """EVSEs whose car draws nothing although it may."""
        return self._seen.asleep

    def phases(self, evse: str) -> tuple[int, int, int] | None:
        """Conductors on L1, L2, L3 that its car uses."""
        visit = self._here(evse)
        if visit is None:
            return None
        used = conductors(self._topology.assets[self._topology.index[evse]], visit.arrival)
        a, b, c = (int(name in used) for name in PHASES)
        return a, b, c

    def max_a(self, evse: str) -> float | None:
        """What its car takes at most; less while it fills up."""
        visit, seen_a = self._here(evse), self._seen.max_a(evse)
        if visit is None:
            return seen_a
        return visit.arrival.max_a if seen_a is None else min(seen_a, visit.arrival.max_a)

    def min_a(self, evse: str) -> float | None:
        """What its car needs to charge at all."""
        visit = self._here(evse)
        return self._seen.min_a(evse) if visit is None else visit.arrival.traits.min_a

    def observe(self, status: LiveStatus) -> None:
        """Look at every EVSE once more."""
        self._seen.observe(status)

    def wishes(self) -> dict[str, Target]:
        """What the cars that are here will take, and when they will leave, by EVSE."""
        assets = (asset.id for asset, tag in zip(self._topology.assets, self._plant.sessions.tags, strict=True) if tag)
        return {evse: self._target(visit) for evse in assets if (visit := self._here(evse)) is not None}

    def to_come(self, epoch_s: float) -> tuple[Session, ...]:
        """Every car that will plug in within the horizon, with the conductors and the current it will use."""
        begin_epoch_s = self._world.environment.start_epoch_s
        found = []
        for visit in self._world.visits:
            car = visit.arrival
            arrives_epoch_s = begin_epoch_s + car.start_s
            if epoch_s < arrives_epoch_s < epoch_s + HORIZON_S:
                asset = self._topology.assets[self._topology.index[car.asset]]
                found.append(
                    Session(
                        evse=car.asset,
                        plugged_in_epoch_s=arrives_epoch_s,
                        arrives_epoch_s=arrives_epoch_s,
                        phases_used=conductors(asset, car),  # type: ignore[arg-type]  # names of PHASES
                        max_a=max(car.max_a, asset.min_a),
                        target=self._target(visit),
                    )
                )
        return tuple(found)

    def outlook(self, epoch_s: float) -> Outlook:
        """What will be, from the quarter under way to the end of the run; the last day holds on beyond it."""
        topology, truth = self._topology, self._truth
        load, pv = truth.building_kw, truth.pv_kw
        k = max(0, int((epoch_s - truth.start_epoch_s) // SECONDS_PER_QUARTER))
        rows, count = np.arange(k, k + HORIZON_STEPS), len(load)
        day = min(DAY_STEPS, count)
        rows = np.where(rows >= count, count - day + (rows - count) % day, rows)
        ids = {c: topology.circuits[c].id for c in range(topology.c) if topology.metered[c]}
        plants = [asset.id for asset in topology.assets if asset.kind.name == "PV"]
        return Outlook(
            start_epoch_s=truth.start_epoch_s + k * SECONDS_PER_QUARTER,
            load_kw={name: load[rows, c] for c, name in ids.items()},
            high_kw={name: load[rows, c] for c, name in ids.items()},
            pv_kw={name: pv[rows, p] for p, name in enumerate(plants)},
            arrivals_kw={},
        )

    def _here(self, evse: str) -> Visit | None:
        """The car at an EVSE now."""
        tag = self._plant.sessions.tags[self._topology.index[evse]]
        return None if tag is None else self._visits.get(tag)

    def _target(self, visit: Visit) -> Target:
        """What this car will take, by when its driver wants it, or leaves sooner."""
        car, begin_epoch_s = visit.arrival, self._world.environment.start_epoch_s
        end_s = car.end_s if visit.told_end_s is None else min(car.end_s, visit.told_end_s)
        return Target(unit="kwh", amount=car.energy_wh / MILLI, departure_epoch_s=begin_epoch_s + end_s)


def conductors(asset: Asset, car: Arrival) -> tuple[str, ...]:
    """Grid phases that a car uses at this EVSE."""
    return tuple(PHASES[p] for p in asset.phases[: car.phases])
