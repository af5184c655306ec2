"""Cars that have not come yet: how many per quarter, what energy they bring, and the power they would draw freely.

Arrivals are a Poisson stream whose rate is learned per quarter of the day from like days (class of day, weekday,
recency), with the class of the site as a few days more. Their uncontrolled power is what that stream carries: each car
draws the charger's power until it has its energy. Its spread follows from mean and variance (shot noise), as a gamma
distribution. Learned from arrivals and energies, never from metered charging power, which our own control shaped.
What they would draw at the least, each spreading its energy over its whole stay, is what a plan keeps room for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import gamma

from forecasting.core.calendar import QUARTERS_PER_DAY, local_time, quarters, utc_offsets_s
from forecasting.core.quantiles import LEVELS, Flag, QuantileSeries
from forecasting.core.session_prior import BLOCK_STARTS_H, PRIORS, arrival_block, daily_rates
from forecasting.core.sessions import PastSessions, Place
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_QUARTER, Floats, Ints

MEMORY_DAYS: Final = 84
RECENCY_DAYS: Final = 30.0
SAME_WEEKDAY: Final = 2.0
OTHER_CLASS: Final = 0.05
PRIOR_DAYS: Final = 2.0
"""Weight of the class of the site, in days."""
SMOOTHING: Final = (1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0)
"""A count of one quarter is spread over about an hour."""
CLUSTERING: Final = 1.3
"""Variance of real arrival counts over that of a Poisson stream: people share working hours and weather."""
ENERGY_PRIOR_SESSIONS: Final = 5.0
LEAST_KW: Final = 1e-9
LEAST_CHANCE: Final = 1e-9
LEAST_SHARE: Final = 1e-3
"""Bounds that keep the gamma distribution defined where hardly anything is expected."""
MOST_SESSIONS: Final = 300
"""The latest sessions whose energies are looked at."""
LEAST_STAY_H: Final = 0.25
"""Who only passes by counts as a quarter-hour."""
QUARTER_H: Final = SECONDS_PER_QUARTER / SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Chargers:
    """How many supplies a site has, and the power (kW) an average car draws there when nobody holds it back."""

    count: int
    car_kw: float


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalForecast:
    """Per quarter from ``start_epoch_s``, (T,): expected ``count`` of arrivals and the ``energy_kwh`` they bring.
    ``power_kw``: what all cars arriving from now on would draw freely (cars already there are not in it).
    ``spread_kw``: the mean of what they draw when each spreads its energy evenly over its stay.
    """

    start_epoch_s: int
    count: Floats
    energy_kwh: Floats
    power_kw: QuantileSeries
    spread_kw: Floats


def forecast(
    place: Place, chargers: Chargers, start_epoch_s: int, steps: int, past: PastSessions | None = None
) -> ArrivalForecast:
    """Arrivals in ``steps`` quarters from ``start_epoch_s``. ``past``: sessions that began before, running ones too;
    the site is taken as watched since the first of them.
    """
    epoch_s = quarters(start_epoch_s, steps)
    if past is not None:
        past = past.taken(np.flatnonzero(past.arrival_epoch_s < start_epoch_s))
    known = past if past is not None and len(past.rfid) else None
    count = _rates(place, chargers, epoch_s, start_epoch_s, known)
    samples, stays, likely = _visits(place, known)
    block = _blocks(place, epoch_s)
    flags = (Flag.PRIOR_ONLY,) if known is None else ()
    power = QuantileSeries(start_epoch_s, _free_power(chargers, count, block, samples, likely), flags=flags)
    spread_kw = _carried(count, block, likely @ _evenly(samples, stays, chargers.car_kw, steps))
    return ArrivalForecast(start_epoch_s, count, count * (likely @ samples)[block], power, spread_kw)


def _rates(place: Place, chargers: Chargers, epoch_s: Ints, now_epoch_s: int, past: PastSessions | None) -> Floats:
    """Expected arrivals (T,) per quarter."""
    local = local_time(epoch_s, place.time_zone, place.country)
    by_class = np.stack([daily_rates(place.site_class, kind) for kind in range(3)]) * chargers.count
    prior = by_class[local.day_class, local.quarter_of_day]
    if past is None:
        return prior
    watched_s, counts = _daily_counts(place, now_epoch_s, past)
    then = local_time(watched_s, place.time_zone, place.country)
    now = local_time(np.array([now_epoch_s], dtype=np.int64), place.time_zone)
    recency = np.exp2(-(now.day[0] - then.day) / RECENCY_DAYS)
    same_class = local.day_class[:, None] == then.day_class
    same_weekday = local.weekday[:, None] == then.weekday
    weights = np.where(same_class, np.where(same_weekday, SAME_WEEKDAY, 1.0), OTHER_CLASS) * recency
    usual = (weights @ counts)[np.arange(len(epoch_s)), local.quarter_of_day]
    rates: Floats = (usual + PRIOR_DAYS * prior) / (weights.sum(axis=1) + PRIOR_DAYS)
    return rates


def _daily_counts(place: Place, now_epoch_s: int, past: PastSessions) -> tuple[Ints, Floats]:
    """Complete local days watched (local noon of each, epoch seconds) and their smoothed arrivals (D, 96)."""
    local = local_time(past.arrival_epoch_s, place.time_zone)
    today = int(local_time(np.array([now_epoch_s], dtype=np.int64), place.time_zone).day[0])
    first = max(int(local.day.min()), today - MEMORY_DAYS)
    days = np.arange(first, today, dtype=np.int64)
    counts = np.zeros((len(days), QUARTERS_PER_DAY))
    inside = (local.day >= first) & (local.day < today)
    np.add.at(counts, (local.day[inside] - first, local.quarter_of_day[inside]), 1.0)
    kernel = np.array(SMOOTHING) / sum(SMOOTHING)
    half = len(SMOOTHING) // 2
    wrapped = np.concatenate([counts[:, -half:], counts, counts[:, :half]], axis=1)
    smooth = sum(kernel[i] * wrapped[:, i : i + QUARTERS_PER_DAY] for i in range(len(SMOOTHING)))
    noon_s = days * SECONDS_PER_DAY + SECONDS_PER_DAY // 2
    return noon_s - utc_offsets_s(noon_s, place.time_zone), np.asarray(smooth, dtype=np.float64)


def _visits(place: Place, past: PastSessions | None) -> tuple[Floats, Floats, Floats]:
    """Energies (K,) kWh and stays (K,) h of cars that may arrive and, per block of the day, how likely each is (B, K),
    rows summing to 1: the class's quantiles, then the site's own free sessions by the block they came in.
    """
    prior = PRIORS[place.site_class]
    table = prior.energy_kwh
    blocks = np.arange(len(BLOCK_STARTS_H))[:, None]
    samples, stays = table.ravel(), prior.stay_h.ravel()
    weights = (np.repeat(blocks.ravel(), table.shape[1]) == blocks) * (ENERGY_PRIOR_SESSIONS / table.shape[1])
    if past is not None:
        free = past.taken(np.flatnonzero(~past.held_back & np.isfinite(past.energy_kwh))[-MOST_SESSIONS:])
        samples = np.concatenate([samples, free.energy_kwh])
        stays = np.concatenate([stays, (free.departure_epoch_s - free.arrival_epoch_s) / SECONDS_PER_HOUR])
        weights = np.concatenate([weights, (_blocks(place, free.arrival_epoch_s) == blocks) * 1.0], axis=1)
    normal: Floats = weights / weights.sum(axis=1, keepdims=True)
    return samples, stays, normal


def _evenly(samples: Floats, stays: Floats, car_kw: float, steps: int) -> Floats:
    """(K, T) kW of one arrival by its lag: its energy over its stay, or the charger's power where that is too short."""
    hours = np.maximum(stays, LEAST_STAY_H)[:, None]
    # A car comes in the middle of its quarter, on average.
    begun = np.maximum(np.arange(steps) - 0.5, 0.0) * QUARTER_H
    ends = (np.arange(steps) + 0.5) * QUARTER_H
    there = np.clip((np.minimum(hours, ends) - begun) / QUARTER_H, 0.0, 1.0)
    power: Floats = np.minimum(samples[:, None] / hours, car_kw) * there
    return power


