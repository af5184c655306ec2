"""Fire above all: every asset 0 in the same scan, latched until it was reset on site."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Fire, Image
from interfaces.domain.reasons import Reason


def fire(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """An unknown input acts as active."""
    if not state.fire_latched and image.fire == int(Fire.INACTIVE):
        return Cap(Reason.FIRE)
    none = np.zeros(params.topology.n, dtype=np.int64)
    return Cap(Reason.FIRE, high_ma=none, low_ma=none)
