"""What each circuit has left: static limit, margins and measured background (design 4.1)."""

from __future__ import annotations

import numpy as np

from controller.core.background import budget_rows
from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def circuit(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Budgets of all rows whose meter can be believed, or that have none."""
    rows = budget_rows(state.background, image, params.topology, now_s)
    lost = state.background.lost
    return Cap(Reason.CIRCUIT, budget=np.where(lost[:, None], NO_LIMIT, rows) if lost.any() else rows)


def stale_meter(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Budgets below a meter that is silent, frozen or reversed: the worst-case background stands in."""
    lost = state.background.lost
    if not lost.any():
        return Cap(Reason.STALE_METER)
    rows = budget_rows(state.background, image, params.topology, now_s)
    return Cap(Reason.STALE_METER, budget=np.where(lost[:, None], rows, NO_LIMIT))
