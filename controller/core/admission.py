"""From wishes and state to one allocation problem: who asks, in which order, on which phases.

Order key (design 4.3): tier, never-pause cars already running, cars inside their minimum on time, urgency, credit in
whole quanta of 15 min (a car inside its own quarter of an hour before all), running before waiting, plug-in time, id.
Satisfied cars come after everybody else's wishes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.allocate import Demand
from controller.core.envelope import Envelope
from controller.core.params import MIN_ON_S, PHASE_DWELL_S, PHASE_TRIES, QUANTUM_S, RESTART_FIT_S, RESTART_HEADROOM_MA
from controller.core.state import ControllerState
from controller.core.wish import RANKS, Wish
from interfaces.domain.topology import AssetKind, Topology
from interfaces.domain.units import Bools, Floats, Ints

STORAGE_TIER: Final[int] = 1_000_000
"""Batteries charge after every car."""


def demand_of(
    state: ControllerState,
    env: Envelope,
    wish: Wish,
    topology: Topology,
    never_pause: Bools,
    weights: Ints,
    now_s: float,
) -> Demand:
    """The problem of this scan. Assets that cannot be commanded are left out: they count in the budget instead."""
    ceiling = np.minimum(env.high_ma, np.maximum(wish.want_ma, 0))
    floor = floors(topology)
    reachable = np.isposinf(state.ledger.lost_s)
    asks = (ceiling >= np.maximum(floor, 1)) & reachable
    offered = state.ledger.offer_ma > 0
    wait_off = ~offered & (state.timers.off_until_s > now_s)
    unfit = ~offered & state.timers.limit_paused & ~(now_s - state.timers.fit_s >= RESTART_FIT_S)
    single = topology.can_switch & (state.switching.step == 0) & (state.switching.mode == 3)
    single &= (now_s - state.switching.dwell_s >= PHASE_DWELL_S) & (state.switching.failures < PHASE_TRIES)
    order, spare = admission_order(state, asks, topology, wish.rank, never_pause, now_s)
    return Demand(
        order=order,
        floor_ma=floor,
        ceiling_ma=ceiling,
        tier=np.where(topology.kind == int(AssetKind.BATTERY), STORAGE_TIER, topology.tier) * RANKS + wish.rank,
        weight=wish.weight,
        cost=weights,
        probation=(wait_off | unfit) & topology.is_evse,
        probe_ma=np.where(topology.is_evse, np.minimum(floor + RESTART_HEADROOM_MA, np.maximum(ceiling, floor)), floor),
        single=single,
        single_cost=one_phase(weights, topology),
        spare=spare,
    )


def floors(topology: Topology) -> Ints:
    """(N,) smallest non-zero setpoint; batteries and loads may have any."""
    return np.where(topology.is_evse, topology.min_ma, 0)


def one_phase(weights: Ints, topology: Topology) -> Ints:
    """(N, 4) the same assets on their first conductor only."""
    watts = weights[:, 3] // np.maximum(weights[:, :3].sum(axis=1), 1)
    return np.concatenate([topology.first_wire, watts[:, None]], axis=1)


def waiting_credits(state: ControllerState, asks: Bools, now_s: float) -> Floats:
    """(N,) whole quanta waited since last served; a running car has none, and inside its own quantum it is immune."""
    since = np.maximum(state.sessions.served_s, state.sessions.plugged_s)
    waited = np.where(asks & np.isfinite(since), now_s - since, 0.0)
    credit = np.floor(waited / QUANTUM_S)
    running = state.ledger.offer_ma > 0
    immune = running & (now_s - state.sessions.start_s < QUANTUM_S)
    return np.where(immune, np.inf, np.where(running, 0.0, credit))


def admission_order(
    state: ControllerState, asks: Bools, topology: Topology, rank: Ints, never_pause: Bools, now_s: float
) -> tuple[tuple[int, ...], int]:
    """Columns of the asking assets, first served first; and how many at the end are satisfied: those draw next to
    nothing, so that they are offered only what all others leave.
    """
    running = state.ledger.offer_ma > 0
    held = running & never_pause
    young = running & (now_s - state.sessions.start_s < MIN_ON_S)
    spare = asks & state.sessions.satisfied & ~held & ~young
    keys = (
        spare,
        topology.kind == int(AssetKind.BATTERY),
        topology.tier,
        ~held,
        ~young,
        rank,
        -waiting_credits(state, asks, now_s),
        ~running,
        state.sessions.plugged_s,
    )
    columns = np.flatnonzero(asks)
    ids = [topology.assets[i].id for i in columns.tolist()]
    rows = zip(*(key[columns].tolist() for key in keys), ids, columns.tolist(), strict=True)
    return tuple(row[-1] for row in sorted(rows)), int(spare.sum())
