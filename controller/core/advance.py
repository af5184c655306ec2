"""Step 1 of the scan: sessions, timers, latches, exposure ledger, background and learning move to the new image."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from controller.core.background import advance_background, fresh_samples, row_weights
from controller.core.learning import advance_learning
from controller.core.ledger import adopted_offer, advance_ledger, first_answers
from controller.core.lending import advance_lending, somebody_waits
from controller.core.obedience import advance_obedience
from controller.core.params import BOOT_LOST_S, NO_LIMIT, Params
from controller.core.phase_switch import Step, advance_switching
from controller.core.plausibility import advance_plausibility, reversed_meters
from controller.core.protection import advance_protection
from controller.core.records import Learning, Ledger, Lending, Sessions, Switching
from controller.core.sessions import advance_sessions
from controller.core.state import ControllerState
from interfaces.domain.image import Fire, Image
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, NEVER_S, Bools

LONGEST_STEP_S: Final[float] = 60.0
"""A longer silence between two scans is not integrated as energy or overload memory."""


def advance(image: Image, state: ControllerState, params: Params, now_s: float) -> ControllerState:
    """The state as of this image, before any decision."""
    topology = params.topology
    dt_s = min(max(now_s - state.previous_s, 0.0), LONGEST_STEP_S)
    first = first_answers(state.ledger, image)
    told = np.where(first, adopted_offer(image, topology), state.guard.told_ma)
    offer = state.ledger.offer_ma
    sessions, began = advance_sessions(state.sessions, image, offer, topology, now_s, dt_s)
    # What a place is held to for its car's doings ends with the plug, not with a card that anybody can hold up.
    plugged_in = sessions.plugged & ~state.sessions.plugged
    overloaded = _overloaded(image, state, topology)
    switching = advance_switching(state.switching, image, topology, state.ledger, plugged_in, overloaded, now_s)
    ledger = advance_ledger(state.ledger, image, topology, now_s, began, sessions.plugged)
    sampled = fresh_samples(state.background, image, topology)
    reversed_ = reversed_meters(state.plausibility)
    background = advance_background(
        state.background, image, topology, ledger, row_weights(image, topology, topology.wired), reversed_, now_s
    )
    learning, lending = _learnt(image, state, topology, sessions, began, switching, ledger, now_s)
    return replace(
        state,
        complete=state.complete or _complete(image, state, topology, now_s),
        fire_latched=state.fire_latched or image.fire == int(Fire.ACTIVE),
        operator_limit_mw=_operator_limit(image, state),
        sessions=sessions,
        ledger=ledger,
        background=background,
        plausibility=advance_plausibility(state.plausibility, image, background, sampled, topology, now_s),
        learning=learning,
        lending=lending,
        obedience=advance_obedience(state.obedience, image, topology, ledger, began=plugged_in, now_s=now_s),
        protection=advance_protection(state.protection, image, topology, now_s, dt_s),
        switching=switching,
        guard=replace(state.guard, told_ma=told),
    )


def _learnt(
    image: Image,
    state: ControllerState,
    topology: Topology,
    sessions: Sessions,
    began: Bools,
    switching: Switching,
    ledger: Ledger,
    now_s: float,
) -> tuple[Learning, Lending]:
    """What the cars' draws teach: conductors in use, and current that may be lent."""
    fresh = image.asset_sample_s > state.sessions.reading_s
    offer = state.ledger.offer_ma
    paused = (offer == 0) & ~sessions.satisfied
    switched = (switching.step == Step.IDLE) & (state.switching.step != Step.IDLE)
    learning = advance_learning(
        state.learning,
        image,
        topology,
        fresh=fresh,
        reset=began | paused | switched,
        offer_ma=offer,
        lost_s=ledger.lost_s,
        now_s=now_s,
    )
    lending = advance_lending(
        state.lending,
        image,
        topology,
        fresh=fresh,
        began=began,
        offer_ma=offer,
        waited_for=somebody_waits(state.lending, state.commands, topology, learning.use),
        now_s=now_s,
    )
    return learning, lending


def _overloaded(image: Image, state: ControllerState, topology: Topology) -> Bools:
    """(N,) assets below a circuit that carries more than its rating or is still warm from it."""
    over = (image.meter_ma != MISSING) & (image.meter_ma > topology.rated_ma)
    hot = (over.any(axis=1) & topology.metered) | (state.protection.level > 0)
    return np.asarray((topology.ancestry[hot] > 0).any(axis=0), dtype=np.bool_)


def _complete(image: Image, state: ControllerState, topology: Topology, now_s: float) -> bool:
    """Every input was seen once, or has had 10 s to show itself and is declared lost."""
    if now_s - state.start_s >= BOOT_LOST_S:
        return True
    meters: Bools = (image.meter_sample_s > NEVER_S) | ~topology.metered
    assets: Bools = (image.asset_sample_s > NEVER_S) & (image.reply_s > NEVER_S)
    return bool(meters.all() and assets.all() and image.fire != int(Fire.UNKNOWN))


def _operator_limit(image: Image, state: ControllerState) -> int:
    """An absent input keeps the limit in force, also over a restart; only an explicit "no limit" lifts it."""
    if image.operator_limit_mw == MISSING:
        return state.operator_limit_mw
    return MISSING if image.operator_limit_mw >= NO_LIMIT else max(0, image.operator_limit_mw)
