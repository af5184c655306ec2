"""Changing over between plan and fallback: when it happens, and why nobody feels it.

A plan that had to be given up is followed again only after it has been usable for a while, and for longer each time it
is lost soon again: a link that comes and goes does not make the site alternate. At a switch every asset starts from
what is applied: one asset at a time moves by at most one ramp, so that the site's power never steps by more, and who
charges goes on at least at its minimum until the plan's next row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from controller.core.admission import floors
from controller.core.follow import plan_refusal, row_of
from controller.core.params import RAISE_EVERY_S, Params
from controller.core.quantise import quantise
from controller.core.raises import shut_circuits
from controller.core.records import Handover, Mission
from controller.core.state import ControllerState
from controller.core.wish import Wish
from interfaces.domain.image import Image
from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Topology
from interfaces.domain.units import Bools, Ints

RETURN_FIRST_S: Final[float] = 10.0
"""A plan lost once waits until what the last switch told the cars has reached them: 5 s pilot, 5 s car (design 4.2)."""
RETURN_MOST_S: Final[float] = 900.0
"""Each loss soon after the last doubles the wait, up to one step of a plan."""
RETURN_FORGET_S: Final[float] = 1800.0
"""Followed for so long without a gap, earlier losses are forgotten, as limit pauses are (design 4.3)."""
DOUBLINGS_MOST: Final[int] = 10
SLIDE_MOST_S: Final[float] = 300.0
"""Who has not arrived at the new wish by then is held up by something else than the switch."""


def return_wait_s(losses: int) -> float:
    """How long a plan must have been usable before it takes over, after so many losses in a row."""
    if losses <= 0:
        return 0.0
    return min(RETURN_FIRST_S * 2.0 ** min(losses - 1, DOUBLINGS_MOST), RETURN_MOST_S)


def choose_source(
    image: Image, state: ControllerState, params: Params, now_s: float, epoch_s: float
) -> ControllerState:
    """The state with plan or fallback chosen for this scan.

    When a plan stops, running cars keep running until the next price step, and who waited for a cheaper hour waits on.
    """
    mission, plan = state.mission, image.plan
    handover = _leased(state.handover, plan, image.clock_trusted, now_s, epoch_s)
    refused = _refusal(plan, mission, handover, params, image.clock_trusted, now_s, epoch_s)
    usable_s = np.inf if refused else min(handover.usable_s, now_s)
    handover = replace(handover, usable_s=float(usable_s))
    wait_s = return_wait_s(handover.losses)
    if plan is None or refused:
        if mission.source == "plan":
            mission = replace(mission, charge_now=mission.charge_now | (state.ledger.offer_ma > 0))
            handover = _switched(_lost(handover, now_s), state, now_s)
        return replace(state, mission=replace(mission, source="fallback", refused=refused), handover=handover)
    if mission.source != "plan" and now_s - handover.usable_s < wait_s:
        refused = f"the plan is usable again and is watched for {wait_s:.0f} s before it is followed"
        return replace(state, mission=replace(mission, refused=refused), handover=handover)
    if mission.source != "plan":
        row_ends_epoch_s = plan.start_epoch_s + (row_of(plan, epoch_s) + 1) * plan.step_s
        running = params.topology.is_evse & state.sessions.plugged & (state.ledger.offer_ma > 0)
        handover = _switched(handover, state, now_s)
        handover = replace(handover, held=running, held_until_epoch_s=row_ends_epoch_s)
    mission = replace(mission, source="plan", refused="", sequence=max(mission.sequence, plan.sequence))
    return replace(state, mission=mission, handover=handover)


def glide(
    wish: Wish, image: Image, state: ControllerState, topology: Topology, now_s: float, epoch_s: float
) -> tuple[Wish, ControllerState]:
    """The wishes of a site that changes over, and the state: where everybody stands but the one whose turn it is."""
    handover, offer = state.handover, state.ledger.offer_ma
    if not handover.sliding.any() and not handover.held.any():
        return wish, state
    wish, handover = _held(wish, handover, state, topology, epoch_s)
    arrived = quantise(wish.want_ma, topology) == offer
    gone = ~np.isposinf(state.ledger.lost_s) | (topology.is_evse & ~state.sessions.plugged)
    gone |= state.sessions.plugged_s > handover.since_s
    sliding = handover.sliding & ~arrived & ~gone
    if now_s - handover.since_s >= SLIDE_MOST_S or not sliding.any():
        handover = replace(handover, sliding=np.zeros(topology.n, dtype=np.bool_))
        return wish, replace(state, handover=handover)
    mover = _whose_turn(sliding, wish.want_ma, image, state, topology, now_s)
    stays = sliding & ~mover
    low, high = _one_ramp(offer, topology)
    want = np.where(stays, offer, np.where(mover, np.clip(wish.want_ma, low, high), wish.want_ma))
    wish = replace(
        wish,
        want_ma=want,
        reason=np.where(sliding & (want != wish.want_ma), int(Reason.HANDOVER), wish.reason),
    )
    turn_s = np.where(mover, now_s, handover.turn_s)
    return wish, replace(state, handover=replace(handover, sliding=sliding, turn_s=turn_s))


def _leased(handover: Handover, plan: Plan | None, clock_trusted: bool, now_s: float, epoch_s: float) -> Handover:
    """A lease is read off the wall clock once, when it is first seen; from then on the monotonic clock counts it."""
    if plan is None or not clock_trusted or not np.isfinite(plan.lease_until_epoch_s):
        return handover
    if (plan.sequence, plan.lease_until_epoch_s) == (handover.lease_sequence, handover.lease_epoch_s):
        return handover
    return replace(
        handover,
        lease_sequence=plan.sequence,
        lease_epoch_s=plan.lease_until_epoch_s,
        lease_until_s=now_s + (plan.lease_until_epoch_s - epoch_s),
    )


def _refusal(
    plan: Plan | None,
    mission: Mission,
    handover: Handover,
    params: Params,
    clock_trusted: bool,
    now_s: float,
    epoch_s: float,
) -> str:
    if plan is None:
        return "no plan"
    refused = plan_refusal(plan, mission, params, clock_trusted, epoch_s)
    return refused or ("the plan's lease has run out" if now_s >= handover.lease_until_s else "")


def _lost(handover: Handover, now_s: float) -> Handover:
    steady = now_s - handover.since_s >= RETURN_FORGET_S
    return replace(handover, losses=1 if steady else handover.losses + 1)


def _switched(handover: Handover, state: ControllerState, now_s: float) -> Handover:
    """The present source takes over: everybody starts from what is applied. Before the first complete image nothing
    is.
    """
    n = len(handover.sliding)
    return replace(
        handover,
        since_s=now_s,
        sliding=np.full(n, state.complete, dtype=np.bool_),
        turn_s=np.full(n, -np.inf),
        held=np.zeros(n, dtype=np.bool_),
    )


def _held(
    wish: Wish, handover: Handover, state: ControllerState, topology: Topology, epoch_s: float
) -> tuple[Wish, Handover]:
    """No session is interrupted because the plan took over in the middle of a row."""
    held = handover.held & state.sessions.plugged & (state.ledger.offer_ma > 0) & (state.mission.ordered == 0)
    if epoch_s >= handover.held_until_epoch_s:
        held = np.zeros_like(held)
    kept = held & (wish.want_ma < topology.min_ma)
    if kept.any():
        want = np.where(kept, topology.min_ma, wish.want_ma)
        wish = replace(wish, want_ma=want, reason=np.where(kept, int(Reason.HANDOVER), wish.reason))
    return wish, replace(handover, held=held)


def _whose_turn(
    sliding: Bools, want: Ints, image: Image, state: ControllerState, topology: Topology, now_s: float
) -> Bools:
    """(N,) at most one asset: who gives current back before who takes some, then who has stood longest. A raise waits
    for newer samples of its meters, as any raise does.
    """
    offer = state.ledger.offer_ma
    rested_s = np.maximum(state.handover.turn_s, state.ledger.change_s)
    ready = sliding & (now_s - rested_s >= RAISE_EVERY_S)
    shut, _ = shut_circuits(image, state, topology, now_s)
    waits = (topology.ancestry[shut] > 0).any(axis=0)
    down, up = ready & (want < offer), ready & (want > offer) & ~waits
    mover = np.zeros(topology.n, dtype=np.bool_)
    columns = np.flatnonzero(down if down.any() else up)
    if columns.size:
        mover[columns[np.argmin(state.handover.turn_s[columns])]] = True
    return mover


def _one_ramp(offer: Ints, topology: Topology) -> tuple[Ints, Ints]:
    """(N,) each how far a setpoint may move at once: one ramp, and a car to its minimum or from there to 0."""
    floor, ramp = floors(topology), topology.ramp_ma
    down = np.where(offer > floor, np.maximum(offer - ramp, floor), 0)
    up = np.where(topology.is_evse, np.maximum(offer + ramp, floor), offer + ramp)
    return np.where(topology.is_evse, down, offer - ramp), up
