"""While the number of phases changes the contactor is open and nothing is offered."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def phase_switching(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Ceiling 0 in every step of the machine but idle."""
    return Cap(Reason.PHASE_SWITCHING, high_ma=np.where(state.switching.step > 0, 0, NO_LIMIT))
