"""What an operator ordered of single chargers: a limit, a pause, out of service. It only ever lowers."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.units import MISSING


def ordered_limit(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """An upper value per conductor; below the minimum current it is a pause."""
    if image.orders is None:
        return Cap(Reason.ORDERED_LIMIT)
    limit = image.orders.limit_ma
    return Cap(Reason.ORDERED_LIMIT, high_ma=np.where(limit == MISSING, NO_LIMIT, np.maximum(limit, 0)))


def ordered_pause(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Nothing until resumed."""
    if image.orders is None:
        return Cap(Reason.ORDERED_PAUSE)
    return Cap(Reason.ORDERED_PAUSE, high_ma=np.where(image.orders.paused, 0, NO_LIMIT))


def out_of_service(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Serves nobody until resumed; a battery does not discharge either."""
    if image.orders is None:
        return Cap(Reason.OUT_OF_SERVICE)
    off = image.orders.out_of_service
    return Cap(Reason.OUT_OF_SERVICE, high_ma=np.where(off, 0, NO_LIMIT), low_ma=np.where(off, 0, -NO_LIMIT))
