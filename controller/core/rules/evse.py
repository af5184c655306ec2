"""What the state of an EVSE allows."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image, Pilot
from interfaces.domain.reasons import Reason

UNREACHABLE_TO_FAILSAFE_S = 30.0
"""A short gap keeps the last offer, so that a lost packet interrupts no session."""


def no_car(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """State A is offered 0 A: a car that plugs in draws nothing before it was admitted."""
    idle = params.topology.is_evse & ~state.sessions.plugged
    return Cap(Reason.NO_CAR, high_ma=np.where(idle, 0, NO_LIMIT))


def fault(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Pilot E or F: out of service."""
    bad = (image.pilot == int(Pilot.E)) | (image.pilot == int(Pilot.F))
    return Cap(Reason.EVSE_FAULT, high_ma=np.where(params.topology.is_evse & bad, 0, NO_LIMIT))


def unreachable(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Never above the last offer; after 30 s not above the failsafe either. Batteries stop."""
    topology = params.topology
    silent_s = now_s - state.ledger.lost_s
    lost = ~np.isposinf(state.ledger.lost_s)
    keep = np.maximum(state.ledger.offer_ma, 0)
    keep = np.where(silent_s > UNREACHABLE_TO_FAILSAFE_S, np.minimum(keep, topology.failsafe_ma), keep)
    keep = np.where(topology.is_evse, keep, 0)
    low = np.where(lost, 0, -NO_LIMIT)
    return Cap(Reason.UNREACHABLE, high_ma=np.where(lost, keep, NO_LIMIT), low_ma=low)


def installation_limit(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """What is driven through a maker's service is never offered more than its installation is set to use there."""
    topology = params.topology
    return Cap(Reason.RATED, high_ma=np.where(topology.remote, topology.failsafe_ma, NO_LIMIT))


def declared_off(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """De-energised by declaration of an installer."""
    return Cap(Reason.DECLARED_OFF, high_ma=np.where(image.declared_off, 0, NO_LIMIT))
