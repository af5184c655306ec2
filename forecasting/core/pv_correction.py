"""What recent feed-in says about the chain: a slow ratio (soiling, wrong kWp, shade) and a fast shift (this cloud).

Everything is a share of clear-sky power, so morning and noon compare. Both are bounded and fade with the time since
the last sample, so a meter that fell silent leaves the plain chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from forecasting.core.quantiles import MEDIAN, weighted_quantiles
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER, Bools, Floats, Ints

FRESH_SHARE: Final = 0.05
"""Samples count from this share of the plant's size under a clear sky: below it a ratio is noise."""
RATIO_BOUNDS: Final = (0.5, 1.3)
"""Beyond these something is broken or misdeclared; that is for people, not for a silent correction."""
RATIO_HALF_LIFE_S: Final = 7.0 * SECONDS_PER_DAY
RATIO_PRIOR: Final = 10.0
"""Weight of the declared plant, in full-sun quarters: half a day of sun outweighs it."""
RATIO_STALE_S: Final = 14.0 * SECONDS_PER_DAY
"""The ratio has lost half its grip when the last sample is this old."""
LEAST_EXPECTED: Final = 0.15
"""Below this expected share, clouds decide and the plant's size does not show."""
SHIFT_BOUND: Final = 0.5
SHIFT_WINDOW_S: Final = 4.0 * SECONDS_PER_QUARTER
"""The fast error is averaged over about an hour."""
SHIFT_KEPT_PER_QUARTER: Final = 0.85
"""How much of an error in the clear-sky share is left a quarter later."""
OWN_HALF_LIFE_S: Final = 10.0 * SECONDS_PER_DAY
"""Half-life of this plant's own distribution, used where weather is missing."""
OWN_TIME_S: Final = 2.0 * SECONDS_PER_QUARTER
"""Samples count by how near their time of the day is, as a bell of this width."""
OWN_PRIOR: Final = 2.0
"""Weight of the climate against it, in full-sun quarters: half a day of sun."""


@dataclass(frozen=True, slots=True)
class Correction:
    """``ratio`` of the plant to the declared one; ``shift`` of the share of its clear-sky power at ``last_s`` (end of
    the last sample); ``samples`` how many were used.
    """

    MEMORY_S: ClassVar[int] = 14 * SECONDS_PER_DAY

    ratio: float
    shift: float
    last_s: float
    samples: int

    def freshness(self, epoch_s: Ints) -> Floats:
        """(T,) 1 right after the last sample, fading: the part of ``shift`` still worth applying; a night ends it."""
        quarters_on = np.maximum(epoch_s - self.last_s, 0.0) / SECONDS_PER_QUARTER
        faded: Floats = SHIFT_KEPT_PER_QUARTER**quarters_on
        return faded


def corrected_by(
    past_s: Ints, measured: Floats, said: Floats, known: Bools, clear_kw: Floats, epoch_s: Ints, climate: Floats
) -> tuple[Correction, Floats]:
    """The correction from usable daylight samples (N,), and ``climate`` (T, Q) mixed with the plant's own shares.

    ``measured`` and ``said`` are shares of ``clear_kw``; ``known`` where ``said`` came from weather; ``epoch_s`` (T,)
    the quarters whose rows of ``climate`` are wanted, from the first of the forecast on.
    """
    if not len(past_s) or not len(epoch_s):
        return Correction(1.0, 0.0, 0.0, 0), climate
    last_s = float(past_s[-1]) + SECONDS_PER_QUARTER
    age_s = (last_s - past_s).astype(np.float64)
    light = clear_kw / clear_kw.max()
    stale_s = float(epoch_s[0]) - last_s
    ratio = _ratio(measured, np.where(known, said, 0.0), light * _halving(age_s, RATIO_HALF_LIFE_S), stale_s)
    measured = measured / ratio
    own = _own_rows(past_s, measured, light * _halving(age_s, OWN_HALF_LIFE_S), epoch_s, climate)
    errors = measured - np.where(known, said, own[0, MEDIAN])
    shift = _shift(errors, light * np.exp(-age_s / SHIFT_WINDOW_S))
    return Correction(ratio, shift, last_s, len(past_s)), own


def _halving(age_s: Floats, half_life_s: float) -> Floats:
    halved: Floats = np.exp2(-age_s / half_life_s)
    return halved


def _ratio(measured: Floats, said: Floats, weights: Floats, stale_s: float) -> float:
    """Weighted median of measured over said: a few curtailed quarters nobody marked do not move it."""
    fit = said > LEAST_EXPECTED
    if not fit.any():
        return 1.0
    ratios, weights = measured[fit] / said[fit], weights[fit] * said[fit]
    order = np.argsort(ratios)
    ranks = (np.cumsum(weights[order]) - weights[order] / 2.0) / weights.sum()
    median = float(np.interp(0.5, ranks, ratios[order]))
    grip = float(weights.sum() / (weights.sum() + RATIO_PRIOR)) * float(_halving(np.array(stale_s), RATIO_STALE_S))
    return 1.0 + grip * (min(max(median, RATIO_BOUNDS[0]), RATIO_BOUNDS[1]) - 1.0)


def _shift(errors: Floats, weights: Floats) -> float:
    total = float(weights.sum())
    if total <= 0.0:
        return 0.0
    return min(max(float((errors * weights).sum()) / total, -SHIFT_BOUND), SHIFT_BOUND)


def _own_rows(past_s: Ints, measured: Floats, weights: Floats, epoch_s: Ints, climate: Floats) -> Floats:
    """``climate`` (T, Q) mixed with this plant's own shares at about the same time of the day."""
    gap_s = (past_s[None, :] - epoch_s[:, None] + SECONDS_PER_DAY // 2) % SECONDS_PER_DAY - SECONDS_PER_DAY // 2
    near = weights * np.exp(-0.5 * (gap_s / OWN_TIME_S) ** 2)
    total = near.sum(axis=1, keepdims=True)
    own = weighted_quantiles(np.broadcast_to(measured, near.shape), near)
    share = total / (total + OWN_PRIOR)
    mixed: Floats = np.where(np.isfinite(own), share * own + (1.0 - share) * climate, climate)
    return mixed
