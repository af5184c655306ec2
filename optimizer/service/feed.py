"""Prices and weather that are fetched beside the planning: a slow source delays nobody's plan.

One thread asks the sources, one after the other, as the fetcher wants it. What it found is picked up at the next step;
until something better comes the last series stays, and ``trouble`` says what is wrong with it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from typing import Final, Generic
from zoneinfo import ZoneInfo

import numpy as np

from forecasting.core.pv import PvPlant, WeatherColumns, quarters_from_hours
from interfaces.domain.series import Flag, PriceSeries, WeatherSeries, end_epoch_s, price_grid, weather_grid
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, SECONDS_PER_QUARTER, Floats
from interfaces.sources.fetching import Fetched, Fetcher
from interfaces.sources.port import S, Source, SourceError
from interfaces.sources.prices.zones import Zone
from optimizer.core.problem_money import Dynamic
from optimizer.service.price_outlook import HISTORY_DAYS, price_outlook

log = logging.getLogger(__name__)

PERIOD_S: Final[float] = 900.0
"""The fetcher's cache decides whether anybody is asked; tomorrow's prices are known a quarter after they are out."""
RETRY_S: Final[float] = 300.0
"""A little more than a source that failed is left alone."""
WEATHER_BACK_DAYS: Final[int] = 14
"""The correction of PV forecasts compares the past weather with what was measured."""
WEATHER_AHEAD_DAYS: Final[int] = 3

Window = Callable[[float], tuple[int, int]]
"""From now (epoch) to the time to ask for: begin and end."""


class Feed(Generic[S]):
    """One series from ordered sources, kept up to date. ``series`` None until the first one has come."""

    def __init__(
        self, name: str, sources: Sequence[Source[S]], window: Window, fetcher: Fetcher, executor: Executor
    ) -> None:
        self.name = name
        self.series: S | None = None
        self.trouble = ""
        """What is wrong now, for people; empty when the first source answers in full."""
        self._sources: Sequence[Source[S]] = sources
        self._window, self._fetcher, self._executor = window, fetcher, executor
        self._asking: Future[Fetched[S] | SourceError] | None = None
        self._asked_epoch_s = -math.inf
        self._period_s = PERIOD_S

    def poll(self, now_epoch_s: float) -> bool:
        """Pick up what has come and ask again when it is time; whether there is another series than before."""
        # A clock that was set back makes a negative age: ask.
        if self._asking is None and not 0.0 <= now_epoch_s - self._asked_epoch_s < self._period_s:
            self._asked_epoch_s = now_epoch_s
            begin, end = self._window(now_epoch_s)
            self._asking = self._executor.submit(self._fetcher.first_good, self._sources, begin, end)
        if self._asking is None or not self._asking.done():
            return False
        asked, self._asking = self._asking, None
        self._period_s = RETRY_S
        bug = asked.exception()
        if bug is not None:
            log.error("feed_failed name=%s", self.name, exc_info=bug)
            self.trouble = f"{self.name}: {type(bug).__name__}: {bug}"
            return False
        return self._take(asked.result())

    def _take(self, found: Fetched[S] | SourceError) -> bool:
        if isinstance(found, SourceError):
            self.trouble = f"{self.name}: {found}"
            return False
        new, old = found.series, self.series
        stale = Flag.STALE in new.flags
        bad = stale or Flag.FALLBACK in new.flags
        self.trouble = f"{self.name}: {'; '.join(found.problems)}" if bad else ""
        self._period_s = RETRY_S if stale else PERIOD_S
        if old is not None and stale and end_epoch_s(new) <= end_epoch_s(old):
            return False
        self.series = new
        return True


def price_window(zone: Zone) -> Window:
    """From local midnight, as far back as the similar day looks, to the end of tomorrow."""
    local = ZoneInfo(zone.time_zone)

    def window(now_epoch_s: float) -> tuple[int, int]:
        today = datetime.fromtimestamp(now_epoch_s, UTC).astimezone(local).date()
        edges = (today - timedelta(days=HISTORY_DAYS), today + timedelta(days=2))
        begin, end = (round(datetime(day.year, day.month, day.day, tzinfo=local).timestamp()) for day in edges)
        return begin, end

    return window


def weather_window(now_epoch_s: float) -> tuple[int, int]:
    """Two weeks back, three days ahead, on full hours."""
    hour = math.floor(now_epoch_s / SECONDS_PER_HOUR) * SECONDS_PER_HOUR
    return hour - WEATHER_BACK_DAYS * SECONDS_PER_DAY, hour + WEATHER_AHEAD_DAYS * SECONDS_PER_DAY


def prices_ahead(series: PriceSeries, zone: Zone, now_epoch_s: float, steps: int) -> Dynamic | None:
    """Prices for the quarters from the running one: published, else of a similar day; None where nothing is known."""
    start = math.floor(now_epoch_s / SECONDS_PER_QUARTER) * SECONDS_PER_QUARTER
    values = price_outlook(series, start, steps, zone.time_zone, zone.name[:2]).values
    if not np.isfinite(values).any():
        return None
    column = tuple(float(v) if math.isfinite(v) else None for v in values)
    return Dynamic(kind="dynamic", start_epoch_s=float(start), eur_per_kwh=column)


def weather_columns(series: WeatherSeries, plant: PvPlant) -> WeatherColumns:
    """The weather by quarters. Of hourly irradiance only the global one is used, spread as the sun moves over any plant
    of the place.
    """
    start = int(series.start_epoch_s[0])
    steps = (end_epoch_s(series) - start) // SECONDS_PER_QUARTER

    def column(name: str) -> Floats:
        return weather_grid(series, name, start, steps).values

    air, wind = column("temperature_c"), column("wind_speed_m_per_s")
    ghi = column("ghi_w_per_m2")
    quarterly = series.resolution_min * SECONDS_PER_MINUTE <= SECONDS_PER_QUARTER
    per_hour = SECONDS_PER_HOUR // SECONDS_PER_QUARTER
    if quarterly or steps % per_hour or start % SECONDS_PER_HOUR:
        dni, dhi = column("dni_w_per_m2"), column("dhi_w_per_m2")
        return WeatherColumns(start, ghi, dni, dhi, air, wind)
    hourly = quarters_from_hours(plant, start, ghi[::per_hour])
    return WeatherColumns(start, hourly, temperature_degc=air, wind_m_per_s=wind)


def prices_differ(before: PriceSeries, after: PriceSeries, start_epoch_s: int, steps: int) -> bool:
    """Whether the published prices of the coming quarters are others than before."""
    grids = (price_grid(series, start_epoch_s, steps) for series in (before, after))
    old, new = (grid.values for grid in grids)
    return not np.array_equal(old, new, equal_nan=True)
