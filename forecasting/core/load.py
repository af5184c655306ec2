"""Building load of the coming quarters: a standard shape until the site is known, then what its own days did.

Every past day is an analogue: its power at the same local time counts by how alike the days are (class of day,
weekday, recency, outside temperature where given). The standard shape takes part as one more day of small weight, so it
decides alone at first and hardly matters after a week. The last hours move the level, and that fades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.core.calendar import LocalTime, local_time, quarters
from forecasting.core.history import Measured, looked_up
from forecasting.core.load_profile import BuildingUse, mean_power_kw, relative_profile, relative_quantiles
from forecasting.core.quantiles import MEDIAN, QUANTILES, Flag, QuantileSeries, weighted_quantiles
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER, Floats, Ints

__all__ = ["Building", "BuildingUse", "Measured", "Temperature", "forecast"]

MEMORY_DAYS: Final = 56
RECENCY_DAYS: Final = 21.0
"""Half-life of a day's weight."""
SAME_WEEKDAY: Final = 4.0
OTHER_CLASS: Final = 0.15
"""Weight of a day of another class (a workday for a Sunday); of the same class 1."""
NEIGHBOUR: Final = 0.35
"""Weight of the quarters just before and after."""
PRIOR_DAYS: Final = 0.3
"""Weight of the standard shape, in days of the same class."""
TEMPERATURE_WIDTH_DEGC: Final = 4.0
LEVEL_WINDOW: Final = 8
"""Quarters whose error moves the level."""
LEVEL_KEPT_PER_QUARTER: Final = 0.93
"""What is left of it a quarter later; half after ten."""
LEVEL_BOUND: Final = 1.0
"""An error counts in widths of the band at its own time, so a busy hour does not lift a quiet night; at most one."""
BAND: Final = (QUANTILES.index(0.1), QUANTILES.index(0.9))
LEAST_BAND_KW: Final = 1e-9
LEVEL_PRIOR_DAYS: Final = 0.5
"""Weight of the declared annual energy against the measured level."""


@dataclass(frozen=True, slots=True)
class Building:
    """What is known of a building before anything was measured. ``lowest_kw``: 0 for pure consumption, None where the
    measured power may be negative.
    """

    use: BuildingUse
    annual_kwh: float
    time_zone: str
    country: str | None = None
    south: bool = False
    lowest_kw: float | None = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Temperature:
    """Outside temperature per quarter from ``start_epoch_s``, past and forecast, degC (N,), NaN where missing."""

    start_epoch_s: int
    degc: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Analogues:
    """Past quarters (T, K) like those to forecast: power kW and weight."""

    power_kw: Floats
    weights: Floats


def forecast(
    building: Building,
    start_epoch_s: int,
    steps: int,
    history: Measured | None = None,
    temperature: Temperature | None = None,
) -> QuantileSeries:
    """Load (kW, mean per quarter) for ``steps`` quarters from ``start_epoch_s``.

    ``history``: the building alone (without cars, battery, PV), up to now, held-back quarters marked. Eight weeks are
    used at most.
    """
    known = None if history is None else history.until(start_epoch_s)
    free_kw = np.zeros(0) if known is None else known.free_kw()
    if known is None or not np.isfinite(free_kw).any():
        return _prior(building, start_epoch_s, steps)
    lead = LEVEL_WINDOW
    epoch_s = quarters(start_epoch_s - lead * SECONDS_PER_QUARTER, steps + lead)
    clean = Measured(known.start_epoch_s, free_kw)
    local = local_time(epoch_s, building.time_zone, building.country)
    analogues = _analogues(building, clean, epoch_s, local, temperature)
    prior_kw = _level_kw(building, clean) * relative_quantiles(building.use, local, south=building.south)
    values = _blend(analogues, prior_kw)
    band_kw = values[:, BAND[1]] - values[:, BAND[0]]
    level = _level_error(values[:lead, MEDIAN], looked_up(clean.start_epoch_s, free_kw, epoch_s[:lead]), band_kw[:lead])
    kept = LEVEL_KEPT_PER_QUARTER ** np.arange(1, steps + 1, dtype=np.float64)
    values = values[lead:] + (level * kept * band_kw[lead:])[:, None]
    flags = (Flag.CORRECTED,) if level else ()
    return QuantileSeries(start_epoch_s, _bounded(building, values), flags=flags)


def _prior(building: Building, start_epoch_s: int, steps: int) -> QuantileSeries:
    local = local_time(quarters(start_epoch_s, steps), building.time_zone, building.country)
    values = mean_power_kw(building.annual_kwh) * relative_quantiles(building.use, local, south=building.south)
    return QuantileSeries(start_epoch_s, _bounded(building, values), flags=(Flag.PRIOR_ONLY,))


