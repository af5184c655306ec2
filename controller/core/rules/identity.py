"""Whether the device that answers is the one that belongs there."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Identity, Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import AssetKind


def identity(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Another device than the bound one: at most its last offer and its failsafe; batteries rest. One that has not told
    who it is since it connected: at most its last offer.
    """
    topology = params.topology
    last = np.where(topology.is_evse, np.maximum(state.ledger.offer_ma, 0), 0)
    safe = np.minimum(last, topology.failsafe_ma)
    other, unproven = image.identity == int(Identity.OTHER), image.identity == int(Identity.UNPROVEN)
    high = np.where(other, safe, np.where(unproven, last, NO_LIMIT))
    battery = topology.kind == int(AssetKind.BATTERY)
    return Cap(Reason.OTHER_DEVICE, high_ma=high, low_ma=np.where((other | unproven) & battery, 0, -NO_LIMIT))
