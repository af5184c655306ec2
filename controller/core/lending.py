"""Unused current is lent to waiting cars by lowering the offer, never by trusting a low measurement.

When somebody waits on a shared row and the gap between offer and draw has exceeded max(2 A, 15 %) for 10 s, the offer
is lowered to the draw + 2 A. It returns through the ledger when the draw is within 1 A of it for 3 s. A draw that falls
with the offer shows a habit (such a car always stays below its offer): the offer is restored and never lent again.
"""

from __future__ import annotations

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
from interfaces.domain.image import Image
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, Bools, Ints


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
    drawn = np.where(image.asset_ma == MISSING, 0, image.asset_ma).max(axis=1)
    able = topology.is_evse & (topology.poll_s <= SLOW_POLL_S) & ~state.habit & (offer_ma > topology.min_ma)
    gap = offer_ma - drawn > np.maximum(LEND_GAP_MA, offer_ma * LEND_GAP_PERCENT // 100)
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
    back = lent & ((now_s - follow_s >= LEND_RETURN_S) | habit | ~waited_for)
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


def somebody_waits(topology: Topology, waiting: Bools, use: Ints) -> Bools:
    """(N,) whether a waiting asset shares a circuit row (same circuit, same phase) with each asset."""
    if not waiting.any():
        return np.zeros(topology.n, dtype=np.bool_)
    on_row = (topology.ancestry[:, waiting] @ (topology.wired[waiting] > 0)) > 0
    shared = (topology.ancestry.T @ on_row.astype(np.int64)) > 0
    return np.asarray((shared & (use > 0)).any(axis=1), dtype=np.bool_)
