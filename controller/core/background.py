"""What a circuit carries besides our flexible assets, and whether its meter can be believed.

The estimate is an interval observer. At a sample of the circuit's meter each asset's draw lies between the lower and
the higher of its readings around that sample, or anywhere up to its exposure while it may still be moving after a
setpoint change. So the background lies in [measured - sum of highs, measured - sum of lows], and the last accepted
estimate moves only as far as that interval forces it; a rise that cars in motion could explain is accepted after 3 s
at the latest. The budget uses the maximum over the last 60 s. Four rows: amps L1 L2 L3 and net power.

Who shares energy by its price asks for the mean instead: what errs on the safe side takes a battery that follows it for
load, and the battery follows itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.core.params import (
    AGE_LOST_S,
    AGE_NORMAL_S,
    BACKGROUND_BUCKET_S,
    BACKGROUND_BUCKETS,
    BACKGROUND_WINDOW_S,
    FAMILIAR_SLOT_S,
    FROZEN_S,
    FROZEN_SAMPLES,
    HOLD_S,
    IN_MOTION_S,
    JITTER,
    MEAN_S,
    NO_LIMIT,
    REGAIN_S,
    SEEN_DAYS,
    UNREACHABLE_S,
)
from controller.core.records import Background, Ledger
from interfaces.domain.image import Image
from interfaces.domain.measured import volts_mv
from interfaces.domain.topology import AGE_MARGIN_MA_PER_S, POWER_ROW, AssetKind, Topology
from interfaces.domain.units import MILLI, MISSING, SECONDS_PER_DAY, Bools, Floats, Ints

TIGHT: Final[int] = 2000
"""Bounds this close (mA; mW on the power row) leave no doubt worth waiting for."""


@dataclass(frozen=True, slots=True)
class _Draws:
    """(C, 4) row sums of flexible draws around a sample: ``seen`` the lower of the two newest readings, ``low`` and
    ``high`` of both with unsettled assets at their exposure, ``reach`` with everything in motion at its exposure;
    ``blind`` (C,): a silent or slowly polled asset in motion is below.
    """

    seen: Ints
    low: Ints
    high: Ints
    reach: Ints
    blind: Bools


def row_sums(topology: Topology, per_asset: Ints) -> Ints:
    """(C, 4) sums over the assets below each circuit of an (N, 4) column. Exact: integers below 2^53 in BLAS."""
    return (topology.ancestry_f @ per_asset.astype(np.float64)).astype(np.int64)


def row_weights(image: Image, topology: Topology, use: Ints) -> Ints:
    """(N, 4) what one mA of an asset costs each row: conductors per phase; watts per ampere, rounded up, for power."""
    watts = -(-(use * volts_mv(image, topology)).sum(axis=1) // MILLI)
    return np.concatenate([use, watts[:, None]], axis=1)


def complete_samples(image: Image, state: Background, topology: Topology) -> Image:
    """The image without half samples: one that lacks a phase counts as not having come, and ages like silence. Where
    only the power is missing the signed currents at nominal voltage stand in.
    """
    missing = image.meter_ma == MISSING
    partial = topology.metered & (missing & (topology.rated_ma > 0)).any(axis=1)
    powerless = topology.metered & (image.meter_mw == MISSING) & ~partial
    if not (partial | powerless).any():
        return image
    power = np.where(missing, 0, image.meter_ma).sum(axis=1) * topology.nominal_mv // MILLI
    return replace(
        image,
        meter_mw=np.where(powerless, power, image.meter_mw),
        meter_sample_s=np.where(partial, state.sample_s, image.meter_sample_s),
        meter_sample_no=np.where(partial, state.sample_no, image.meter_sample_no),
    )


def fresh_samples(state: Background, image: Image, topology: Topology) -> Bools:
    """(C,) circuits whose meter brought a new sample."""
    fresh: Bools = (image.meter_sample_no != state.sample_no) & (image.meter_sample_s > state.sample_s)
    return fresh & topology.metered


def advance_background(
    state: Background,
    image: Image,
    topology: Topology,
    ledger: Ledger,
    weights: Ints,
    implausible: Bools,
    now_s: float,
) -> Background:
    """Next estimate. ``weights`` (N, 4) by the phases wired: what an asset may draw, not what it is used to.

    ``implausible`` (C,): meters that contradict the cars count as lost.
    """
    state = _shift_readings(state, image, topology)
    fresh = fresh_samples(state, image, topology)
    state = _meter_quality(state, image, topology, fresh, implausible, now_s)
    state = _roll_window(state, now_s)
    if fresh.any():
        state = _take_sample(state, image, topology, ledger, weights, fresh, now_s)
    return replace(state, estimate=_estimate(state, topology, now_s))


def meter_age_s(image: Image, topology: Topology, now_s: float) -> Floats:
    """(C,) seconds since the newest sample; 0 for an unmetered circuit."""
    age: Floats = np.where(topology.metered, now_s - image.meter_sample_s, 0.0)
    return age


def meter_raises_allowed(image: Image, topology: Topology, now_s: float) -> Bools:
    """(C,) the circuit's meter is young enough for raises below it (design 4.1: period + 2 s)."""
    young: Bools = meter_age_s(image, topology, now_s) <= topology.meter_period_s + AGE_NORMAL_S
    return young | ~topology.metered


