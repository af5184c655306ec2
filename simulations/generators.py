"""From the data section of a scenario to what the plant takes: visits, building, weather and prices.

Seeded generators where no file is named. Every kind of data has its own random stream, so that changing the cars does
not change the prices.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, Floats
from simulations.data_files import Clock, DataFiles, FileSession
from simulations.plant.building import BuildingLoad, Motor, Series
from simulations.plant.ev import Arrival, drawn_traits
from simulations.plant.pv import Sky
from simulations.plant.sessions import Traffic, drawn_arrivals
from simulations.scenario import (
    GeneratedPrices,
    GeneratedSun,
    HeaterEntry,
    LoadEntry,
    LoadSeries,
    PriceFile,
    SessionFile,
    Street,
    SunFile,
)
from simulations.scenario import GeneratedSessions as Generated

SERIES_STEP_S: Final[float] = 60.0
"""Measured quarter-hours are joined by straight lines in steps of a minute: a building does not jump on the quarter."""
PHASE_SHARES: Final[tuple[float, float, float]] = (0.3, 0.1, 0.6)
"""Share of cars that use one, two, three conductors."""
ONE_PHASE_A: Final[float] = 32.0
MORE_PHASES_A: Final[float] = 16.0
"""Usual on-board chargers: 7.4 kW on one phase, 11 kW on three."""
KWH_PER_MWH: Final[float] = 1000.0
_STREAM: Final[dict[str, int]] = {"visits": 11, "places": 12, "prices": 13, "targets": 14, "heaters": 15}


@dataclass(frozen=True, slots=True)
class Visit:
    """One arrival and what the site was told of it (None: nothing)."""

    arrival: Arrival
    told_end_s: float | None = None
    told_energy_wh: float | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Import price (T,) per kWh: step t holds from ``start_s + t * step_s`` s after the start of the run."""

    start_s: float
    step_s: int
    eur_per_kwh: Floats
    fee_eur_per_kwh: float
    export_eur_per_kwh: float

    def at(self, now_s: float) -> float:
        """Price of a moment; the last known one holds on."""
        t = int((now_s - self.start_s) // self.step_s)
        return float(self.eur_per_kwh[min(max(t, 0), len(self.eur_per_kwh) - 1)])


def stream(seed: int, what: str) -> np.random.Generator:
    """The random stream of one kind of data."""
    return np.random.default_rng(np.random.SeedSequence((seed, _STREAM[what])))


def visits_of(
    entry: Generated | SessionFile,
    topology: Topology,
    files: DataFiles,
    clock: Clock,
    seed: int,
    known_share: float,
    *,
    drivers_know: bool = False,
) -> tuple[Visit, ...]:
    """All visits of a run, by arrival. ``drivers_know``: whoever tells anything tells the truth."""
    if isinstance(entry, Generated):
        visits = _generated(entry, topology, clock, seed)
        rng = stream(seed, "targets")
        return tuple(Visit(a, a.end_s, a.energy_wh) if rng.random() < known_share else Visit(a) for a in visits)
    sessions = files.sessions(entry, place=entry.place, overlay=entry.overlay, max_mean_kw=entry.max_mean_kw)
    if drivers_know:
        sessions = [replace(s, told_end_s=s.end_s, told_energy_wh=s.energy_wh) for s in sessions]
    return _placed(sessions, topology, entry.cars, seed, known_share)


def _generated(entry: Generated, topology: Topology, clock: Clock, seed: int) -> list[Arrival]:
    traffic = Traffic(
        visits_per_day=entry.visits_per_day,
        morning_h=entry.morning_h,
        stay_h=entry.stay_h,
        energy_kwh=entry.energy_kwh,
        odd_share=entry.cars.odd_share,
        disobedient_share=entry.cars.disobedient_share,
        adversarial_share=entry.cars.adversarial_share,
    )
    days = int(np.ceil((clock.start_day_s + clock.length_s) / SECONDS_PER_DAY))
    visits = drawn_arrivals(topology, stream(seed, "visits"), days, traffic, day_s=clock.start_day_s)
    return [a for a in visits if a.start_s < clock.length_s]


def _placed(
    sessions: list[FileSession], topology: Topology, cars: Street, seed: int, known_share: float
) -> tuple[Visit, ...]:
    """Stations take the AC EVSEs in a drawn order; a session whose place is taken goes to any free one, or away."""
    rng = stream(seed, "places")
    columns = [i for i, a in enumerate(topology.assets) if a.kind is AssetKind.EVSE and not a.direct_current]
    rng.shuffle(columns)
    stations = sorted({s.station for s in sessions})
    own = {name: columns[k % len(columns)] for k, name in enumerate(stations)}
    free = set(columns)
    leaving: list[tuple[float, int]] = []
    visits: list[Visit] = []
    for number, session in enumerate(sessions):
        while leaving and leaving[0][0] <= session.start_s:
            free.add(heapq.heappop(leaving)[1])
        arrival = _car(session, number, rng, cars)
        told = rng.random() < known_share
        if not free:
            continue
        column = own[session.station] if own[session.station] in free else min(free)
        free.remove(column)
        heapq.heappush(leaving, (session.end_s + 1.0, column))
        arrival = replace(arrival, asset=topology.assets[column].id)
        visits.append(Visit(arrival, session.told_end_s, session.told_energy_wh) if told else Visit(arrival))
    return tuple(visits)


def _car(session: FileSession, number: int, rng: np.random.Generator, cars: Street) -> Arrival:
    """The car of a real session. The file knows its energy, not its phases: those come from the street."""
    phases = 1 + int(rng.choice(3, p=PHASE_SHARES))
    return Arrival(
        asset="",
        start_s=session.start_s,
        end_s=session.end_s,
        energy_wh=session.energy_wh,
        phases=phases,
        max_a=ONE_PHASE_A if phases == 1 else MORE_PHASES_A,
        tag=f"session-{number}",
        traits=drawn_traits(
            rng,
            odd_share=cars.odd_share,
            disobedient_share=cars.disobedient_share,
            adversarial_share=cars.adversarial_share,
        ),
    )


def loads_of(entries: tuple[LoadEntry, ...], files: DataFiles, clock: Clock, seed: int) -> tuple[BuildingLoad, ...]:
    """The building's loads; a measured series replaces base and swing, heaters are loads of their own."""
    rng = stream(seed, "heaters")
    loads: list[BuildingLoad] = []
    for entry in entries:
        loads.append(
            BuildingLoad(
                circuit=entry.circuit,
                base_a=entry.base_a,
                swing_a=entry.swing_a,
                noise_a=entry.noise_a,
                shape=entry.shape,
                motors=tuple(Motor(m.running_a, m.mean_pause_s, m.run_s) for m in entry.motors),
                series=None if entry.series is None else _load_series(entry.series, files, clock),
            )
        )
        for heater in entry.heaters:
            series = heater_series(heater, clock.length_s, rng)
            loads.append(BuildingLoad(entry.circuit, (0.0, 0.0, 0.0), noise_a=0.0, series=series))
    return tuple(loads)


def heater_series(heater: HeaterEntry, length_s: float, rng: np.random.Generator) -> Series:
    """Second by second: off first, then on and off for drawn times."""
    on = np.zeros(int(np.ceil(length_s)) + 1)
    at_s = 0.0
    while at_s < length_s:
        at_s += heater.least_s + float(rng.exponential(heater.mean_pause_s))
        end_s = at_s + heater.least_s + float(rng.exponential(heater.mean_run_s))
        on[round(at_s) : round(end_s)] = 1.0
        at_s = end_s
    return Series(1.0, on[:, None] * np.array(heater.amps_a))


def _load_series(entry: LoadSeries, files: DataFiles, clock: Clock) -> Series:
    values = _load_values(entry, files, clock)
    return Series(SERIES_STEP_S, (values / _rated(entry.rated, values))[:, None] * np.array(entry.peak_a))


def _load_values(entry: LoadSeries, files: DataFiles, clock: Clock) -> Floats:
    trace = files.trace(entry, entry.column)
    at_s = np.arange(0.0, clock.length_s + SERIES_STEP_S, SERIES_STEP_S)
    values: Floats = np.maximum(np.interp(at_s, trace.at_s, trace.values), 0.0)
    return values


def load_rated(entry: LoadSeries, files: DataFiles, clock: Clock) -> float:
    """The value of the file that becomes ``peak_a``."""
    return _rated(entry.rated, _load_values(entry, files, clock))


def sun_rated(entry: SunFile, files: DataFiles) -> float:
    """The value of the file that means nameplate."""
    return _rated(entry.rated, files.trace(entry, entry.column).values)


def _rated(told: float | None, values: Floats) -> float:
    return max(float(values.max()), 1e-12) if told is None else told


def sky_of(entry: GeneratedSun | SunFile, files: DataFiles, clock: Clock) -> Sky:
    """The weather."""
    if isinstance(entry, GeneratedSun):
        return Sky(
            sunrise_h=entry.sunrise_h,
            sunset_h=entry.sunset_h,
            mean_clear_s=entry.mean_clear_s,
            mean_cloud_s=entry.mean_cloud_s,
            ramp_s=entry.ramp_s,
            under_cloud=entry.under_cloud,
        )
    trace = files.trace(entry, entry.column)
    at_s = np.arange(0.0, clock.length_s + SERIES_STEP_S, SERIES_STEP_S)
    stamped_s = trace.at_s - (SECONDS_PER_HOUR / 2 if entry.stamps == "end_of_hour" else 0.0)
    share = np.clip(np.interp(at_s, stamped_s, trace.values) / _rated(entry.rated, trace.values), 0.0, 1.0)
    return Sky(series=(SERIES_STEP_S, share))


def day_prices(days: int, mean_eur_per_kwh: float, swing_eur_per_kwh: float) -> Floats:
    """(24 * days,) hourly: peaks at 8 and 19 h, valleys at night and around 13 h, as on a European day with sun."""
    hour = np.arange(24 * days) % 24
    peaks = np.exp(-(((hour - 8.0) / 2.5) ** 2)) + 1.2 * np.exp(-(((hour - 19.0) / 2.5) ** 2))
    valley = 0.9 * np.exp(-(((hour - 13.5) / 2.0) ** 2))
    return np.asarray(mean_eur_per_kwh + swing_eur_per_kwh * (peaks - valley - 0.2))


def prices_of(entry: GeneratedPrices | PriceFile | None, files: DataFiles, clock: Clock, seed: int) -> Prices | None:
    """Prices from the first midnight to the day after the end."""
    if entry is None:
        return None
    if isinstance(entry, GeneratedPrices):
        step_s = SECONDS_PER_HOUR
        days = int(np.ceil((clock.start_day_s + clock.length_s) / SECONDS_PER_DAY)) + 1
        values = day_prices(days, entry.mean_eur_per_kwh, entry.swing_eur_per_kwh)
        values = values + stream(seed, "prices").standard_normal(len(values)) * entry.noise_eur_per_kwh
        start_s = -clock.start_day_s
    else:
        trace = files.trace(entry, "price_eur_per_mwh")
        step_s = int(np.median(np.diff(trace.at_s)))
        first, last = float(trace.at_s[0]), float(trace.at_s[-1])
        start_s = first + max(0.0, (-clock.start_day_s - first) // step_s) * step_s
        at_s = np.arange(start_s, last + 1.0, step_s)
        # A step that is missing keeps the price before it.
        values = trace.values[np.searchsorted(trace.at_s, at_s, side="right") - 1] / KWH_PER_MWH
    return Prices(start_s, step_s, np.asarray(values), entry.fee_eur_per_kwh, entry.export_eur_per_kwh)
