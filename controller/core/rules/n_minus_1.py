"""Phase learning may not cost safety: were one car to use all its conductors, the protective device carries it 34 s."""

from __future__ import annotations

import numpy as np

from controller.core.envelope import Cap
from controller.core.params import NO_LIMIT, Params
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import POWER_ROW, ROWS_PER_CIRCUIT


def n_minus_1(image: Image, state: ControllerState, params: Params, now_s: float) -> Cap:
    """Per row: kappa x rated - background - the most one car could add on a phase it was learned not to use."""
    topology = params.topology
    unused = topology.wired - state.learning.use
    if not unused.any():
        return Cap(Reason.N_MINUS_1)
    extra = np.where(unused > 0, unused * topology.max_ma[:, None], 0)
    largest = np.where(topology.ancestry[:, :, None] > 0, extra[None, :, :], 0).max(axis=1)
    budget = np.full((topology.c, ROWS_PER_CIRCUIT), NO_LIMIT, dtype=np.int64)
    background = np.maximum(state.background.estimate[:, :POWER_ROW], 0)
    room = np.maximum(topology.n_minus_1_ma - background - largest, 0)
    budget[:, :POWER_ROW] = np.where(largest > 0, room, NO_LIMIT)
    return Cap(Reason.N_MINUS_1, budget=budget)
