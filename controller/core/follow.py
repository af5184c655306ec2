"""Following a plan: is it usable now, and what does it wish? A plan can change cost and comfort, never safety."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from controller.core.fallback import SKEW_S
from controller.core.params import Params
from controller.core.records import Mission
from controller.core.share import share_deviation
from controller.core.state import ControllerState
from controller.core.wish import Wish
from interfaces.domain.image import Image
from interfaces.domain.plan import MOST_PPM, PLAN_SCHEMA, Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.units import MISSING, Bools

NEXT_PLAN_S: Final[float] = 120.0
"""A plug-in is told within a minute and planned within another; then the local rules decide."""
VALUE_MOST_PPM: Final[int] = 10_000_000
"""10 EUR/kWh: far above any price, so that no value makes the sums of weights overflow."""
VALUE_STEP_PPM: Final[int] = 1000
"""Weights when short: one per 0.1 ct/kWh of marginal value."""


def plan_refusal(plan: Plan, mission: Mission, params: Params, clock_trusted: bool, epoch_s: float) -> str:
    """Why a plan is not followed now; empty when it is. The newest accepted sequence never goes back."""
    end_epoch_s = min(plan.valid_until_epoch_s, plan.start_epoch_s + plan.step_s * len(plan.setpoint_ma))
    times = (plan.issued_epoch_s, plan.start_epoch_s, plan.valid_until_epoch_s, plan.lease_until_epoch_s)
    checks = (
        (not all(math.isfinite(t) for t in times), "a time in the plan is not finite"),
        (plan.setpoint_ma.shape != (len(plan.planned_import_mw), len(plan.assets)), "the plan is malformed"),
        (plan.value_ppm.shape != plan.setpoint_ma.shape, "the plan is malformed"),
        (not params.follow_plans, "this site does not follow plans"),
        (not clock_trusted, "the wall clock is not trusted"),
        (plan.schema != PLAN_SCHEMA, f"plan schema {plan.schema} is unknown"),
        (plan.topology_version != params.topology.version, "the plan was made for another topology"),
        (plan.sequence < mission.sequence, "a newer plan was already followed"),
        (plan.issued_epoch_s > epoch_s + SKEW_S, "the plan was issued in the future"),
        (epoch_s < plan.start_epoch_s, "the plan has not started"),
        (epoch_s >= end_epoch_s, "the plan has ended"),
        (epoch_s >= plan.lease_until_epoch_s, "the plan's lease has run out"),
    )
    return next((why for refused, why in checks if refused), "")


def row_of(plan: Plan, epoch_s: float) -> int:
    """Index of the plan's row of this moment."""
    return min(int((epoch_s - plan.start_epoch_s) // plan.step_s), len(plan.setpoint_ma) - 1)


def plan_wish(
    plan: Plan, local: Wish, image: Image, state: ControllerState, params: Params, now_s: float, epoch_s: float
) -> Wish:
    """The plan's row of this moment; a session plugged in since it was issued and an asset without a value get the
    fallback wish, the session after a short wait for its plan where it has slack.
    """
    topology = params.topology
    t = row_of(plan, epoch_s)
    want, value = local.want_ma.copy(), np.zeros(topology.n, dtype=np.int64)
    planned = np.zeros(topology.n, dtype=np.bool_)
    for k, name in enumerate(plan.assets):
        i = topology.index.get(name)
        wanted = int(plan.setpoint_ma[t, k])
        if i is None or wanted == MISSING or _arrived_later(i, plan, state, now_s, epoch_s):
            continue
        want[i] = max(-int(topology.max_export_ma[i]), min(wanted, int(topology.max_ma[i])))
        value[i], planned[i] = max(0, min(int(plan.value_ppm[t, k]), MOST_PPM)), True
    waits = _waiting(plan, local, state, params, now_s, epoch_s)
    want[waits] = 0
    want = share_deviation(want, value, planned, plan, t, image, state, params, now_s)
    weight = 1 + np.minimum(value, VALUE_MOST_PPM) // VALUE_STEP_PPM
    return Wish(
        want_ma=want,
        weight=np.where(planned, weight, np.maximum(int(weight[planned].mean()) if planned.any() else 1, 1)),
        rank=local.rank,
        reason=np.where(planned | waits, int(Reason.PLAN), local.reason),
    )


def _waiting(plan: Plan, local: Wish, state: ControllerState, params: Params, now_s: float, epoch_s: float) -> Bools:
    """(N,) cars that have just come and have time: the next plan speaks of them, and who is started now and paused by
    it might not wake up again.
    """
    waits = params.topology.is_evse & state.sessions.plugged & (local.rank > 0) & (local.want_ma > 0)
    waits &= (now_s - state.sessions.plugged_s < NEXT_PLAN_S) & (state.ledger.offer_ma <= 0)
    for i in np.flatnonzero(waits).tolist():
        waits[i] = _arrived_later(i, plan, state, now_s, epoch_s)
    return waits


def _arrived_later(i: int, plan: Plan, state: ControllerState, now_s: float, epoch_s: float) -> bool:
    if not state.sessions.plugged[i]:
        return False
    plugged_for_s = now_s - float(state.sessions.plugged_s[i])
    return epoch_s - plugged_for_s > plan.issued_epoch_s
