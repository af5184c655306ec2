"""Prices that are not published yet: the similar day.

A day of a class (workday, Saturday, Sunday and holidays) looks like the median of its class over four weeks, moved by
how far the last day lay from its own class: its level fully carries weather and fuel, its shape partly. Prices move by
sums, not by factors: they pass through zero. The spread is that of this very method's errors on the last weeks.
Measured on day-ahead prices, whole days ahead, mean absolute error in EUR/MWh against the usual naive similar day
(Monday, Saturday and Sunday as a week ago, else as yesterday): docs/sources.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.core.calendar import DAYS_PER_WEEK, QUARTERS_PER_DAY, DayClass, local_time, quarters
from forecasting.core.quantiles import QUANTILES, QuantileSeries
from interfaces.domain.units import SECONDS_PER_QUARTER, Floats, Ints

WEEKS: Final = 4
LEVEL_SHARE: Final = 0.7
"""Of the last day's distance from its class, the part that the next day keeps; squared for the day after."""
SHAPE_SHARE: Final = 0.3
REPLAYED_DAYS: Final = 21
LEAST_REPLAYED: Final = 5
BLOCK: Final = 12
"""Quarters whose errors are pooled: 3 h."""


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """Local days in order: ``day_class`` (D,) and ``values`` (D, 96) by local quarter, NaN where unknown."""

    day_class: Ints
    values: Floats


def similar_day(
    history_eur_per_kwh: Floats,
    history_start_epoch_s: int,
    start_epoch_s: int,
    steps: int,
    time_zone: str,
    country: str | None = None,
) -> QuantileSeries | None:
    """Prices in EUR/kWh by quarters from ``start_epoch_s``; None without any history.

    ``history_eur_per_kwh`` (H,) by quarters from ``history_start_epoch_s``, NaN where unknown; what it holds from
    ``start_epoch_s`` on is not looked at. Seven weeks are used; one day is enough for a rough forecast.
    """
    known = history_eur_per_kwh[: max(0, (start_epoch_s - history_start_epoch_s) // SECONDS_PER_QUARTER)]
    if not np.isfinite(known).any():
        return None
    known = known[: int(np.flatnonzero(np.isfinite(known))[-1]) + 1]
    past = local_time(quarters(history_start_epoch_s, len(known)), time_zone, country)
    ahead = local_time(quarters(start_epoch_s, steps), time_zone, country)
    days = _by_day(past.day, past.quarter_of_day, past.day_class, known)
    lead = np.maximum(ahead.day - past.day[-1], 1)
    point, spread = np.zeros(steps), np.zeros((steps, len(QUANTILES)))
    errors = _error_quantiles(days)
    for day_class in np.unique(ahead.day_class):
        for days_ahead in np.unique(lead):
            here = (ahead.day_class == day_class) & (lead == days_ahead)
            quarter = ahead.quarter_of_day[here]
            point[here] = _predicted(days, int(day_class), int(days_ahead))[quarter]
            spread[here] = errors[quarter // BLOCK] * np.sqrt(days_ahead)
    return QuantileSeries(start_epoch_s, point[:, None] + spread)


def _by_day(day: Ints, quarter: Ints, day_class: Ints, values: Floats) -> _Days:
    """On the day of 25 hours the later one of the hour that comes twice counts."""
    row = day - day[0]
    table = np.full((int(row[-1]) + 1, QUARTERS_PER_DAY), np.nan)
    table[row, quarter] = values
    classes = np.zeros(len(table), dtype=np.int64)
    classes[row] = day_class
    return _Days(classes, table)


def _predicted(days: _Days, day_class: int, days_ahead: int) -> Floats:
    """(96,) the prices of a day of this class, ``days_ahead`` after the last of ``days``."""
    recent = _Days(days.day_class[-WEEKS * DAYS_PER_WEEK :], days.values[-WEEKS * DAYS_PER_WEEK :])
    usual = _profiles(recent)
    apart = recent.values[-2:] - usual[recent.day_class[-2:]]
    latest = apart[-1] if len(apart) == 1 else np.where(np.isfinite(apart[-1]), apart[-1], apart[0])
    level = float(np.nanmean(latest)) if np.isfinite(latest).any() else 0.0
    shape = np.nan_to_num(latest - level)
    carried: Floats = level * LEVEL_SHARE**days_ahead + shape * SHAPE_SHARE**days_ahead
    predicted: Floats = usual[day_class] + carried
    return predicted


def _profiles(days: _Days) -> Floats:
    """(3, 96) the median day of each class; a class without days borrows all days, a quarter without prices its
    neighbours.
    """
    every = _filled(_median(days.values))
    found = np.tile(every, (len(DayClass), 1))
    for day_class in DayClass:
        rows = days.values[days.day_class == day_class]
        if len(rows):
            own = _median(rows)
            found[day_class] = np.where(np.isfinite(own), own, every)
    return found


def _median(rows: Floats) -> Floats:
    """Median of each column over what is known, NaN where nothing is; `np.nanmedian` is slow on such small tables."""
    ordered = np.sort(rows, axis=0)  # NaN last
    known = np.isfinite(rows).sum(axis=0)
    columns = np.arange(rows.shape[1])
    upper = ordered[np.minimum(known // 2, len(rows) - 1), columns]
    lower = ordered[np.maximum(known - 1, 0) // 2, columns]
    found: Floats = np.where(known > 0, (lower + upper) / 2.0, np.nan)
    return found


def _filled(day: Floats) -> Floats:
    """A day without gaps: straight lines between the quarters that are known, which are some."""
    have = np.flatnonzero(np.isfinite(day))
    if not len(have):
        return np.zeros_like(day)
    filled: Floats = np.interp(np.arange(len(day)), have, day[have])
    return filled


def _error_quantiles(days: _Days) -> Floats:
    """(8, Q) what to add to the point by the 3 h of the day: quantiles of the errors on the last days
    around their median (three weeks tell nothing about a lasting bias: with it the point is worse).
    """
    blocks = QUARTERS_PER_DAY // BLOCK
    first = max(1, len(days.values) - REPLAYED_DAYS)
    errors = np.full((len(days.values) - first, QUARTERS_PER_DAY), np.nan)
    for k in range(first, len(days.values)):
        before = _Days(days.day_class[:k], days.values[:k])
        errors[k - first] = days.values[k] - _predicted(before, int(days.day_class[k]), 1)
    if len(errors) < LEAST_REPLAYED:
        # Too few days to have errors: the spread of the prices themselves.
        errors = days.values - _median(days.values.reshape(-1, 1))
    pooled = errors.reshape(-1, blocks, BLOCK).transpose(1, 0, 2).reshape(blocks, -1)
    everything = pooled[np.isfinite(pooled)]
    found = np.zeros((blocks, len(QUANTILES)))
    for block, row in enumerate(pooled):
        some = row[np.isfinite(row)]
        some = some if len(some) else everything
        if len(some):
            found[block] = np.quantile(some, QUANTILES) - np.median(some)
    return found
