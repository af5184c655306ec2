"""Prices and weather as columns: what a source said, step by step, and the same on a grid of quarters of an hour.

A series has the native steps of its source, in order and without overlap; a step that the source does not have is
absent, never 0. Times are UTC (epoch seconds of a step's begin), so that a local day of 23 or 25 hours is simply 92 or
100 quarters long. ``flags`` says what a reader of the numbers should know; nothing is repaired in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from interfaces.domain.units import (
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
    SECONDS_PER_QUARTER,
    Bools,
    Floats,
    Ints,
    frozen_floats,
)

Codes = npt.NDArray[np.int8]

BRIDGED_S: Final = 3 * SECONDS_PER_HOUR
"""A hole up to this long is bridged by a straight line between its neighbours."""


class Flag(StrEnum):
    """What is special about a series; the words stand in the output of the commands."""

    STALE = "stale"
    """From the cache: the source could not be reached, or gave nothing usable, since."""
    FALLBACK = "fallback_source"
    """Not from the source that was asked first."""
    GAPS = "gaps"
    """Steps are missing between the first and the last."""
    FILLED = "gaps_filled"
    """Of a grid: steps of a hole hold estimates."""
    FORECAST = "forecast"
    """Some steps are not published yet and hold a forecast."""
    INCOMPLETE = "incomplete"
    """The source did not have the whole time that was asked for."""
    DUPLICATES = "duplicates_dropped"
    """A step was given twice with the same value."""
    EXTREME = "extreme_price"
    """A price at or beyond the limits of the day-ahead market (-500 and +4000 EUR/MWh); it is kept."""
    OTHER_AUCTION = "other_auction_ignored"
    """Prices of another auction than the day-ahead one were left out."""
    COARSER = "coarser_prices_ignored"
    """Hours were given in hours and in quarters; the quarters are used."""
    OUTSIDE = "position_outside_period"
    """A value beyond the end of its own period was left out."""
    BORDER = "border_price"
    """The price of a border between two zones, not of one zone."""
    UNIT = "unit_assumed"
    """The answer names no usable unit; EUR/MWh is taken."""
    ZONE = "zone_assumed"
    """The answer does not say for which zone it is; the source's usual one is taken."""
    MISSING = "missing_values"
    """Of weather: some values of a step are missing."""
    LEFT_OUT = "quantities_left_out"
    """Of weather: a quantity in a unit that is not known was left out."""


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """Energy prices of one bidding zone without taxes, VAT and fees.

    ``start_epoch_s`` (T,) ascending; ``step_s`` (T,) length of each step; ``eur_per_kwh`` (T,) finite, may be negative.
    ``resolution_min``: the finest step.
    """

    source: str
    zone: str
    start_epoch_s: Ints
    step_s: Ints
    eur_per_kwh: Floats
    flags: tuple[Flag, ...] = ()

    @property
    def resolution_min(self) -> int:
        return _finest_min(self.step_s)

    def flagged(self, *flags: Flag) -> PriceSeries:
        """The same with more flags."""
        return replace(self, flags=merged_flags(self.flags, flags))


@dataclass(frozen=True, slots=True)
class WeatherSeries:
    """Weather at one place.

    ``quantities``: name with unit -> column (T,), NaN where the source has no value. A mean or sum (radiation, wind,
    precipitation) is that of the step; other quantities are those at its begin.
    """

    source: str
    start_epoch_s: Ints
    step_s: Ints
    quantities: Mapping[str, Floats]
    flags: tuple[Flag, ...] = ()

    @property
    def resolution_min(self) -> int:
        return _finest_min(self.step_s)

    def flagged(self, *flags: Flag) -> WeatherSeries:
        """The same with more flags."""
        return replace(self, flags=merged_flags(self.flags, flags))


class Origin(IntEnum):
    """Where the value of a step comes from."""

    ABSENT = 0
    SOURCE = 1
    FILLED = 2
    FORECAST = 3


@dataclass(frozen=True, slots=True)
class Grid:
    """One quantity by quarters of an hour from ``start_epoch_s``.

    ``values`` (T,) finite except where ``origin`` (T,) is ABSENT, there NaN. A grid without absent steps is complete.
    """

    start_epoch_s: int
    values: Floats
    origin: Codes
    step_s: int = SECONDS_PER_QUARTER

    @property
    def complete(self) -> bool:
        return not bool((self.origin == Origin.ABSENT).any())

    @property
    def flags(self) -> tuple[Flag, ...]:
        marks = ((Origin.FILLED, Flag.FILLED), (Origin.FORECAST, Flag.FORECAST), (Origin.ABSENT, Flag.INCOMPLETE))
        return tuple(flag for origin, flag in marks if bool((self.origin == origin).any()))


def merged_flags(*groups: tuple[Flag, ...]) -> tuple[Flag, ...]:
    """All flags once, in the order of their first appearance."""
    return tuple(dict.fromkeys(flag for group in groups for flag in group))


