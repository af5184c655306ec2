"""Unused current that was lent to a waiting car."""

from __future__ import annotations

from controller.core.envelope import Cap
from controller.core.params import Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason


def lent(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """The lowered ceiling of the lending state."""
    return Cap(Reason.LENT, high_ma=state.lending.ceiling_ma)
