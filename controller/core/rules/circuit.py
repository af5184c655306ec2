"""What each circuit has left: static limit, margins and measured background (design 4.1)."""

from __future__ import annotations

from controller.core.background import budget_rows
from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def circuit(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Budgets of all rows."""
    return Cap(Reason.CIRCUIT, budget=budget_rows(state.background, image, params.topology, now_s))