def budget_rows(state: Background, image: Image, topology: Topology, now_s: float) -> Ints:
    """(C, 4) what flexible assets may use: limit - margins - background, never below 0; NO_LIMIT where unlimited."""
    late_s = np.maximum(0.0, meter_age_s(image, topology, now_s) - JITTER * topology.meter_period_s - topology.period_s)
    late_s = np.where(state.lost | ~topology.metered, 0.0, np.minimum(late_s, AGE_LOST_S))
    age_ma = topology.period_margin_ma + (late_s * AGE_MARGIN_MA_PER_S).astype(np.int64)
    drawn = state.estimate[:, :POWER_ROW]
    drawn = np.where(topology.firm_export[:, None], drawn, np.maximum(drawn, 0))
    amps = topology.limit_ma - age_ma[:, None] - drawn
    power = np.where(topology.max_import_mw == MISSING, NO_LIMIT, topology.max_import_mw - state.estimate[:, POWER_ROW])
    rows: Ints = np.maximum(np.concatenate([amps, power[:, None]], axis=1), 0)
    return rows


def worst_case(state: Background, topology: Topology) -> Ints:
    """(C, 3) worst-case background: configured, else the highest of the last weeks (above any quantile of them), else
    the whole limit.
    """
    seen = state.seen_max.max(axis=0)
    known = np.where(seen == MISSING, topology.limit_ma, seen)
    result: Ints = np.where(topology.background_max_ma == MISSING, known, topology.background_max_ma)
    return result


def _shift_readings(state: Background, image: Image, topology: Topology) -> Background:
    """Keep the two newest readings of every asset as row contributions (amps per phase, power).

    What the sun gives is background: nobody commands it to be there.
    """
    new = image.asset_sample_s > state.newest_s
    if not new.any():
        return state
    amps = np.where(image.asset_ma == MISSING, 0, image.asset_ma)
    power = (amps * volts_mv(image, topology)).sum(axis=1) // MILLI
    rows = np.concatenate([amps, power[:, None]], axis=1)
    rows = np.where((topology.kind == int(AssetKind.PV))[:, None], 0, rows)
    rows = np.where((image.asset_ma == MISSING).any(axis=1)[:, None], MISSING, rows)
    return replace(
        state,
        previous_ma=np.where(new[:, None], state.newest_ma, state.previous_ma),
        newest_ma=np.where(new[:, None], rows, state.newest_ma),
        newest_s=np.where(new, image.asset_sample_s, state.newest_s),
    )


def _meter_quality(
    state: Background, image: Image, topology: Topology, fresh: Bools, implausible: Bools, now_s: float
) -> Background:
    """Lost (too old or frozen) and regained (60 s of good samples) meters. Whatever was lost before the first complete
    image is forgiven at its first sample: the estimate starts from the configured worst case anyway.
    """
    same = fresh & (image.meter_digest == state.digest)
    changed = fresh & ~same
    same_s = np.where(changed | (fresh & np.isposinf(state.same_s)), image.meter_sample_s, state.same_s)
    same_no = np.where(changed, 0, state.same_no + same)
    frozen = (image.meter_sample_s - same_s >= FROZEN_S) & (same_no >= FROZEN_SAMPLES)
    age = meter_age_s(image, topology, now_s)
    never = np.isposinf(state.first_s)
    bad = topology.metered & ((age > topology.meter_period_s + AGE_LOST_S) | frozen | implausible)
    questionable = bad | (topology.metered & (age > topology.meter_period_s + AGE_NORMAL_S))
    bad_s = np.where(bad | (state.lost & questionable), now_s, state.bad_s)
    lost = bad | (state.lost & ~(never & fresh) & (now_s - bad_s < REGAIN_S))
    return replace(
        state,
        digest=np.where(fresh, image.meter_digest, state.digest),
        same_s=same_s,
        same_no=same_no,
        frozen=topology.metered & (frozen | (state.frozen & lost)),
        bad_s=bad_s,
        lost=lost,
        first_s=np.where(never & fresh, image.meter_sample_s, state.first_s),
    )


