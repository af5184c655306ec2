"""What plan or fallback would like, before the envelope clips it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.core.params import MIN_ON_S
from controller.core.state import ControllerState
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Topology
from interfaces.domain.units import Bools, Ints

RANKS: Final[int] = 4
"""Urgency classes inside a tier: no slack, less than 1 h, less than 4 h, more."""


@dataclass(frozen=True, slots=True)
class Wish:
    """``want_ma`` (N,) upper wish per conductor (negative: discharge or feed in), ``weight`` (N,) share when short,
    ``rank`` (N,) urgency class 0..3 inside a tier (lower first), ``reason`` (N,) why the wish is not higher.
    """

    want_ma: Ints
    weight: Ints
    rank: Ints
    reason: Ints


def with_orders(wish: Wish, local: Wish, state: ControllerState) -> Wish:
    """Whoever is told to charge now, or from surplus only, follows that instead of the plan."""
    ordered = state.mission.ordered > 0
    if not ordered.any():
        return wish
    return replace(
        wish,
        want_ma=np.where(ordered, local.want_ma, wish.want_ma),
        reason=np.where(ordered, local.reason, wish.reason),
    )


def keep_running(wish: Wish, state: ControllerState, topology: Topology, never_pause: Bools, now_s: float) -> Wish:
    """No price step, cloud or plan switches a car off in its first 5 minutes, nor one that would not wake up again
    before it has what was asked for: they keep their minimum.
    """
    sessions = state.sessions
    needed = never_pause & ~state.mission.done
    kept = topology.is_evse & (state.ledger.offer_ma > 0) & sessions.plugged
    kept &= (wish.want_ma < topology.min_ma) & (needed | (now_s - sessions.start_s < MIN_ON_S))
    if not kept.any():
        return wish
    return replace(
        wish,
        want_ma=np.where(kept, topology.min_ma, wish.want_ma),
        reason=np.where(kept, int(Reason.MIN_ON_TIME), wish.reason),
    )
