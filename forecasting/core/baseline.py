"""The forecasts that every other has to beat: yesterday, last week, and what is usual at this time of the day."""

from __future__ import annotations

import numpy as np

from forecasting.core.calendar import QUARTERS_PER_DAY, quarters
from forecasting.core.history import Measured, looked_up
from forecasting.core.quantiles import QUANTILES, QuantileSeries, weighted_quantiles
from interfaces.domain.units import SECONDS_PER_DAY, Floats


def persistence(history: Measured, start_epoch_s: int, steps: int, *, lag_days: int = 1) -> QuantileSeries:
    """The value ``lag_days`` ago (again as many days back where that is not known yet), all quantiles alike; a gap
    takes the mean of the history, an empty history gives 0.
    """
    point = _lagged(history, start_epoch_s, steps, lag_days)
    return QuantileSeries(start_epoch_s, np.repeat(point[:, None], len(QUANTILES), axis=1))


def persistence_with_spread(
    history: Measured, start_epoch_s: int, steps: int, *, lag_days: int = 1, memory_days: int = 28
) -> QuantileSeries:
    """Persistence plus the quantiles of its own errors of the last ``memory_days``."""
    point = _lagged(history, start_epoch_s, steps, lag_days)
    known = history.until(start_epoch_s).power_kw[-memory_days * QUARTERS_PER_DAY :]
    lag = lag_days * QUARTERS_PER_DAY
    errors = known[lag:] - known[:-lag] if len(known) > lag else np.zeros(1)
    errors = errors[np.isfinite(errors)]
    spread = np.quantile(errors, QUANTILES) if len(errors) else np.zeros(len(QUANTILES))
    return QuantileSeries(start_epoch_s, point[:, None] + spread)


def climatology(history: Measured, start_epoch_s: int, steps: int, *, memory_days: int = 28) -> QuantileSeries:
    """Quantiles of the same UTC time of the day over the last ``memory_days``, all days alike."""
    epoch_s = quarters(start_epoch_s, steps)
    days = np.arange(1, memory_days + 3, dtype=np.int64)
    known = history.until(start_epoch_s)
    samples = looked_up(known.start_epoch_s, known.power_kw, epoch_s[:, None] - days * SECONDS_PER_DAY)
    found = weighted_quantiles(samples, np.ones(samples.shape))
    return QuantileSeries(start_epoch_s, np.where(np.isfinite(found), found, _usual(known)))


def _lagged(history: Measured, start_epoch_s: int, steps: int, lag_days: int) -> Floats:
    """Point forecast (T,): the latest known value a whole number of lags ago."""
    known = history.until(start_epoch_s)
    epoch_s = quarters(start_epoch_s, steps)
    point = np.full(steps, np.nan)
    for times in range(1, steps // (lag_days * QUARTERS_PER_DAY) + 3):
        earlier = looked_up(known.start_epoch_s, known.power_kw, epoch_s - times * lag_days * SECONDS_PER_DAY)
        point = np.where(np.isfinite(point), point, earlier)
    return np.where(np.isfinite(point), point, _usual(known))


def _usual(known: Measured) -> float:
    values = known.power_kw[np.isfinite(known.power_kw)]
    return float(values.mean()) if len(values) else 0.0
