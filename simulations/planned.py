"""What a strategy with plans needs besides the world: the site's record, its past, the market, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import numpy as np

from forecasting.core.load import BuildingUse
from forecasting.core.pv import PvPlane, PvPlant, WeatherColumns, quarters_from_hours
from forecasting.core.sessions import Place, SiteClass
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_QUARTER, Floats
from optimizer.core.problem_facts import BatteryFacts, batteries_of
from optimizer.core.problem_money import Capacity, Fixed, Tariff
from optimizer.service.outlook import Models
from optimizer.service.record import SiteRecord
from simulations.data_files import DataFiles, clock_of
from simulations.scenario import Economy, Scenario, StrategyName, WeatherForecast
from simulations.truth import Past, Truth, past_of, truth_of
from simulations.world import SiteFacts, World

MARGIN_DAYS: Final[int] = 2
"""Forecasts look so far beyond the end of the run."""
WEATHER_BACK_DAYS: Final[int] = 14
ERROR_MEMORY_H: Final[float] = 12.0
"""How long an error of a weather forecast lasts."""
KWP_PER_KW: Final[float] = 1.1
"""Modules per inverter, as roofs are usually built."""
FLOOR_SHARE: Final[float] = 0.1
CEILING_SHARE: Final[float] = 0.95
"""Planned inside what the battery's own management allows."""


@dataclass(frozen=True, slots=True)
class PlanWorld:
    """``truth`` only for perfect foresight. ``weather``: as forecast, on quarters."""

    record: SiteRecord
    models: Models
    past: Past | None
    cloud_away_s: tuple[float, float] | None
    weather: WeatherColumns | None
    truth: Truth | None


def plan_world_of(
    scenario: Scenario, site: SiteFacts, world: World, folder: Path | None, name: StrategyName
) -> PlanWorld:
    """All that the strategy ``name`` plans with.

    Raises:
        UserError: a file is missing or does not reach far enough.
    """
    economy = scenario.economy
    record = _record(economy, site, world)
    plants = _plants(economy, site, record)
    return PlanWorld(
        record=record,
        models=Models(
            place=Place(SiteClass(economy.site_class), site.time_zone, None),
            plants=plants,
            use=BuildingUse(economy.building),
        ),
        past=past_of(scenario, site, folder, economy.history_days),
        cloud_away_s=_away(economy),
        weather=_weather(scenario, site, plants, folder),
        truth=truth_of(world, world.step_s) if name == "mpc-perfect" else None,
    )


def _away(economy: Economy) -> tuple[float, float] | None:
    if economy.cloud_away_h is None:
        return None
    begin_h, end_h = economy.cloud_away_h
    return begin_h * SECONDS_PER_HOUR, end_h * SECONDS_PER_HOUR


def _record(economy: Economy, site: SiteFacts, world: World) -> SiteRecord:
    prices = world.prices
    capacity = None
    if economy.capacity_eur_per_kw > 0.0:
        capacity = Capacity(eur_per_kw=economy.capacity_eur_per_kw, floor_kw=economy.capacity_floor_kw)
    return SiteRecord(
        id="site",
        time_zone=site.time_zone,
        topology=world.topology,
        tariff=Tariff(
            energy=Fixed("fixed", 0.0 if prices is None else float(np.mean(prices.eur_per_kwh))),
            grid_eur_per_kwh=0.0 if prices is None else prices.fee_eur_per_kwh,
            export_share=0.0,
            export_eur_per_kwh=0.0 if prices is None else prices.export_eur_per_kwh,
            capacity=capacity,
        ),
        batteries=_batteries(world),
        plan_every_s=float(economy.replan_s),
    )


def _batteries(world: World) -> tuple[BatteryFacts, ...]:
    specs = {spec.asset: spec for spec in world.environment.batteries}
    plain = batteries_of(world.topology, {name: spec.capacity_kwh for name, spec in specs.items()})
    return tuple(
        replace(
            battery,
            floor_share=FLOOR_SHARE,
            ceiling_share=CEILING_SHARE,
            charge_efficiency=specs[battery.id].efficiency,
            discharge_efficiency=specs[battery.id].efficiency,
        )
        for battery in plain
    )


def _plants(economy: Economy, site: SiteFacts, record: SiteRecord) -> Mapping[str, PvPlant]:
    latitude, longitude = site.location
    plants = {}
    for plant in record.facts().pv:
        plane = PvPlane(economy.tilt_deg, economy.azimuth_deg, KWP_PER_KW * plant.rated_kw)
        plants[plant.id] = PvPlant(latitude, longitude, (plane,), plant.rated_kw)
    return plants


def _weather(
    scenario: Scenario, site: SiteFacts, plants: Mapping[str, PvPlant], folder: Path | None
) -> WeatherColumns | None:
    """Irradiance and temperature on quarters, the irradiance spoiled by an error that comes and goes in half a day. It
    reaches back over the days that corrections look at.
    """
    entry = scenario.economy.weather
    if entry is None or not plants:
        return None
    back = timedelta(days=min(WEATHER_BACK_DAYS, scenario.economy.history_days))
    length_s = (scenario.days + back.days + MARGIN_DAYS) * SECONDS_PER_DAY
    clock = clock_of(scenario.start - back, site.time_zone, length_s)
    files, moved = DataFiles(folder, clock), replace(entry, first_day=entry.first_day - back)
    hours = int(length_s // SECONDS_PER_HOUR)
    first = int(clock.start_epoch_s // SECONDS_PER_HOUR) * SECONDS_PER_HOUR
    # A stamp's irradiance is the mean of the hour before it.
    at_s = np.arange(1, hours + 1, dtype=np.float64) * SECONDS_PER_HOUR + first - clock.start_epoch_s
    rng = np.random.default_rng(np.random.SeedSequence((scenario.seed, 21)))
    ghi = _hourly(files, moved, "shortwave_radiation_w_per_m2", at_s) * _errors(rng, hours, entry.error)
    degc = _hourly(files, moved, "temperature_2m_degc", at_s)
    plant = next(iter(plants.values()))
    quarters = SECONDS_PER_HOUR // SECONDS_PER_QUARTER
    return WeatherColumns(
        first, quarters_from_hours(plant, first, ghi), temperature_degc=np.repeat(degc, quarters)
    )  # fmt: skip


def _hourly(files: DataFiles, entry: WeatherForecast, column: str, at_s: Floats) -> Floats:
    trace = files.trace(entry, column)
    values: Floats = np.interp(at_s, trace.at_s, trace.values)
    return values


def _errors(rng: np.random.Generator, hours: int, share: float) -> Floats:
    """Factors (H,) of mean 1: an autoregressive error in the logarithm."""
    keep = float(np.exp(-1.0 / ERROR_MEMORY_H))
    shock = rng.standard_normal(hours) * np.sqrt(1.0 - keep * keep)
    error = np.zeros(hours)
    for h in range(1, hours):
        error[h] = keep * error[h - 1] + shock[h]
    sigma = float(np.sqrt(np.log1p(share * share)))
    factors: Floats = np.exp(sigma * error - sigma * sigma / 2.0)
    return factors
