"""Shedding by the overload memory of a circuit: reduce, pause the lowest tier, stop all (design 4.4)."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.units import Bools


def _below(state: ControllerState, params: Params, level: int) -> Bools:
    hot = state.protection.level >= level
    return np.asarray((params.topology.ancestry[hot] > 0).any(axis=0), dtype=np.bool_)


def protection_reduce(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """At 0.1 of tripping everything below the circuit goes to its minimum."""
    below = _below(state, params, 1)
    if not below.any():
        return Cap(Reason.PROTECTION_REDUCE)
    return Cap(Reason.PROTECTION_REDUCE, high_ma=np.where(below, params.topology.min_ma, NO_LIMIT))


def protection_pause(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """At 0.3 the lowest tier in use below the circuit is paused, and no lower one may start."""
    topology = params.topology
    paused = np.zeros(topology.n, dtype=np.bool_)
    for c in np.flatnonzero(state.protection.level >= 2):
        below = (topology.ancestry[c] > 0) & topology.is_evse & (state.ledger.exposure_ma > 0)
        if below.any():
            paused |= (topology.ancestry[c] > 0) & (topology.tier >= topology.tier[below].max())
    if not paused.any():
        return Cap(Reason.PROTECTION_PAUSE)
    return Cap(Reason.PROTECTION_PAUSE, high_ma=np.where(paused, 0, NO_LIMIT))


def protection_stop(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """At 0.5, or above 1.13 x rated where no curve is known, all stop."""
    below = _below(state, params, 3)
    if not below.any():
        return Cap(Reason.PROTECTION_STOP)
    return Cap(Reason.PROTECTION_STOP, high_ma=np.where(below, 0, NO_LIMIT))
