"""The grid operator: a stop, or a limit of net active power at the grid connection point."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, ROWS_PER_CIRCUIT
from interfaces.domain.units import MISSING


def operator_stop(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Emergency stop of consumption and feed-in."""
    if not image.operator_stop:
        return Cap(Reason.OPERATOR_STOP)
    none = np.zeros(params.topology.n, dtype=np.int64)
    return Cap(Reason.OPERATOR_STOP, high_ma=none, low_ma=none)


def operator_limit(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Net import at the connection; no margin on power rows. 0 W is a limit, not its absence."""
    limit_mw = state.operator_limit_mw
    if limit_mw == MISSING:
        return Cap(Reason.OPERATOR_LIMIT)
    budget = np.full((params.topology.c, ROWS_PER_CIRCUIT), NO_LIMIT, dtype=np.int64)
    budget[0, POWER_ROW] = max(0, limit_mw - int(state.background.estimate[0, POWER_ROW]))
    return Cap(Reason.OPERATOR_LIMIT, budget=budget)