def _blocks(place: Place, epoch_s: Ints) -> Ints:
    """Block of the local day (T,) of each instant."""
    local = local_time(epoch_s, place.time_zone)
    return np.array([arrival_block(int(second)) for second in local.second_of_day], dtype=np.int64)


def _free_power(chargers: Chargers, count: Floats, block: Ints, samples: Floats, likely: Floats) -> Floats:
    """Quantiles (T, Q) kW of the power all coming cars draw freely, bounded by all chargers together."""
    steps = len(count)
    if chargers.car_kw <= LEAST_KW or chargers.count <= 0 or not steps:
        return np.zeros((steps, len(LEVELS)))
    # A car comes in the middle of its quarter, on average; it draws until its energy is there.
    lag = np.arange(steps)
    needs = samples[:, None] / (chargers.car_kw * QUARTER_H)
    drawn = np.clip(needs - np.maximum(lag - 0.5, 0.0), 0.0, np.where(lag == 0, 0.5, 1.0))
    cars = _carried(count, block, likely @ (drawn > 0.0))
    mean_kw = chargers.car_kw * _carried(count, block, likely @ drawn)
    variance = CLUSTERING * chargers.car_kw**2 * _carried(count, block, likely @ drawn**2)
    return np.clip(_shot_noise(cars, mean_kw, variance), 0.0, chargers.count * chargers.car_kw)


def _carried(count: Floats, block: Ints, response: Floats) -> Floats:
    """What a stream of arrivals (T,) carries per quarter (T,), ``response`` (B, T) being one arrival's by its lag."""
    total = np.zeros(len(count))
    for index, row in enumerate(response if len(count) else ()):
        total += np.convolve(np.where(block == index, count, 0.0), row)[: len(count)]
    return total


def _shot_noise(cars: Floats, mean: Floats, variance: Floats) -> Floats:
    """Quantiles (T, Q) of a sum over a Poisson number of cars: nothing with the chance that none is there, else a gamma
    distribution with the mean and variance that remain.
    """
    some = np.maximum(1.0 - np.exp(-cars), LEAST_CHANCE)
    mean_some = mean / some
    variance_some = np.maximum((variance + mean**2) / some - mean_some**2, LEAST_SHARE * mean_some**2)
    known = mean_some > LEAST_KW
    levels = (LEVELS - (1.0 - some)[:, None]) / some[:, None]
    scale = np.where(known, variance_some / np.where(known, mean_some, 1.0), 1.0)
    shape = np.where(known, mean_some**2 / np.where(known, variance_some, 1.0), 1.0)
    values = gamma.ppf(np.clip(levels, 0.0, 1.0), shape[:, None], scale=scale[:, None])
    return np.where((levels > 0.0) & known[:, None], np.nan_to_num(values), 0.0)
