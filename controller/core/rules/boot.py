"""Failsafe until the first complete image, and while an error is being sat out."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def boot(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Nothing is offered before every input was seen or declared lost; after an error nothing above the failsafe."""
    none = np.zeros(params.topology.n, dtype=np.int64)
    if not state.complete:
        return Cap(Reason.BOOT, high_ma=none, low_ma=none)
    if not state.error_scans:
        return Cap(Reason.BOOT)
    last = np.maximum(state.ledger.offer_ma, 0)
    safe = np.where(params.topology.is_evse, np.minimum(last, params.topology.failsafe_ma), 0)
    return Cap(Reason.FAILSAFE, high_ma=safe, low_ma=none)
