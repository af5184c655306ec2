"""Prices for a whole horizon: what is published, holes estimated, the similar day behind it. Each step says which."""

from __future__ import annotations

from typing import Final

from forecasting.core.price import similar_day
from interfaces.domain.series import Grid, PriceSeries, end_epoch_s, price_grid, with_forecast
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER

HISTORY_DAYS: Final = 50
"""What the similar day looks back on: four weeks, and three more for its own errors."""


def price_outlook(
    series: PriceSeries, start_epoch_s: int, steps: int, time_zone: str, country: str | None = None
) -> Grid:
    """Prices in EUR/kWh by quarters from ``start_epoch_s``, which begins one.

    Steps behind the last price are a forecast from up to ``HISTORY_DAYS`` of the series before it. Complete unless the
    series has nothing before the steps it lacks, or begins behind ``start_epoch_s``.
    """
    published = price_grid(series, start_epoch_s, steps)
    if published.complete or not series.start_epoch_s.size:
        return published
    end = end_epoch_s(series)
    behind = max(end, start_epoch_s)
    missing = (start_epoch_s - behind) // SECONDS_PER_QUARTER + steps
    if missing <= 0:
        return published
    first = max(int(series.start_epoch_s[0]), end - HISTORY_DAYS * SECONDS_PER_DAY)
    known = price_grid(series, first, (end - first) // SECONDS_PER_QUARTER)
    found = similar_day(known.values, first, behind, missing, time_zone, country)
    if found is None:
        return published
    forecast = published.values.copy()
    forecast[steps - missing :] = found.median
    return with_forecast(published, forecast)
