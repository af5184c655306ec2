"""A car that draws more than offered, or a charger that does not apply what it acknowledged, is paused."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.obedience import disobeying, not_applied
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def obedience(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Ceiling 0 while disobeying."""
    bad = disobeying(state.obedience, now_s) | not_applied(state.obedience, now_s)
    return Cap(Reason.DISOBEYS, high_ma=np.where(bad & params.topology.is_evse, 0, NO_LIMIT))
