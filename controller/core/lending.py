"""Unused current is lent to waiting cars by lowering the offer, never by trusting a low measurement.

When a full row keeps somebody below his wish, at 0 or above, and the gap between offer and draw has exceeded
max(2 A, 15 %) for 10 s, the offer is lowered to the draw + 2 A. It returns through the ledger when the draw is within
1 A of it for 3 s. A draw that falls with the offer shows a habit (such a car always stays below its offer): the offer
is restored and never lent again.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.params import (
    HABIT_FALL_MA,
    HABIT_WINDOW_S,
    LEND_AFTER_S,
    LEND_GAP_MA,
    LEND_GAP_PERCENT,
    LEND_HEADROOM_MA,
    LEND_RETURN_MA,
    LEND_RETURN_S,
    NO_LIMIT,
    SLOW_POLL_S,
)
from controller.core.records import Lending
from interfaces.domain.command import Commands
from interfaces.domain.image import Image
from interfaces.domain.measured import busiest_ma
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import MISSING, Bools, Ints

SHORTAGES: Final[tuple[int, ...]] = tuple(
    int(r)
    for r in (
        Reason.CIRCUIT,
        Reason.CIRCUIT_POWER,
        Reason.OPERATOR_LIMIT,
        Reason.PEAK,
        Reason.N_MINUS_1,
        Reason.QUEUED,
        Reason.STALE_METER,
        Reason.RESTART_MARGIN,
    )
)
"""Who is held by one of these would use more current if the row named had it."""


def leaves_much(offer_ma: Ints, drawn_ma: Ints) -> Bools:
    """(N,) whose offer and draw are further apart than a car's accuracy and a meter's class explain."""
    much: Bools = offer_ma - drawn_ma > np.maximum(LEND_GAP_MA, offer_ma * LEND_GAP_PERCENT // 100)
    return much


def advance_lending(
    state: Lending,
    image: Image,
    topology: Topology,
    *,
    fresh: Bools,
    began: Bools,
    offer_ma: Ints,
    waited_for: Bools,
    now_s: float,
) -> Lending:
    """Next lending state. ``waited_for`` (N,): somebody waits for current on a row this asset shares."""
    drawn = busiest_ma(image)
    known = ((image.asset_ma != MISSING) | (topology.wired == 0)).all(axis=1)
    able = topology.is_evse & (topology.poll_s <= SLOW_POLL_S) & ~state.habit & (offer_ma > topology.min_ma) & known
    gap = leaves_much(offer_ma, drawn)
    gap_s = np.where(able & gap, np.minimum(state.gap_s, now_s), np.where(fresh | ~able, np.inf, state.gap_s))
    lent = state.ceiling_ma < NO_LIMIT
    start = able & ~lent & waited_for & (now_s - gap_s >= LEND_AFTER_S)
    ceiling = np.where(start, np.maximum(drawn + LEND_HEADROOM_MA, topology.min_ma), state.ceiling_ma)
    cut_s = np.where(start, now_s, state.cut_s)
    cut_draw = np.where(start, drawn, state.cut_draw_ma)
    falling_before = np.where(start, state.draw_before_ma - drawn > HABIT_FALL_MA, False)
    watched = lent & (now_s - state.cut_s <= HABIT_WINDOW_S)
    habit = state.habit | (watched & fresh & (state.cut_draw_ma - drawn > HABIT_FALL_MA))
    near = lent & (offer_ma - drawn <= LEND_RETURN_MA)
    follow_s = np.where(near, np.minimum(state.follow_s, now_s), np.where(fresh | ~lent, np.inf, state.follow_s))
    back = lent & ((now_s - follow_s >= LEND_RETURN_S) | habit)
    over = began | back
    return Lending(
        ceiling_ma=np.where(over, NO_LIMIT, ceiling),
        gap_s=np.where(over, np.inf, gap_s),
        cut_s=cut_s,
        cut_draw_ma=np.where(falling_before, 0, cut_draw),
        follow_s=np.where(over, np.inf, follow_s),
        draw_before_ma=np.where(fresh & (now_s - gap_s < LEND_AFTER_S / 2), drawn, state.draw_before_ma),
        habit=habit & ~began,
    )


def somebody_waits(state: Lending, commands: Commands | None, topology: Topology, use: Ints) -> Bools:
    """(N,) whether a row this asset loads kept another one below its wish in the last scan: one that takes all it is
    offered, for who leaves current unused waits for none.
    """
    if commands is None:
        return np.zeros(topology.n, dtype=np.bool_)
    short = (commands.binding >= 0) & (commands.setpoint_ma < commands.wish_ma)
    short &= np.isin(commands.reason, SHORTAGES) & np.isposinf(state.gap_s) & (state.ceiling_ma >= NO_LIMIT)
    if not short.any():
        return short
    full = np.zeros((topology.c, ROWS_PER_CIRCUIT), dtype=np.int64)
    full.ravel()[commands.binding[short]] = 1
    below = topology.ancestry.T @ full
    shares: Bools = ((below[:, :POWER_ROW] > 0) & (use > 0)).any(axis=1) | (below[:, POWER_ROW] > 0)
    return shares
