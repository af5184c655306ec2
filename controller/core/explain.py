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
    capped = (env.high_ma < want) & (setpoint_ma >= np.minimum(env.high_ma, want) - topology.step_ma)
    held = (granted.reason != int(Reason.NONE)) & (setpoint_ma < allocation.amps_ma)
    reached = setpoint_ma >= np.minimum(want, topology.max_ma)
    stages: list[tuple[Bools, Ints | int]] = [
        (want < np.maximum(floor, 1), wish.reason),
        ((env.high_ma < floor) & (want >= floor), env.high_reason),
        (allocation.on_one, int(Reason.PHASE_SWITCHING)),
        *_waiting(demand, allocation, state, topology, now_s),
        (held, granted.reason),
        (reached, np.where(want >= topology.max_ma, int(Reason.WISH), wish.reason)),
        (capped, env.high_reason),
        (allocation.binding != NOBODY, _row_reasons(env, allocation)),
    ]
    choices = [np.broadcast_to(code, topology.n) for _, code in stages]
    reason = np.select([where for where, _ in stages], choices, np.full(topology.n, int(Reason.STEP)))
    reason = np.where(topology.is_evse & ~state.sessions.plugged, int(Reason.NO_CAR), reason)
    reason = np.where(~np.isposinf(state.ledger.lost_s), int(Reason.UNREACHABLE), reason)
    binding = np.where(held, granted.binding, allocation.binding)
    return _with_circuits(reason.astype(np.int64), binding, state, topology)


def _waiting(
    demand: Demand, allocation: Allocation, state: ControllerState, topology: Topology, now_s: float
) -> list[tuple[Bools, Ints | int]]:
    """(N,) why those who ask were not admitted; the first that holds counts."""
    asks = np.zeros(topology.n, dtype=np.bool_)
    asks[list(demand.order)] = True
    queued = asks & ~allocation.admitted
    off = queued & (state.timers.off_until_s > now_s)
    return [
        (queued & state.sessions.satisfied, int(Reason.SATISFIED)),
        (off, int(Reason.MIN_OFF_TIME)),
        (queued & demand.probation & ~off, int(Reason.RESTART_MARGIN)),
        (_displaced(queued, demand, allocation, state, topology), int(Reason.ROTATED)),
        (queued, int(Reason.QUEUED)),
    ]


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
