"""A running session: when will this car leave, and how much will it still take.

Every past session is an analogue of the running one: the card's own sessions first, those of other cards of the site
little, the class of the site as one session more. They count by how alike the arrival was (time of the day, class of
day) and how recent. Then the running session speaks: whoever would have left by now, or was satisfied with
less than this car took already, is out. A session whose energy somebody cut short says only "at least this much".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from forecasting.core.calendar import LocalTime, local_time
from forecasting.core.quantiles import LEVELS, QUANTILES, monotone, weighted_quantiles
from forecasting.core.session_prior import PRIORS, SiteClass, arrival_block
from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, Bools, Floats, Ints

__all__ = ["PastSessions", "Place", "RunningSession", "SessionForecast", "SiteClass", "forecast", "past_sessions"]

ARRIVAL_WIDTH_S: Final = 2.0 * SECONDS_PER_HOUR
ARRIVAL_FLOOR: Final = 0.1
"""What an arrival at quite another time of the day still counts."""
OTHER_DAY_CLASS: Final = 0.6
RECENCY_S: Final = 90.0 * SECONDS_PER_DAY
SITE_WEIGHT: Final = 1.0
"""All other cards together, in sessions of the card itself; the class shares in it."""
SITE_HALF: Final = 10.0
"""So many (alike) sessions of others weigh as much as the class."""
TAIL: Final = 0.01
"""Share of the weight on "much longer than anybody so far", so that no running session has no future."""
TAIL_STAY_H: Final = 1.0
TAIL_STAY_SHARE: Final = 0.3
"""The mean of that further stay: an hour and three tenths of what it stayed already."""
TAIL_KWH: Final = 4.0
TAIL_KWH_SHARE: Final = 0.2
MOST_SESSIONS: Final = 600
"""The latest sessions that are looked at."""
EXPONENTIAL: Final[Floats] = -np.log(1.0 - LEVELS)


@dataclass(frozen=True, slots=True)
class Place:
    """What kind of site, and the clock its people live by."""

    site_class: SiteClass
    time_zone: str
    country: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PastSessions:
    """Ended sessions of one site, (N,) columns in order of arrival. ``held_back``: we (a limit, a plan) or an early
    departure kept the car from what it wanted, so its energy is a lower bound. ``rfid`` "" where unknown.
    """

    arrival_epoch_s: Ints
    departure_epoch_s: Ints
    energy_kwh: Floats
    rfid: tuple[str, ...]
    held_back: Bools

    def before(self, epoch_s: int) -> PastSessions:
        """Those that had ended by then."""
        return self.taken(np.flatnonzero(self.departure_epoch_s <= epoch_s))

    def taken(self, rows: Ints) -> PastSessions:
        return PastSessions(
            self.arrival_epoch_s[rows],
            self.departure_epoch_s[rows],
            self.energy_kwh[rows],
            tuple(self.rfid[int(row)] for row in rows),
            self.held_back[rows],
        )


@dataclass(frozen=True, slots=True)
class RunningSession:
    """A car that is plugged in: since when, what it took, whose card, and whether it is known to want no more."""

    arrival_epoch_s: int
    delivered_kwh: float
    rfid: str = ""
    satisfied: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SessionForecast:
    """At ``QUANTILES``, (Q,): departure as epoch seconds (never before now), energy still wanted (kWh, >= 0).
    ``own_share`` 0..1: how much of it comes from the card's own sessions.
    """

    departure_epoch_s: Floats
    remaining_kwh: Floats
    own_share: float


@dataclass(frozen=True, slots=True, eq=False)
class _Analogues:
    """Stays (h), energies (kWh), whether the energy is a lower bound, and weights (K,)."""

    stay_h: Floats
    energy_kwh: Floats
    censored: Bools
    weights: Floats
    own_share: float


def past_sessions(rows: Sequence[tuple[int, int, float, str, bool]]) -> PastSessions:
    """Columns from (arrival, departure, kWh, rfid, held back), without what cannot be a session: no duration, no
    energy number.
    """
    kept = sorted(row for row in rows if row[1] > row[0] and np.isfinite(row[2]) and row[2] >= 0.0)
    return PastSessions(
        np.array([row[0] for row in kept], dtype=np.int64),
        np.array([row[1] for row in kept], dtype=np.int64),
        np.array([row[2] for row in kept], dtype=np.float64),
        tuple(row[3] for row in kept),
        np.array([row[4] for row in kept], dtype=np.bool_),
    )


def forecast(
    place: Place, running: RunningSession, now_epoch_s: int, past: PastSessions | None = None
) -> SessionForecast:
    """Departure and remaining energy of ``running`` as seen at ``now_epoch_s``; only sessions ended by then count."""
    elapsed_h = max(now_epoch_s - running.arrival_epoch_s, 0) / SECONDS_PER_HOUR
    delivered = running.delivered_kwh if np.isfinite(running.delivered_kwh) else 0.0
    analogues = _analogues(place, running, None if past is None else past.before(now_epoch_s))
    still_here = analogues.stay_h > elapsed_h
    stay_h = _stay_h(analogues, still_here, elapsed_h)
    departure = running.arrival_epoch_s + stay_h * SECONDS_PER_HOUR
    if running.satisfied:
        remaining = np.zeros(len(QUANTILES))
    else:
        remaining = _energy_kwh(analogues, still_here, delivered) - delivered
    return SessionForecast(
        monotone(np.maximum(departure, float(now_epoch_s))), monotone(np.maximum(remaining, 0.0)), analogues.own_share
    )


def _analogues(place: Place, running: RunningSession, past: PastSessions | None) -> _Analogues:
    """The class's quantiles as samples, then the sessions of the site."""
    arrival = np.array([running.arrival_epoch_s], dtype=np.int64)
    local = local_time(arrival, place.time_zone, place.country)
    prior = PRIORS[place.site_class]
    block = arrival_block(int(local.second_of_day[0]))
    stay_h, energy = prior.stay_h[block], prior.energy_kwh[block]
    class_weights = np.full(len(QUANTILES), SITE_WEIGHT / len(QUANTILES))
    none = np.zeros(len(QUANTILES), dtype=np.bool_)
    if past is None or not len(past.arrival_epoch_s):
        return _Analogues(stay_h, energy, none, class_weights, 0.0)
    past = past.taken(np.arange(len(past.rfid))[-MOST_SESSIONS:])
    alike = _alike(place, local, running.arrival_epoch_s, past)
    own = np.array([bool(running.rfid) and tag == running.rfid for tag in past.rfid])
    others = float(alike[~own].sum())
    site_share = others / (others + SITE_HALF)
    weights = np.where(own, alike, alike * (SITE_WEIGHT * site_share / others if others > 0.0 else 0.0))
    own_weight = float(alike[own].sum())
    return _Analogues(
        np.concatenate([stay_h, (past.departure_epoch_s - past.arrival_epoch_s) / SECONDS_PER_HOUR]),
        np.concatenate([energy, past.energy_kwh]),
        np.concatenate([none, past.held_back]),
        np.concatenate([class_weights * (1.0 - site_share), weights]),
        own_weight / (own_weight + SITE_WEIGHT),
    )


