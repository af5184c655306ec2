"""Does the meter see what the cars do? Finds reversed current transformers and wrong phase maps while cars charge.

Between two quiet samples of a circuit's meter the draw of the flexible assets below it changes by a known step. A phase
that falls by as much when cars draw more there is reversed: three such strikes in a row and its meter counts as lost
(worst-case background). A step of one car alone that shows on another phase than configured is a wrong phase map: three
strikes at the nearest meter above it and the car counts on all three phases. Both stay until a restart, because
somebody must look at the wiring.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from controller.core.records import Background, Plausibility
from interfaces.domain.image import Image
from interfaces.domain.topology import POWER_ROW, Topology
from interfaces.domain.units import MISSING, Bools, Ints

STEP_MA: Final[int] = 5000
"""A step worth judging: well above the noise of a building within a few seconds."""
QUIET_MA: Final[int] = 1000
ANCHOR_S: Final[float] = 15.0
STRIKES: Final[int] = 3


def advance_plausibility(
    state: Plausibility, image: Image, background: Background, fresh: Bools, topology: Topology, now_s: float
) -> Plausibility:
    """Judge the circuits with a fresh sample whose assets are quiet; move their anchors."""
    if not fresh.any():
        return state
    newest, previous = background.newest_ma[:, :POWER_ROW], background.previous_ma[:, :POWER_ROW]
    draw = np.where(newest == MISSING, 0, newest)
    before = np.where(previous == MISSING, draw, previous)
    restless = _sums(topology, np.abs(draw - before))
    valid = (image.meter_ma != MISSING).all(axis=1)
    quiet = fresh & valid & (restless.max(axis=1) <= QUIET_MA)
    if not quiet.any():
        return state
    drawn = _sums(topology, draw)
    stepped_draw = drawn - state.anchor_sum_ma
    stepped_meter = np.where(valid[:, None], image.meter_ma, 0) - state.anchor_meter_ma
    young = quiet & (now_s - state.anchor_s <= ANCHOR_S)
    big = young[:, None] & (np.abs(stepped_draw) >= STEP_MA)
    mirrored = big & (np.abs(stepped_meter + stepped_draw) <= STEP_MA // 2)
    along = big & (stepped_meter * np.sign(stepped_draw) >= STEP_MA // 2)
    strikes = np.where(mirrored, state.sign_strikes + 1, state.sign_strikes)
    strikes = np.where(along & (strikes < STRIKES), 0, strikes)
    turned, home = state.turn_strikes, _nearest_meters(topology)
    for c in np.flatnonzero(big.any(axis=1)).tolist():
        step = np.where((home == c)[:, None], draw - state.anchor_draw_ma, 0)
        turned = _judge_rotation(turned, step, stepped_draw[c], stepped_meter[c])
    anchored = (home >= 0) & quiet[home]
    return replace(
        state,
        anchor_meter_ma=np.where(quiet[:, None], image.meter_ma, state.anchor_meter_ma),
        anchor_sum_ma=np.where(quiet[:, None], drawn, state.anchor_sum_ma),
        anchor_draw_ma=np.where(anchored[:, None], draw, state.anchor_draw_ma),
        anchor_s=np.where(quiet, now_s, state.anchor_s),
        sign_strikes=strikes,
        turn_strikes=turned,
    )


def reversed_meters(state: Plausibility) -> Bools:
    """(C,) meters that fall on some phase when cars charge."""
    return np.asarray((state.sign_strikes >= STRIKES).any(axis=1), dtype=np.bool_)


def turned_assets(state: Plausibility) -> Bools:
    """(N,) assets whose current shows on another phase than configured."""
    found: Bools = state.turn_strikes >= STRIKES
    return found


def rotation_use(state: Plausibility, use: Ints, topology: Topology) -> Ints:
    """(N, 3) conductors that count: every phase alike where the map is wrong."""
    wrong = turned_assets(state)
    if not wrong.any():
        return use
    return np.where(wrong[:, None], np.maximum(topology.wired.max(axis=1), 1)[:, None], use)


def _sums(topology: Topology, per_asset: Ints) -> Ints:
    return (topology.ancestry_f @ per_asset.astype(np.float64)).astype(np.int64)


def _nearest_meters(topology: Topology) -> Ints:
    """(N,) the first metered circuit above each asset, -1 without one. Parents stand before their children."""
    lines = np.arange(topology.c)[:, None]
    nearest: Ints = np.where((topology.ancestry > 0) & topology.metered[:, None], lines, -1).max(axis=0, initial=-1)
    return nearest


def _judge_rotation(strikes: Ints, step_ma: Ints, total_ma: Ints, meter_ma: Ints) -> Ints:
    """Where one asset alone stepped, its phases must step at the meter too. ``step_ma`` (N, 3) of the assets nearest to
    the meter, ``total_ma`` (3,) of all below it.
    """
    moved = np.flatnonzero((np.abs(step_ma) >= STEP_MA).any(axis=1))
    if len(moved) != 1 or np.abs(total_ma - step_ma[moved[0]]).max() > QUIET_MA:
        return strikes
    i = int(moved[0])
    expected = np.abs(step_ma[i])
    seen = np.abs(meter_ma)
    missed = (expected >= STEP_MA) & (seen * 10 < expected * 3)
    elsewhere = (expected < QUIET_MA) & (seen * 10 >= STEP_MA * 7)
    out = strikes.copy()
    if missed.any() and elsewhere.any():
        out[i] += 1
    elif out[i] < STRIKES:
        out[i] = 0
    return out
