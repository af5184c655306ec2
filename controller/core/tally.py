"""How plan and fallback have taken turns: counted from what every scan says, for people and for tests. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.core.background import row_weights
from controller.core.state import ControllerState
from interfaces.domain.command import Commands
from interfaces.domain.image import Image
from interfaces.domain.topology import POWER_ROW, Topology
from interfaces.domain.units import Bools, w_from_mw


@dataclass(frozen=True, slots=True)
class Tally:
    """``switches`` between plan and fallback; ``fallback_s`` without a plan; ``max_step_w``: largest change of the
    site's commanded power from one scan to the next that a switch made. Counted from the first complete image on.
    """

    switches: int = 0
    fallback_s: float = 0.0
    max_step_w: float = 0.0


NOTHING_YET: Final = Tally()


def tally_after(
    tally: Tally,
    before: ControllerState,
    after: ControllerState,
    commands: Commands,
    image: Image,
    topology: Topology,
    now_s: float,
) -> Tally:
    """The count after one scan that led from ``before`` to ``after``."""
    if not before.complete:
        return tally
    switched = before.mission.source != after.mission.source
    if after.mission.source != "plan":
        tally = replace(tally, fallback_s=tally.fallback_s + max(now_s - before.previous_s, 0.0))
    if switched:
        tally = replace(tally, switches=tally.switches + 1)
    changing = before.handover.sliding | after.handover.sliding
    if not (switched or changing.any()):
        return tally
    step_w = _step_w(before, commands, changing, image, topology)
    return tally if step_w <= tally.max_step_w else replace(tally, max_step_w=step_w)


def _step_w(before: ControllerState, commands: Commands, changing: Bools, image: Image, topology: Topology) -> float:
    """What the assets that change over were moved by; what circuits or operators took is none of it."""
    moved = commands.setpoint_ma - before.ledger.offer_ma
    wished = np.where(moved < 0, commands.wish_ma < before.ledger.offer_ma, True)
    own = changing & wished & (before.sessions.plugged | ~topology.is_evse)
    cost = row_weights(image, topology, topology.wired)[:, POWER_ROW]
    return abs(w_from_mw(int((moved * cost)[own].sum())))
