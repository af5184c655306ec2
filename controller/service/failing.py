"""What a scan that failed leaves behind, computed the same way in the loop and in a replay: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from controller.core.params import Params
from controller.core.scan import after_error, failsafe
from controller.core.state import ControllerState
from interfaces.domain.command import Alarm, Commands, Report
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import Topology
from interfaces.domain.units import NEVER_S, Ints


def failsafe_outcome(
    image: Image, state: ControllerState, params: Params, now_s: float
) -> tuple[Commands, ControllerState]:
    """Failsafe commands and the state that knows them.

    A controller that has not begun to command gives them no lease: devices keep what they were told before.
    """
    commands = failsafe(state, params, now_s)
    if not state.complete:
        commands = replace(commands, valid_until_s=now_s)
    return commands, after_error(commands, state, params, image, now_s)


STOPPED: Final = "stopped"
"""The reason of the last outputs of a process that ends on purpose."""


def report_after(before: Report, reason: str) -> Report:
    """The last report after a failsafe output: with the alarm of a failed scan, unless it was a stop on purpose."""
    if reason == STOPPED:
        return replace(before, mode=STOPPED)
    alarm = Alarm(int(Reason.ALARM_SCAN_ERROR))
    others = tuple(one for one in before.alarms if one != alarm)
    return replace(before, mode="error", alarms=(*others, alarm))


def blank_report(topology: Topology) -> Report:
    """A report that knows nothing, for a scan that failed before any other."""

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    n, c = topology.n, topology.c
    return Report(
        budget_ma=zeros(c, 3),
        budget_mw=zeros(c),
        background_ma=zeros(c, 3),
        exposure_ma=zeros(c, 3),
        theta_ppm=zeros(c, 3),
        asset_exposure_ma=zeros(n),
        phase_use=zeros(n, 3),
        session_s=np.full(n, NEVER_S),
        energy_wh=zeros(n),
        mode="error",
        alarms=(),
    )
