"""What lies ahead of a site, from its own past and the weather: applies the forecasts' pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from forecasting.core import arrivals, load, pv, sessions
from forecasting.core.history import Measured
from forecasting.core.load import Building, BuildingUse
from forecasting.core.pv import PvPlant, WeatherColumns
from forecasting.core.quantiles import QUANTILES
from forecasting.core.sessions import PastSessions, Place, RunningSession, past_sessions
from interfaces.domain.live import AssetLive, car_connected
from interfaces.domain.topology import Topology
from interfaces.domain.units import MILLI, SECONDS_PER_QUARTER, Bools, Floats
from optimizer.core.problem_state import CAPACITY_KWH, CONSUMPTION_WH_PER_KM, Target
from optimizer.core.targets import FULL_PCT
from optimizer.service.memory import FinishedSession, Quarters, SiteMemory
from optimizer.service.record import Outlook

HIGH: Final[float] = 0.9
"""Level of the load that circuits are planned for; the controller protects them from what lies above."""
WANTED: Final[float] = 0.6
LEAVES: Final[float] = 0.3
"""A session nobody described is planned for a little more energy and a little less time than the middle."""
KNOWN_SHARE: Final[float] = 0.5
"""From here on a forecast rests on the card's own sessions. What others do is no reason to let a stranger wait; where
no cards are read nobody is one."""
NEARLY: Final[float] = 0.5
"""Of what was asked for: from then on it is looked at what its car may take besides."""
RECENT_QUARTERS: Final[int] = 14 * 96
"""What the PV correction looks back on."""
HOURS_PER_YEAR: Final[int] = 8766
CAR_KW: Final[float] = 11.0
"""What most cars take at most of an AC charger."""
UNKNOWN_LOAD_SHARE: Final[float] = 0.15
"""Mean load of a circuit nobody measured yet, as a share of its rating."""


@dataclass(frozen=True, slots=True)
class Models:
    """What forecasts need to know of a site. ``plants`` by PV asset; ``buildings`` by circuit, a default elsewhere."""

    place: Place
    plants: Mapping[str, PvPlant] = field(default_factory=dict)
    buildings: Mapping[str, Building] = field(default_factory=dict)
    use: BuildingUse = BuildingUse.OFFICE


def outlook_of(
    models: Models, memory: SiteMemory, weather: WeatherColumns | None, now_epoch_s: float, steps: int
) -> Outlook:
    """Load, PV and cars to come, for ``steps`` quarters from the one under way."""
    start = int(now_epoch_s // SECONDS_PER_QUARTER) * SECONDS_PER_QUARTER
    quarters = memory.quarters()
    topology = memory.topology
    load_kw: dict[str, Floats] = {}
    high_kw: dict[str, Floats] = {}
    for c, circuit in enumerate(topology.circuits):
        if not topology.metered[c]:
            continue
        building = models.buildings.get(circuit.id) or _building(
            models, float(sum(circuit.rated_a)) * topology.nominal_mv
        )
        history = _measured(quarters, quarters.building_kw[:, c], None)
        found = load.forecast(building, start, steps, history)
        load_kw[circuit.id], high_kw[circuit.id] = found.mean, found.at(HIGH)
    pv_kw = {}
    for k, i in enumerate(memory.pv_assets):
        plant = models.plants.get(topology.assets[i].id)
        if plant is None:
            continue
        recent = _measured(quarters, quarters.pv_kw[:, k], quarters.held_back[:, k], last=RECENT_QUARTERS)
        pv_kw[topology.assets[i].id] = pv.forecast(plant, weather, start, steps, recent).mean
    return Outlook(start, load_kw, high_kw, pv_kw, _arrivals_kw(models.place, memory, start, steps))


def _arrivals_kw(place: Place, memory: SiteMemory, start: int, steps: int) -> dict[str, Floats]:
    """(T,) by circuit: what cars to come will draw when each spreads its energy over its stay, as plans let it; a site
    without any past session expects none.
    """
    topology = memory.topology
    evses = np.flatnonzero(np.asarray(topology.is_evse)).tolist()
    past = _past(tuple(memory.finished))
    if past is None or not evses:
        return {}
    car_kw = float(np.mean([_evse_kw(topology, i) for i in evses]))
    found = arrivals.forecast(place, arrivals.Chargers(len(evses), car_kw), start, steps, past)
    at = [topology.assets[i].circuit for i in evses]
    return {name: found.spread_kw * at.count(name) / len(at) for name in dict.fromkeys(at)}


def _evse_kw(topology: Topology, i: int) -> float:
    asset = topology.assets[i]
    kw = asset.max_a * len(asset.phases) * topology.nominal_mv / MILLI / MILLI
    return kw if asset.direct_current else min(kw, CAR_KW)


def expected_targets(
    models: Models, memory: SiteMemory, now_epoch_s: float, wishes: Mapping[str, Target]
) -> dict[str, Target]:
    """For every car that is here, what it will probably take until it probably leaves; of those whose target somebody
    gave (``wishes``, by EVSE) only where it is nearly reached.
    """
    status = memory.last
    if status is None:
        return {}
    past = _past(tuple(memory.finished))
    return {
        asset.id: _expected(models.place, asset, past, now_epoch_s)
        for asset in status.assets
        if car_connected(asset) and asset.plugged_in_epoch_s is not None and _nearly(asset, wishes.get(asset.id))
    }


def _nearly(asset: AssetLive, wish: Target | None) -> bool:
    """Whether nobody gave a target, or the car may soon have what was asked for; any car will do as a measure."""
    if wish is None:
        return True
    per_unit = {"kwh": 1.0, "km": CONSUMPTION_WH_PER_KM / MILLI, "pct": CAPACITY_KWH / FULL_PCT}[wish.unit]
    return asset.energy_kwh >= NEARLY * wish.amount * per_unit


def _expected(place: Place, asset: AssetLive, past: PastSessions | None, now_epoch_s: float) -> Target:
    began = int(asset.plugged_in_epoch_s or now_epoch_s)
    running = RunningSession(began, asset.energy_kwh, asset.tag or "")
    found = sessions.forecast(place, running, int(now_epoch_s), past)
    remaining = float(np.interp(WANTED, QUANTILES, found.remaining_kwh))
    leaves = float(np.interp(LEAVES, QUANTILES, found.departure_epoch_s))
    known = False if asset.tag and found.own_share < KNOWN_SHARE else None
    return Target(unit="kwh", amount=asset.energy_kwh + remaining, departure_epoch_s=leaves, deferrable=known)


def _past(finished: tuple[FinishedSession, ...]) -> PastSessions | None:
    if not finished:
        return None
    return past_sessions([
        (int(s.arrival_epoch_s), int(s.departure_epoch_s), s.energy_kwh, s.tag or "", False) for s in finished
    ])  # fmt: skip


def _measured(quarters: Quarters, values: Floats, held: Bools | None, *, last: int | None = None) -> Measured | None:
    if not len(values):
        return None
    first = 0 if last is None else max(0, len(values) - last)
    return Measured(int(quarters.start_epoch_s[first]), values[first:], None if held is None else held[first:])


def _building(models: Models, rated_a_mv: float) -> Building:
    """A circuit nobody described: a share of its rating, until it has shown what it takes."""
    mean_kw = UNKNOWN_LOAD_SHARE * rated_a_mv / MILLI / MILLI
    return Building(models.use, mean_kw * HOURS_PER_YEAR, models.place.time_zone, models.place.country, lowest_kw=None)
