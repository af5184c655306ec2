"""Failsafe until the first complete image."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def boot(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Nothing is offered before every input was seen or declared lost, nor while an error is being sat out."""
    if state.complete and not state.error_scans:
        return Cap(Reason.BOOT)
    none = np.zeros(params.topology.n, dtype=np.int64)
    return Cap(Reason.FAILSAFE if state.error_scans else Reason.BOOT, high_ma=none, low_ma=none)