def _alike(place: Place, local: LocalTime, arrival_epoch_s: int, past: PastSessions) -> Floats:
    """Weight (N,) of past sessions by time of arrival, class of day and recency."""
    then = local_time(past.arrival_epoch_s, place.time_zone, place.country)
    half = SECONDS_PER_DAY // 2
    gap_s = (then.second_of_day - local.second_of_day[0] + half) % SECONDS_PER_DAY - half
    weights = ARRIVAL_FLOOR + (1.0 - ARRIVAL_FLOOR) * np.exp(-0.5 * (gap_s / ARRIVAL_WIDTH_S) ** 2)
    weights *= np.where(then.day_class == local.day_class[0], 1.0, OTHER_DAY_CLASS)
    age_s = np.maximum(arrival_epoch_s - past.arrival_epoch_s, 0).astype(np.float64)
    recent: Floats = weights * np.exp2(-age_s / RECENCY_S)
    return recent


def _stay_h(analogues: _Analogues, still_here: Bools, elapsed_h: float) -> Floats:
    """Quantiles (Q,) of the whole stay of a car that is still here."""
    tail = elapsed_h + (TAIL_STAY_H + TAIL_STAY_SHARE * elapsed_h) * EXPONENTIAL
    return _with_tail(analogues.stay_h, np.where(still_here, analogues.weights, 0.0), tail, analogues)


def _energy_kwh(analogues: _Analogues, still_here: Bools, delivered_kwh: float) -> Floats:
    """Quantiles (Q,) of the whole session's energy of a car that took ``delivered_kwh`` and may want more."""
    weights = _uncensored(analogues.energy_kwh, np.where(still_here, analogues.weights, 0.0), analogues.censored)
    weights = np.where(analogues.energy_kwh > delivered_kwh, weights, 0.0)
    highest = max(delivered_kwh, float(analogues.energy_kwh.max()) if analogues.censored.any() else 0.0)
    tail = highest + (TAIL_KWH + TAIL_KWH_SHARE * highest) * EXPONENTIAL
    return _with_tail(analogues.energy_kwh, weights, tail, analogues)


def _with_tail(samples: Floats, weights: Floats, tail: Floats, analogues: _Analogues) -> Floats:
    tail_weights = np.full(len(tail), TAIL * float(analogues.weights.sum()) / len(tail))
    samples, weights = np.concatenate([samples, tail]), np.concatenate([weights, tail_weights])
    quantiles: Floats = weighted_quantiles(samples[None, :], weights[None, :])[0]
    return quantiles


def _uncensored(energy_kwh: Floats, weights: Floats, censored: Bools) -> Floats:
    """Weights (K,) after each lower bound passed its own to all larger energies (Efron's redistribution to the right);
    what has none to its right keeps its weight.
    """
    if not censored.any():
        return weights
    order = np.lexsort((censored, energy_kwh))
    sorted_weights = weights[order]
    at_least = np.cumsum(sorted_weights[::-1])[::-1]
    safe = np.where(at_least > 0.0, at_least, 1.0)
    ends = np.where(censored[order], 0.0, sorted_weights / safe)
    surviving = np.concatenate([[1.0], np.cumprod(1.0 - ends)])
    spread = float(weights.sum()) * surviving[:-1] * ends
    spread[-1] += float(weights.sum()) * surviving[-1]
    result = np.zeros(len(weights))
    result[order] = spread
    return result
