"""Which phases a car really uses, per session, worst case first.

A one-phase car on L1 must never be cut for L3. A wire is unused after 60 s below 0.5 A while another wire of the same
car carries more than 4 A; any reading above 1 A counts it again at once. The N-1 rule pays for being wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.params import (
    LEARN_S,
    OFFLINE_RESET_S,
    OTHER_WIRE_MA,
    SLOW_POLL_S,
    UNUSED_MA,
    USED_MA,
)
from controller.core.records import Learning
from interfaces.domain.image import Image, Pilot
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, NEVER_S, Bools, Floats, Ints


def advance_learning(
    state: Learning,
    image: Image,
    topology: Topology,
    *,
    fresh: Bools,
    reset: Bools,
    offer_ma: Ints,
    lost_s: Floats,
    now_s: float,
) -> Learning:
    """Next knowledge. ``fresh`` (N,) a new reading arrived; ``reset`` (N,) session began, was paused or switched."""
    reset = reset | (now_s - lost_s > OFFLINE_RESET_S)
    if not (fresh | reset).any():
        return state
    missing = image.asset_ma == MISSING
    current = np.where(missing, 0, image.asset_ma)
    charging = (image.pilot == int(Pilot.C2)) | (image.pilot == int(Pilot.D2))
    able = topology.is_evse & topology.measures_phases & (topology.poll_s <= SLOW_POLL_S) & charging
    able &= (offer_ma >= topology.min_ma) & ~missing.any(axis=1)
    busy = (current > OTHER_WIRE_MA).any(axis=1) & able
    idle = (topology.wired > 0) & (current < UNUSED_MA) & busy[:, None]
    unused_s = np.where(idle, np.minimum(state.unused_s, now_s), np.where(fresh[:, None], np.inf, state.unused_s))
    drop = idle & fresh[:, None] & (now_s - unused_s >= LEARN_S)
    back = fresh[:, None] & (current > USED_MA) & (state.use < topology.wired)
    use = np.where(drop, 0, state.use)
    use = np.where(back | reset[:, None], topology.wired, use)
    return replace(
        state,
        use=use,
        unused_s=np.where(reset[:, None], np.inf, unused_s),
        relearned_s=np.where(back.any(axis=1), now_s, np.where(reset, NEVER_S, state.relearned_s)),
    )
