"""Whether the device that answers is the one that belongs there."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Identity, Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import AssetKind
from interfaces.domain.units import Bools, Ints


def other_device(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Another device than the bound one: at most its last offer and its failsafe; batteries rest."""
    other = image.identity == int(Identity.OTHER)
    high = np.minimum(_last_offer(state, params), params.topology.failsafe_ma)
    return _cap(Reason.OTHER_DEVICE, other, high, params)


def unproven_device(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """One that has not told who it is since it connected: at most its last offer."""
    return _cap(Reason.UNPROVEN_DEVICE, image.identity == int(Identity.UNPROVEN), _last_offer(state, params), params)


def _last_offer(state: ControllerState, params: Params) -> Ints:
    result: Ints = np.where(params.topology.is_evse, np.maximum(state.ledger.offer_ma, 0), 0)
    return result


def _cap(reason: Reason, where: Bools, high_ma: Ints, params: Params) -> Cap:
    battery = params.topology.kind == int(AssetKind.BATTERY)
    return Cap(reason, high_ma=np.where(where, high_ma, NO_LIMIT), low_ma=np.where(where & battery, 0, -NO_LIMIT))
