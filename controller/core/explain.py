"""Exactly one reason for every current below its wish."""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.admission import floors
from controller.core.allocate import NOBODY, Allocation, Demand
from controller.core.envelope import Envelope
from controller.core.raises import Granted
from controller.core.state import ControllerState
from controller.core.wish import Wish
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import Bools, Ints

PROTECTION_REASONS: Final[tuple[int, ...]] = tuple(
    int(r) for r in (Reason.PROTECTION_REDUCE, Reason.PROTECTION_PAUSE, Reason.PROTECTION_STOP)
)
WAITING: Final[tuple[Reason, ...]] = (
    Reason.SATISFIED,
    Reason.MIN_OFF_TIME,
    Reason.RESTART_MARGIN,
    Reason.ROTATED,
    Reason.QUEUED,
)
BY_CIRCUIT: Final[tuple[int, ...]] = (int(Reason.CIRCUIT), int(Reason.QUEUED))


def explain(
    setpoint_ma: Ints,
    wish: Wish,
    env: Envelope,
    demand: Demand,
    allocation: Allocation,
    granted: Granted,
    state: ControllerState,
    topology: Topology,
    now_s: float,
) -> tuple[Ints, Ints]:
    """(N,) reason codes and (N,) binding rows. From the last stage that lowered the current back to the wish."""
    floor = floors(topology)
    want = np.maximum(wish.want_ma, 0)
    asks = np.zeros(topology.n, dtype=np.bool_)
    asks[list(demand.order)] = True
    capped = (env.high_ma < want) & (setpoint_ma >= np.minimum(env.high_ma, want) - topology.step_ma)
    below_floor = (env.high_ma < floor) & (want >= floor)
    queued = asks & ~allocation.admitted
    waiting_off = queued & (state.timers.off_until_s > now_s)
    on_trial = queued & demand.probation & ~waiting_off
    rotated = _displaced(queued, demand, allocation, state, topology)
    waiting = granted.reason != int(Reason.NONE)
    reached = setpoint_ma >= np.minimum(want, topology.max_ma)
    conditions = [
        want < np.maximum(floor, 1),
        below_floor,
        allocation.on_one,
        queued & state.sessions.satisfied,
        waiting_off,
        on_trial,
        rotated,
        queued,
        waiting & (setpoint_ma < allocation.amps_ma),
        reached,
        capped,
        allocation.binding != NOBODY,
    ]
    choices = [
        wish.reason,
        env.high_reason,
        np.full(topology.n, int(Reason.PHASE_SWITCHING)),
        *(np.full(topology.n, int(code)) for code in WAITING),
        granted.reason,
        np.where(want >= topology.max_ma, int(Reason.WISH), wish.reason),
        env.high_reason,
        _row_reasons(env, allocation),
    ]
    reason = np.select(conditions, choices, np.full(topology.n, int(Reason.STEP)))
    reason = np.where(topology.is_evse & ~state.sessions.plugged, int(Reason.NO_CAR), reason)
    reason = np.where(~np.isposinf(state.ledger.lost_s), int(Reason.UNREACHABLE), reason)
    binding = np.where(waiting & (setpoint_ma < allocation.amps_ma), granted.binding, allocation.binding)
    return _with_circuits(reason.astype(np.int64), binding, state, topology)


def _with_circuits(reason: Ints, binding: Ints, state: ControllerState, topology: Topology) -> tuple[Ints, Ints]:
    """A row that binds because its meter is silent, and the hottest circuit above who protection holds down."""
    if state.background.lost.any():
        silent = (binding != NOBODY) & state.background.lost[np.maximum(binding, 0) // ROWS_PER_CIRCUIT]
        reason = np.where(silent & np.isin(reason, BY_CIRCUIT), int(Reason.STALE_METER), reason)
    if not state.protection.level.any():
        return reason, binding
    binding = binding.copy()
    for i in np.flatnonzero(np.isin(reason, PROTECTION_REASONS)).tolist():
        c = max(topology.chain[i], key=lambda k: (int(state.protection.level[k]), int(state.protection.theta[k].max())))
        binding[i] = c * ROWS_PER_CIRCUIT + int(state.protection.theta[c].argmax())
    return reason, binding


def _row_reasons(env: Envelope, allocation: Allocation) -> Ints:
    """(N,) the rule behind each binding row."""
    reason = env.budget_reason.ravel()[np.maximum(allocation.binding, 0)]
    power = (allocation.binding >= 0) & (allocation.binding % ROWS_PER_CIRCUIT == POWER_ROW)
    return np.where(power & (reason == int(Reason.CIRCUIT)), int(Reason.CIRCUIT_POWER), reason)


def _displaced(
    queued: Bools, demand: Demand, allocation: Allocation, state: ControllerState, topology: Topology
) -> Bools:
    """(N,) running assets that lost their place to a waiting one admitted before them on the row that is now full."""
    out = np.zeros(len(queued), dtype=np.bool_)
    for i in np.flatnonzero(queued & (state.ledger.offer_ma > 0) & (allocation.binding != NOBODY)).tolist():
        c, r = divmod(int(allocation.binding[i]), ROWS_PER_CIRCUIT)
        before = list(demand.order[: demand.order.index(i)])
        newcomers = allocation.admitted[before] & (state.ledger.offer_ma[before] == 0)
        out[i] = (newcomers & (topology.ancestry[c, before] > 0) & (allocation.cost[before, r] > 0)).any()
    return out
