"""Does the meter see what the cars do? Finds reversed current transformers and wrong phase maps while cars charge.

Between two quiet samples of a circuit's meter the draw of the flexible assets below it changes by a known step. A meter
that falls when cars draw more is reversed: three such strikes in a row and it counts as lost (worst-case background). A
step of one car that shows on another phase than configured is a wrong phase map: three strikes and the car counts on
all three phases. Both stay until a restart, because somebody must look at the wiring.
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
    stepped_draw = _sums(topology, draw - state.anchor_draw_ma)
    stepped_meter = np.where(valid[:, None], image.meter_ma, 0) - state.anchor_meter_ma
    young = quiet & (now_s - state.anchor_s <= ANCHOR_S)
    big = np.abs(stepped_draw) >= STEP_MA
    against = (big & (stepped_meter * np.sign(stepped_draw) <= -STEP_MA // 2)).any(axis=1)
    along = (big & (stepped_meter * np.sign(stepped_draw) >= STEP_MA // 2)).any(axis=1)
    strikes = np.where(young & against & ~along, state.sign_strikes + 1, state.sign_strikes)
    strikes = np.where(young & along & (strikes < STRIKES), 0, strikes)
    turned = state.turn_strikes
    for c in np.flatnonzero(young & big.any(axis=1)).tolist():
        turned = _judge_rotation(c, turned, draw - state.anchor_draw_ma, stepped_meter[c], topology)
    anchored = _all_below_quiet(quiet, topology)
    return replace(
        state,
        anchor_meter_ma=np.where(quiet[:, None], image.meter_ma, state.anchor_meter_ma),
        anchor_draw_ma=np.where(anchored[:, None], draw, state.anchor_draw_ma),
        anchor_s=np.where(quiet, now_s, state.anchor_s),
        sign_strikes=strikes,
        turn_strikes=turned,
    )


def reversed_meters(state: Plausibility) -> Bools:
    """(C,) meters that fall when cars charge."""
    found: Bools = state.sign_strikes >= STRIKES
    return found


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


def _all_below_quiet(quiet: Bools, topology: Topology) -> Bools:
    """(N,) assets below a circuit that was judged now: their anchors move with it (the grid connection's decides)."""
    return np.asarray((topology.ancestry[quiet] > 0).any(axis=0), dtype=np.bool_)


def _judge_rotation(c: int, strikes: Ints, step_ma: Ints, meter_ma: Ints, topology: Topology) -> Ints:
    """One asset alone stepped: its phases must step at the meter too."""
    moved = np.flatnonzero((np.abs(step_ma) >= STEP_MA).any(axis=1) & (topology.ancestry[c] > 0))
    if len(moved) != 1:
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
