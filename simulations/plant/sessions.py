"""Who comes when, and what became of each visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR, Bools, Floats
from simulations.plant.ev import Arrival, Cars, drawn_traits

CHARGING_A: Final[float] = 1.0
"""Above this a car counts as charging."""
_PHASE_SHARES: Final[tuple[float, float, float]] = (0.3, 0.1, 0.6)
"""Share of cars that use one, two, three conductors."""
_VISITS: Final[int] = 2


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One visit as it went, energy in Wh.

    ``interruptions``: times the supply cut a car that was charging and not full; ``queued_s``: time without an offer
    while it wanted energy; ``complete``: the car has left.
    """

    asset: str
    start_s: float
    end_s: float
    wanted_wh: float
    delivered_wh: float
    interruptions: int
    queued_s: float
    tag: str | None
    complete: bool


class Sessions:
    """Plugs cars in and out on time and keeps the books. ``arrivals`` may overlap; the earlier car stays."""

    def __init__(self, topology: Topology, arrivals: Sequence[Arrival]) -> None:
        self._index = dict(topology.index)
        self._arrivals = sorted(arrivals, key=lambda a: (a.start_s, a.asset))
        self._next = 0
        self._here: dict[int, Arrival] = {}
        self._began_s: dict[int, float] = {}
        self._first_end_s = np.inf
        self.delivered_wh: Floats = np.zeros(topology.n)
        self.interruptions = np.zeros(topology.n, dtype=np.int64)
        self.queued_s: Floats = np.zeros(topology.n)
        self._charging: Bools = np.zeros(topology.n, dtype=np.bool_)
        self.records: list[SessionRecord] = []
        self.turned_away: list[Arrival] = []
        self.tags: tuple[str | None, ...] = (None,) * topology.n

    def advance(self, now_s: float, cars: Cars) -> None:
        """Plug out whoever leaves by ``now_s``, plug in whoever arrives."""
        if now_s >= self._first_end_s:
            for column in [c for c, a in self._here.items() if a.end_s <= now_s]:
                self.leave(column, now_s, cars)
        while self._next < len(self._arrivals) and self._arrivals[self._next].start_s <= now_s:
            car = self._arrivals[self._next]
            self._next += 1
            if self._index[car.asset] in self._here or car.end_s <= now_s:
                self.turned_away.append(car)
            else:
                self.arrive(car, now_s, cars)

    def arrive(self, car: Arrival, now_s: float, cars: Cars) -> None:
        """Plug this car in now. The place must be free."""
        column = self._index[car.asset]
        self._here[column] = car
        self._began_s[column] = now_s
        self._first_end_s = min(self._first_end_s, car.end_s)
        self.delivered_wh[column] = self.queued_s[column] = 0.0
        self.interruptions[column] = 0
        self._charging[column] = False
        cars.plug_in(column, car, now_s)
        self._retag()

    def leave(self, column: int, now_s: float, cars: Cars) -> None:
        """Plug out whoever is at this place."""
        if column in self._here:
            self.records.append(self._record(column, now_s, complete=True))
            del self._here[column]
            cars.plug_out(column)
            self._first_end_s = min((a.end_s for a in self._here.values()), default=np.inf)
            self._retag()

    def _retag(self) -> None:
        self.tags = tuple(self._here[c].tag if c in self._here else None for c in range(len(self.tags)))

    def account(self, dt_s: float, energy_wh: Floats, cars: Cars, offered: Bools) -> None:
        """Book one step: energy (N,) Wh into each car, and who was waiting or cut (``offered`` (N,): pilot is on)."""
        self.delivered_wh += np.where(cars.plugged, energy_wh, 0.0)
        wanting = cars.plugged & (cars.remaining_wh > 0.0)
        idle = wanting & ~offered
        self.queued_s += dt_s * idle
        flowing = cars.amps > CHARGING_A
        self.interruptions += self._charging & ~flowing & idle
        self._charging = flowing | (self._charging & offered & wanting)

    def report(self, now_s: float) -> tuple[SessionRecord, ...]:
        """All visits so far, those still running included."""
        return (*self.records, *(self._record(c, now_s, complete=False) for c in self._here))

    def _record(self, column: int, now_s: float, *, complete: bool) -> SessionRecord:
        car = self._here[column]
        return SessionRecord(
            asset=car.asset,
            start_s=self._began_s[column],
            end_s=now_s,
            wanted_wh=car.energy_wh,
            delivered_wh=float(self.delivered_wh[column]),
            interruptions=int(self.interruptions[column]),
            queued_s=float(self.queued_s[column]),
            tag=car.tag,
            complete=complete,
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """How busy a site is. ``morning_h``: mean hour of the first visit of the day; shares as in ``drawn_traits``."""

    visits_per_day: float = 1.3
    morning_h: float = 8.5
    stay_h: tuple[float, float] = (1.0, 9.0)
    energy_kwh: tuple[float, float] = (5.0, 45.0)
    odd_share: float = 0.3
    disobedient_share: float = 0.0
    adversarial_share: float = 0.0


def drawn_arrivals(
    topology: Topology, rng: np.random.Generator, days: int, traffic: Traffic | None = None, *, day_s: float = 0.0
) -> tuple[Arrival, ...]:
    """Visits of ``days`` days at every EVSE, drawn from ``rng``; ``day_s``: seconds since midnight at the start."""
    busy = Traffic() if traffic is None else traffic
    visits: list[Arrival] = []
    for day in range(days):
        for asset in topology.assets:
            if asset.kind is not AssetKind.EVSE:
                continue
            free_s = 0.0
            for visit in range(_VISITS):
                came = rng.random() < busy.visits_per_day / _VISITS
                hour = rng.normal(busy.morning_h + 6.0 * visit, 1.5)
                stay_s = rng.uniform(*busy.stay_h) * SECONDS_PER_HOUR
                energy_wh = rng.uniform(*busy.energy_kwh) * MILLI
                phases = 1 + int(rng.choice(3, p=_PHASE_SHARES))
                max_a = float(rng.choice([16.0, 16.0, 20.0, 32.0]))
                traits = drawn_traits(
                    rng,
                    odd_share=busy.odd_share,
                    disobedient_share=busy.disobedient_share,
                    adversarial_share=busy.adversarial_share,
                )
                start_s = max(day * SECONDS_PER_DAY + hour * SECONDS_PER_HOUR - day_s, free_s)
                if came and start_s >= 0.0:
                    free_s = start_s + stay_s + 60.0
                    dc = asset.direct_current
                    visits.append(
                        Arrival(
                            asset=asset.id,
                            start_s=start_s,
                            end_s=start_s + stay_s,
                            energy_wh=energy_wh * (2.0 if dc else 1.0),
                            phases=3 if dc else phases,
                            max_a=asset.max_a if dc else max_a,
                            tag=f"tag-{day}-{asset.id}-{visit}",
                            traits=traits,
                        )
                    )
    return tuple(visits)
