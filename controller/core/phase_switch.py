"""One- and three-phase charging: pause, wait for the open contactor, switch, settle. Never a reaction to overload.

Both modes are reserved while the machine runs (the car counts on all its wires), ten minutes pass between two switches
of one charger, and after two failures in a session it is left alone: some cars are damaged by careless switching.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import numpy as np

from controller.core.params import (
    PHASE_DWELL_S,
    PHASE_OPEN_S,
    PHASE_SETTLE_S,
    PHASE_TIMEOUT_S,
    PHASE_TRIES,
    RESTART_FIT_S,
    USED_MA,
)
from controller.core.records import Ledger, Switching
from interfaces.domain.image import Image, Pilot
from interfaces.domain.measured import busiest_ma
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, Bools, Ints


class Step(IntEnum):
    """Steps of the machine."""

    IDLE = 0
    PAUSING = 1
    SWITCHING = 2
    SETTLING = 3


def advance_switching(
    state: Switching, image: Image, topology: Topology, ledger: Ledger, began: Bools, overloaded: Bools, now_s: float
) -> Switching:
    """One step of every machine. Transitions: idle -> pausing (goal differs, dwell over, no circuit above overloaded),
    pausing -> switching (no current, pause read back, contactor open 6 s), switching -> settling (mode read back),
    either -> idle (2 min: failed), settling -> idle (a minute).
    """
    if not topology.can_switch.any():
        return state
    failures = np.where(began, 0, state.failures)
    drawn = busiest_ma(image)
    quiet = (ledger.exposure_ma == 0) | (
        (ledger.offer_ma == 0) & (image.readback_s > ledger.change_s) & (image.offered_ma == 0)
    )
    opened = quiet & (drawn < USED_MA) & (image.pilot != int(Pilot.C2)) & (image.pilot != int(Pilot.D2))
    waited = now_s - np.maximum(state.step_s, ledger.change_s)
    shown = np.where(image.phases_now == MISSING, np.where(waited >= PHASE_OPEN_S, state.goal, 0), image.phases_now)
    may = topology.can_switch & (state.goal != state.mode) & (now_s - state.dwell_s >= PHASE_DWELL_S)
    start = (state.step == Step.IDLE) & may & (failures < PHASE_TRIES) & ~overloaded
    switch = (state.step == Step.PAUSING) & opened & (waited >= PHASE_OPEN_S)
    settle = (state.step == Step.SWITCHING) & (shown == state.goal)
    stuck = ((state.step == Step.PAUSING) & ~switch) | ((state.step == Step.SWITCHING) & ~settle)
    failed = stuck & (now_s - state.step_s >= PHASE_TIMEOUT_S)
    ready = (state.step == Step.SETTLING) & (now_s - state.step_s >= PHASE_SETTLE_S)
    step = np.select(
        [start, switch, settle, failed | ready],
        [int(Step.PAUSING), int(Step.SWITCHING), int(Step.SETTLING), int(Step.IDLE)],
        state.step,
    )
    moved = start | switch | settle | failed | ready
    return replace(
        state,
        mode=np.where(settle, state.goal, state.mode),
        goal=np.where(failed, state.mode, state.goal),
        step=step,
        step_s=np.where(moved, now_s, state.step_s),
        dwell_s=np.where(settle, now_s, state.dwell_s),
        failures=failures + failed,
    )


def set_goals(
    state: Switching, on_one: Bools, three_fits: Bools, plugged: Bools, topology: Topology, now_s: float
) -> Switching:
    """Goals after an allocation: one phase where only that fits, three where minimum + 2 A have fitted for 30 s."""
    if not topology.can_switch.any():
        return state
    want_s = np.where((state.mode == 1) & three_fits & plugged, np.minimum(state.want_s, now_s), np.inf)
    wanted = np.where(on_one, 1, np.where(now_s - want_s >= RESTART_FIT_S, 3, state.mode))
    wanted = np.where(plugged, wanted, state.mode)
    return replace(state, goal=np.where(state.step == Step.IDLE, wanted, state.goal), want_s=want_s)


def phase_orders(state: Switching) -> Ints:
    """(N,) phases to command: the goal while switching, else 0 (leave as it is)."""
    return np.where(state.step == Step.SWITCHING, state.goal, 0)


def mode_use(state: Switching, use: Ints, image: Image, topology: Topology) -> Ints:
    """(N, 3) conductors that count: the first alone in one-phase mode at rest, all wires while anything moves."""
    if not topology.can_switch.any():
        return use
    single = (state.mode == 1) & (state.step == Step.IDLE) & topology.can_switch
    moving = (state.step != Step.IDLE) & topology.can_switch
    elsewhere = ((image.asset_ma != MISSING) & (image.asset_ma > USED_MA) & (topology.first_wire == 0)).any(axis=1)
    single &= ~elsewhere & (image.phases_now != 3)
    use = np.where(single[:, None], topology.first_wire, use)
    return np.where(moving[:, None], topology.wired, use)