def utc_text(epoch_s: float) -> str:
    """ISO 8601 in UTC to the second, with Z."""
    return datetime.fromtimestamp(epoch_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def gap_count(start_epoch_s: Ints, step_s: Ints) -> int:
    """How many holes there are between the steps of a series."""
    return int(np.count_nonzero(start_epoch_s[1:] != start_epoch_s[:-1] + step_s[:-1]))


def end_epoch_s(series: PriceSeries | WeatherSeries) -> int:
    """End of the last step."""
    return int(series.start_epoch_s[-1] + series.step_s[-1])


def price_grid(series: PriceSeries, start_epoch_s: int, steps: int) -> Grid:
    """Prices by quarters. A price holds for all quarters of its step.

    A hole of up to 3 h is bridged in a straight line, a longer one takes the same quarter of the day before or after;
    before the first and behind the last price the steps are ABSENT: that is a forecast's work.
    """
    values, known = _spread(series, series.eur_per_kwh, start_epoch_s, steps)
    inside = _between(values, known, series, start_epoch_s)
    filled = _bridge(values, known) & inside
    for neighbour_s in (-SECONDS_PER_DAY, SECONDS_PER_DAY):
        other, there = _spread(series, series.eur_per_kwh, start_epoch_s + neighbour_s, steps)
        take = inside & ~known & ~filled & there
        values[take] = other[take]
        filled |= take
    return _grid(start_epoch_s, values, known, filled)


def weather_grid(series: WeatherSeries, name: str, start_epoch_s: int, steps: int) -> Grid:
    """One quantity by quarters: a step's value holds for all its quarters; holes of up to 3 h are bridged.

    An unknown ``name`` is a grid without any value.
    """
    column = series.quantities.get(name)
    if column is None:
        column = np.full(series.start_epoch_s.shape, np.nan)
    values, known = _spread(series, column, start_epoch_s, steps)
    return _grid(start_epoch_s, values, known, _bridge(values, known))


def with_forecast(grid: Grid, forecast: Floats) -> Grid:
    """The grid with ``forecast`` (T,) in its absent steps; what is not finite stays absent."""
    take = (grid.origin == Origin.ABSENT) & np.isfinite(forecast)
    values = np.where(take, forecast, grid.values)
    origin = np.where(take, np.int8(Origin.FORECAST), grid.origin)
    return replace(grid, values=frozen_floats(values), origin=_frozen_codes(origin))


def _grid(start_epoch_s: int, values: Floats, known: Bools, filled: Bools) -> Grid:
    origin = np.where(known, Origin.SOURCE, np.where(filled, Origin.FILLED, Origin.ABSENT))
    whole = np.where(known | filled, values, np.nan)
    return Grid(start_epoch_s, frozen_floats(whole), _frozen_codes(origin.astype(np.int8)))


def _frozen_codes(codes: Codes) -> Codes:
    column = codes.astype(np.int8)
    column.setflags(write=False)
    return column


def _spread(
    series: PriceSeries | WeatherSeries, column: Floats, start_epoch_s: int, steps: int
) -> tuple[Floats, Bools]:
    """The value of the step around each quarter, NaN where there is none, and where there is one."""
    begin = start_epoch_s + SECONDS_PER_QUARTER * np.arange(steps, dtype=np.int64)
    values = np.full(steps, np.nan)
    if series.start_epoch_s.size:
        index = np.searchsorted(series.start_epoch_s, begin, side="right") - 1
        place = np.maximum(index, 0)
        within = (index >= 0) & (begin < series.start_epoch_s[place] + series.step_s[place])
        values[within] = column[place[within]]
    return values, np.isfinite(values)


def _between(values: Floats, known: Bools, series: PriceSeries, start_epoch_s: int) -> Bools:
    """Quarters between the first and the last step of the series."""
    begin = start_epoch_s + SECONDS_PER_QUARTER * np.arange(values.size, dtype=np.int64)
    if not series.start_epoch_s.size:
        return np.zeros_like(known)
    inside: Bools = (begin >= series.start_epoch_s[0]) & (begin < end_epoch_s(series))
    return inside


def _bridge(values: Floats, known: Bools) -> Bools:
    """Write a straight line into short holes of ``values``; where that was done."""
    filled = np.zeros_like(known)
    have = np.flatnonzero(known)
    for left, right in pairwise(have):
        missing = right - left - 1
        if 0 < missing * SECONDS_PER_QUARTER <= BRIDGED_S:
            inner = np.arange(left + 1, right)
            values[inner] = np.interp(inner, (left, right), (values[left], values[right]))
            filled[inner] = True
    return filled


def _finest_min(step_s: Ints) -> int:
    return int(step_s.min()) // SECONDS_PER_MINUTE if step_s.size else 0