def _bounded(building: Building, values: Floats) -> Floats:
    return values if building.lowest_kw is None else np.maximum(values, building.lowest_kw)


def _level_kw(building: Building, clean: Measured) -> float:
    """The year's mean power: as declared, moved to what the last two weeks show through the shape."""
    recent = slice(-14 * SECONDS_PER_DAY // SECONDS_PER_QUARTER, None)
    power_kw, epoch_s = clean.power_kw[recent], clean.epoch_s[recent]
    seen = np.isfinite(power_kw)
    declared = mean_power_kw(building.annual_kwh)
    if not seen.any():
        return declared
    local = local_time(epoch_s[seen], building.time_zone, building.country)
    shape = relative_profile(building.use, local, south=building.south)
    measured = max(float(power_kw[seen].mean() / shape.mean()), 0.0)
    days = seen.sum() * SECONDS_PER_QUARTER / SECONDS_PER_DAY
    share = float(days / (days + LEVEL_PRIOR_DAYS))
    return share * measured + (1.0 - share) * declared


def _analogues(
    building: Building, clean: Measured, epoch_s: Ints, local: LocalTime, temperature: Temperature | None
) -> _Analogues:
    """The last weeks at the same local time, with the quarters beside it: (T, 3 D)."""
    back = np.arange(1, MEMORY_DAYS + 1, dtype=np.int64) * SECONDS_PER_DAY
    flat = (epoch_s[:, None] - back).ravel()
    then = local_time(flat, building.time_zone, building.country)
    # The same reading of the clock: across a change to or from summer time the day is 23 or 25 hours long.
    moved = flat + np.repeat(local.offset_s, MEMORY_DAYS) - then.offset_s
    shape = (len(epoch_s), MEMORY_DAYS)
    weights = _alike(local, then, shape) * np.exp2(-np.arange(1, MEMORY_DAYS + 1) / RECENCY_DAYS)
    weights *= _as_warm(temperature, epoch_s, moved.reshape(shape))
    samples, counted = [], []
    for step, weight in ((0, 1.0), (-1, NEIGHBOUR), (1, NEIGHBOUR)):
        at = moved.reshape(shape) + step * SECONDS_PER_QUARTER
        samples.append(looked_up(clean.start_epoch_s, clean.power_kw, at))
        counted.append(weights * weight)
    return _Analogues(np.concatenate(samples, axis=1), np.concatenate(counted, axis=1))


def _alike(local: LocalTime, then: LocalTime, shape: tuple[int, int]) -> Floats:
    """Weight (T, D) by class of day and weekday."""
    same_class = local.day_class[:, None] == then.day_class.reshape(shape)
    same_weekday = local.weekday[:, None] == then.weekday.reshape(shape)
    return np.where(same_class, np.where(same_weekday, SAME_WEEKDAY, 1.0), OTHER_CLASS)


def _as_warm(temperature: Temperature | None, epoch_s: Ints, then_s: Ints) -> Floats:
    """Weight (T, D) by how near the temperatures are; 1 where either is unknown."""
    if temperature is None:
        return np.ones(then_s.shape)
    now = looked_up(temperature.start_epoch_s, temperature.degc, epoch_s)
    then = looked_up(temperature.start_epoch_s, temperature.degc, then_s)
    gap = (now[:, None] - then) / TEMPERATURE_WIDTH_DEGC
    return np.where(np.isfinite(gap), np.exp(-0.5 * np.where(np.isfinite(gap), gap, 0.0) ** 2), 1.0)


def _blend(analogues: _Analogues, prior_kw: Floats) -> Floats:
    """Quantiles (T, Q) of the analogues and the standard shape together."""
    prior_weights = np.full(prior_kw.shape, PRIOR_DAYS / prior_kw.shape[1])
    samples = np.concatenate([analogues.power_kw, prior_kw], axis=1)
    return weighted_quantiles(samples, np.concatenate([analogues.weights, prior_weights], axis=1))


def _level_error(said_kw: Floats, measured_kw: Floats, band_kw: Floats) -> float:
    """Mean error of the last quarters in widths of the band; 0 when none was measured."""
    seen = np.isfinite(measured_kw)
    if not seen.any():
        return 0.0
    error = float((measured_kw[seen] - said_kw[seen]).mean()) / max(float(band_kw[seen].mean()), LEAST_BAND_KW)
    return min(max(error, -LEVEL_BOUND), LEVEL_BOUND)
