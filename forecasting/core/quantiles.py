"""Quantile forecasts: a row per quarter of an hour, a column per level. Sorted, finite, and with their origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from interfaces.domain.units import SECONDS_PER_QUARTER, Floats, Ints, frozen_floats

QUANTILES: Final[tuple[float, ...]] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEVELS: Final[Floats] = frozen_floats(QUANTILES)
MEDIAN: Final[int] = QUANTILES.index(0.5)


class Flag(StrEnum):
    """What a reader should know about how a forecast was made."""

    WEATHER_MISSING = "weather_missing"  # no weather at all: climatology
    WEATHER_PARTIAL = "weather_partial"  # climatology for some of the steps
    CORRECTED = "corrected"  # recent measurements moved it
    PRIOR_ONLY = "prior_only"  # nothing of this site's own history was used


@dataclass(frozen=True, slots=True, eq=False)
class QuantileSeries:
    """A forecast from ``start_epoch_s``: ``values`` (T, Q) at ``QUANTILES`` per ``step_s``, rising along Q, never NaN.

    The unit is the producer's: kW for power, a count for arrivals. Values are made read-only and put in order.
    """

    start_epoch_s: int
    values: Floats
    step_s: int = SECONDS_PER_QUARTER
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(QUANTILES):
            raise ValueError(f"quantiles need shape (T, {len(QUANTILES)}), not {self.values.shape}")
        if not np.isfinite(self.values).all():
            raise ValueError("a forecast holds a value that is not a number")
        object.__setattr__(self, "values", frozen_floats(monotone(self.values)))

    @property
    def steps(self) -> int:
        return len(self.values)

    @property
    def epoch_s(self) -> Ints:
        """Starts of the steps (T,)."""
        return self.start_epoch_s + self.step_s * np.arange(self.steps, dtype=np.int64)

    @property
    def median(self) -> Floats:
        """(T,)."""
        return self.values[:, MEDIAN]

    @property
    def mean(self) -> Floats:
        """(T,) see ``mean_of``."""
        return mean_of(self.values)

    def at(self, level: float) -> Floats:
        """(T,) value at any level, straight between the known ones and flat beyond them."""
        return np.array([np.interp(level, LEVELS, row) for row in self.values])

    def scaled(self, factor: float) -> QuantileSeries:
        """Everything times ``factor`` (a negative one turns the order round, as it should)."""
        return replace(self, values=self.values * factor)

    def clipped(self, low: float, high: float) -> QuantileSeries:
        return replace(self, values=np.clip(self.values, low, high))


def monotone(values: Floats) -> Floats:
    """Quantiles that crossed are put in order (rearrangement: never further from the truth)."""
    return np.sort(values, axis=-1)


def mean_of(values: Floats) -> Floats:
    """Mean (T,) of the piecewise linear quantile function (T, Q), flat beyond the outer levels."""
    edges = np.concatenate([[0.0], LEVELS, [1.0]])
    gaps = np.diff(edges)
    weights = (gaps[:-1] + gaps[1:]) / 2.0
    weights[0] += gaps[0] / 2.0
    weights[-1] += gaps[-1] / 2.0
    mean: Floats = values @ weights
    return mean


def weighted_quantiles(samples: Floats, weights: Floats) -> Floats:
    """Quantiles (T, Q) of weighted ``samples`` (T, K), straight between the samples' mid-ranks.

    A missing sample (NaN) weighs nothing. A row without any weight is NaN: its caller has to bring a prior.
    """
    weights = np.where(np.isfinite(samples), weights, 0.0)
    known = weights > 0.0
    # What weighs nothing goes to the end with the highest value, where it cannot bend the line between two others.
    order = np.argsort(np.where(known, samples, np.inf), axis=1, kind="stable")
    highest = np.where(known, samples, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    filled = np.where(known, samples, np.where(np.isfinite(highest), highest, 0.0))
    filled = np.take_along_axis(filled, order, axis=1)
    weights = np.take_along_axis(weights, order, axis=1)
    total = weights.sum(axis=1)
    ranks = (np.cumsum(weights, axis=1) - weights / 2.0) / np.where(total > 0.0, total, 1.0)[:, None]
    found = np.stack([_interpolated(ranks, filled, level) for level in QUANTILES], axis=1)
    found[total <= 0.0] = np.nan
    return found


def _interpolated(ranks: Floats, values: Floats, level: float) -> Floats:
    """Per row: ``values`` at ``level`` of the rising ``ranks``; flat beyond the outer ones."""
    right = np.minimum((ranks < level).sum(axis=1), ranks.shape[1] - 1)[:, None]
    left = np.maximum(right - 1, 0)
    rank_left, rank_right = (np.take_along_axis(ranks, i, axis=1)[:, 0] for i in (left, right))
    value_left, value_right = (np.take_along_axis(values, i, axis=1)[:, 0] for i in (left, right))
    gap = rank_right - rank_left
    share = np.clip((level - rank_left) / np.where(gap > 0.0, gap, 1.0), 0.0, 1.0)
    result: Floats = np.where(gap > 0.0, value_left + share * (value_right - value_left), value_right)
    return result
