"""Starts, pauses and waiting: what the next admission must know of this scan's commands."""

from __future__ import annotations

import numpy as np

from controller.core.params import MIN_OFF_FIRST_S, MIN_OFF_FORGET_S, MIN_OFF_MOST_S
from controller.core.records import Sessions, Timers
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Topology
from interfaces.domain.units import Bools, Floats, Ints

LIMIT_REASONS = np.array(
    [
        int(r)
        for r in (
            Reason.CIRCUIT,
            Reason.CIRCUIT_POWER,
            Reason.QUEUED,
            Reason.QUEUED_MINIMUM,
            Reason.STALE_METER,
            Reason.PROTECTION_PAUSE,
            Reason.PROTECTION_STOP,
            Reason.OPERATOR_LIMIT,
            Reason.OPERATOR_STOP,
            Reason.PEAK,
            Reason.FIRE,
            Reason.FAILSAFE,
            Reason.N_MINUS_1,
            Reason.SATISFIED,
        )
    ],
    dtype=np.int64,
)
"""Pauses by these are limit pauses: they lengthen the off time. Rotation, unplugging, prices and plans do not."""


def advance_timers(
    state: Timers,
    sessions: Sessions,
    topology: Topology,
    *,
    before_ma: Ints,
    setpoint_ma: Ints,
    reason: Ints,
    asks: Bools,
    fits: Bools,
    began: Bools,
    now_s: float,
) -> tuple[Timers, Floats]:
    """Next timers, and (N,) start times of charging. Each limit pause doubles the minimum off time, 2 to 30 min; half
    an hour of charging forgets that.
    """
    evse = topology.is_evse & sessions.plugged
    started = evse & (before_ma == 0) & (setpoint_ma > 0)
    stopped = evse & (before_ma > 0) & (setpoint_ma == 0)
    by_limit = stopped & np.isin(reason, LIMIT_REASONS)
    long_run = now_s - sessions.start_s >= MIN_OFF_FORGET_S
    pauses = np.where(began, 0, np.where(stopped & long_run, 0, state.limit_pauses))
    off_s = np.minimum(MIN_OFF_FIRST_S * np.exp2(pauses), MIN_OFF_MOST_S)
    waits = evse & asks & (setpoint_ma == 0)
    nxt = Timers(
        fit_s=np.where(fits & waits, np.minimum(state.fit_s, now_s), np.inf),
        off_until_s=np.where(by_limit, now_s + off_s, np.where(began, now_s, state.off_until_s)),
        limit_pauses=pauses + by_limit,
        limit_paused=np.where(by_limit, True, state.limit_paused & ~started & ~began),
    )
    return nxt, np.where(started, now_s, sessions.start_s)