def _roll_window(state: Background, now_s: float) -> Background:
    """Open a new 5 s bucket when its time has come; it starts from the estimate in force."""
    number = int(now_s // BACKGROUND_BUCKET_S)
    if number == state.bucket_no:
        return state
    steps = min(number - state.bucket_no, BACKGROUND_BUCKETS) if state.bucket_no else 1
    buckets = np.roll(state.buckets, steps, axis=0)
    buckets[:steps] = state.now
    minute = int(now_s // FAMILIAR_SLOT_S)
    familiar = state.familiar
    if minute != state.familiar_no:
        familiar = np.roll(familiar, 1, axis=0)
        familiar[0] = MISSING
    day = int(now_s // SECONDS_PER_DAY)
    seen = state.seen_max
    if day != state.day:
        seen = np.roll(seen, min(day - state.day, SEEN_DAYS), axis=0)
        seen[: min(day - state.day, SEEN_DAYS)] = MISSING
    return replace(
        state,
        buckets=buckets,
        bucket_no=number,
        familiar=familiar,
        familiar_no=minute,
        seen_max=seen,
        day=day,
    )


def _draws(state: Background, topology: Topology, ledger: Ledger, weights: Ints, now_s: float) -> _Draws:
    """Bounds of what the flexible assets drew around a sample; see the module's first lines."""
    newest, previous = state.newest_ma, state.previous_ma
    known = newest != MISSING
    earlier = np.where(previous == MISSING, newest, previous)
    low = np.where(known, np.minimum(newest, earlier), 0)
    high = np.where(known, np.maximum(newest, earlier), 0)
    seen = row_sums(topology, low)
    may_draw = weights * ledger.exposure_ma[:, None]
    since_change_s = now_s - ledger.change_s
    slow = (topology.settle_poll_s > 1.0) & (state.newest_s <= ledger.change_s + IN_MOTION_S)
    # What a remote asset draws is told by the meter of its circuit, whether or not its service answers.
    unseen = np.where(topology.remote, now_s - state.newest_s > UNREACHABLE_S, ~np.isposinf(ledger.lost_s))
    silent = unseen | ~known[:, 0]
    unsettled = (slow | silent) & (ledger.exposure_ma > 0)
    low = np.where(unsettled[:, None], may_draw, low)
    high = np.where(unsettled[:, None], np.maximum(high, may_draw), high)
    reach = np.where((since_change_s <= IN_MOTION_S)[:, None], np.maximum(high, may_draw), high)
    blind: Bools = np.asarray((topology.ancestry[:, unsettled] > 0).any(axis=1), dtype=np.bool_)
    return _Draws(seen, row_sums(topology, low), row_sums(topology, high), row_sums(topology, reach), blind)


def _take_sample(
    state: Background,
    image: Image,
    topology: Topology,
    ledger: Ledger,
    weights: Ints,
    fresh: Bools,
    now_s: float,
) -> Background:
    """Move the estimate as far as a new meter sample, and the readings since the one before, force it."""
    draws = _draws(state, topology, ledger, weights, now_s)
    measured = np.concatenate([image.meter_ma, image.meter_mw[:, None]], axis=1)
    valid = fresh[:, None] & (measured != MISSING)
    state = _settle_waiting(state, draws, valid, now_s)
    familiar = state.familiar.max(axis=0)
    least, most = measured - draws.reach, np.maximum(measured - draws.low, measured - draws.reach)
    most = np.where(draws.blind[:, None] & (state.now != MISSING), np.maximum(most, state.now), most)
    before = np.where(state.now == MISSING, most, state.now)
    value = np.clip(np.maximum(before, np.minimum(most, familiar)), least, most)
    # A real overload leaves no benefit of doubt: what readings do not explain is background at once.
    over = measured[:, :POWER_ROW] > topology.rated_ma
    over = np.concatenate([over, np.zeros((topology.c, 1), dtype=np.bool_)], axis=1)
    value = np.where(over, np.maximum(value, measured - draws.seen), value)
    now = np.where(valid, value, state.now)
    buckets = state.buckets.copy()
    buckets[0] = np.where(valid, np.maximum(buckets[0], now), buckets[0])
    seen = state.seen_max.copy()
    seen[0] = np.where(valid[:, :POWER_ROW], np.maximum(seen[0], now[:, :POWER_ROW]), seen[0])
    return replace(
        state,
        now=now,
        mean_mw=_mean_mw(state, image, topology, valid[:, POWER_ROW]),
        waiting_ma=np.where(valid, measured, state.waiting_ma),
        buckets=buckets,
        seen_max=seen,
        sample_s=np.where(fresh, image.meter_sample_s, state.sample_s),
        sample_no=np.where(fresh, image.meter_sample_no, state.sample_no),
    )


def seen_mw(state: Background) -> Ints:
    """(N,) what each flexible asset was last seen to draw, 0 where nobody knows; what the sun gives is background."""
    newest = state.newest_ma[:, POWER_ROW]
    seen: Ints = np.where(newest == MISSING, 0, newest)
    return seen


def _mean_mw(state: Background, image: Image, topology: Topology, valid: Bools) -> Ints:
    """(C,) mean of the net power besides what the flexible assets were last seen to draw."""
    besides = np.where(valid, image.meter_mw, 0) - (topology.ancestry @ seen_mw(state)).astype(np.int64)
    known = state.mean_mw != MISSING
    since_s = np.full(topology.c, np.inf)
    np.subtract(image.meter_sample_s, state.sample_s, out=since_s, where=known & valid)
    weight = -np.expm1(-np.maximum(since_s, 0.0) / MEAN_S)
    before = np.where(known, state.mean_mw, besides)
    step = weight * (besides - before)
    # Rounded away from zero: towards it, the mean would stop short of what it follows.
    step = np.copysign(np.ceil(np.abs(step)), step).astype(np.int64)
    mean: Ints = np.where(valid, before + step, state.mean_mw)
    return mean


def _settle_waiting(state: Background, draws: _Draws, valid: Bools, now_s: float) -> Background:
    """The sample before, now that readings from both sides of it are known."""
    due = valid & (state.waiting_ma != MISSING)
    waiting = np.where(due, state.waiting_ma, 0)
    least, most = waiting - draws.high, waiting - draws.low
    before = np.where(state.now == MISSING, most, state.now)
    rising = due & (most > before)
    doubt = np.where(rising, np.minimum(state.doubt_s, now_s), np.where(due, np.inf, state.doubt_s))
    certain = due & ((now_s - doubt >= HOLD_S) | (most - least <= TIGHT))
    known = np.maximum(before, np.minimum(most, state.familiar.max(axis=0)))
    value = np.where(certain, most, np.clip(known, least, most))
    value = np.where(draws.blind[:, None], np.maximum(value, before), value)
    buckets, familiar = state.buckets.copy(), state.familiar.copy()
    buckets[0] = np.where(due, np.maximum(buckets[0], value), buckets[0])
    familiar[0] = np.where(due, np.maximum(familiar[0], least), familiar[0])
    return replace(
        state,
        now=np.where(due, value, state.now),
        doubt_s=np.where(certain, np.inf, doubt),
        buckets=buckets,
        familiar=familiar,
    )


def _estimate(state: Background, topology: Topology, now_s: float) -> Ints:
    """(C, 4) background in force: maximum of 60 s; worst case while the meter is lost; with less than 60 s of samples
    the larger of both; an unmetered circuit's configured value.
    """
    window = state.buckets.max(axis=0)
    window = np.where(window == MISSING, 0, window)
    worst = worst_case(state, topology)
    worst_power = worst.sum(axis=1) * topology.nominal_mv // MILLI
    worst4 = np.concatenate([worst, worst_power[:, None]], axis=1)
    young = topology.metered & ~(now_s - state.first_s >= BACKGROUND_WINDOW_S)
    configured = np.concatenate([topology.background_max_ma, worst_power[:, None]], axis=1)
    start = np.where(np.isposinf(state.first_s)[:, None], worst4, np.where(configured == MISSING, window, configured))
    early = np.maximum(window, start)
    early[:, POWER_ROW] = np.where(np.isposinf(state.first_s), worst_power, window[:, POWER_ROW])
    return np.where((state.lost | ~topology.metered)[:, None], worst4, np.where(young[:, None], early, window))
