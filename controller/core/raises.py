"""Only downward edits of the allocation: ramps, timers and the ledger decide how fast a target is reached.

A decrease is commanded at once. A raise needs room that is really free on every row above, exposure included, samples
of all its meters newer than that circuit's last raise + 1 s, 5 s since the asset's own last raise, and is at most 5 A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core.allocate import NOBODY, flat_rows
from controller.core.background import meter_raises_allowed, row_sums
from controller.core.params import (
    LATE_SCANS_STOP_RAISES,
    NO_LIMIT,
    RAISE_EVERY_S,
    RAISE_LEAST_MA,
    ROW_RAISE_GAP_S,
    Params,
)
from controller.core.state import ControllerState
from interfaces.domain.image import Image
from interfaces.domain.reasons import Reason
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import PERMILLE, Bools, Ints


@dataclass(frozen=True, slots=True)
class Granted:
    """``setpoint_ma`` (N,) after ramps and ledger; ``reason`` (N,) why below target (NONE where it is not);
    ``binding`` (N,) the row that made it wait.
    """

    setpoint_ma: Ints
    reason: Ints
    binding: Ints


def grant(
    target_ma: Ints,
    order: tuple[int, ...],
    budget: Ints,
    costs: Ints,
    image: Image,
    state: ControllerState,
    params: Params,
    now_s: float,
) -> Granted:
    """Setpoints of this scan. ``budget`` (C, 4) in force; ``costs`` (N, 4) by the conductors that count."""
    # What feeds in rises from 0: whether it goes on is the export side's, not a decrease that would be kept for ever.
    offer = np.maximum(state.ledger.offer_ma, 0)
    setpoint = np.minimum(target_ma, offer)
    rising = [i for i in order if target_ma[i] > offer[i]]
    if params.ledger and rising:
        free = _free_rows(budget, costs, state, params)
        return _in_turn(rising, setpoint, target_ma, free, costs, image, state, params, now_s)
    if rising:
        setpoint = _naive(setpoint, target_ma, state, params, now_s)
    return Granted(setpoint, np.full_like(setpoint, int(Reason.NONE)), np.full_like(setpoint, NOBODY))


def _free_rows(budget: Ints, costs: Ints, state: ControllerState, params: Params) -> list[int]:
    """What is really free on every row, flat: budget less exposure; NO_LIMIT where unlimited."""
    free = budget - row_sums(params.topology, costs * state.ledger.exposure_ma[:, None])
    result: list[int] = np.where(budget >= NO_LIMIT, NO_LIMIT, free).ravel().tolist()
    return result


def _in_turn(
    rising: list[int],
    setpoint: Ints,
    target_ma: Ints,
    free: list[int],
    costs: Ints,
    image: Image,
    state: ControllerState,
    params: Params,
    now_s: float,
) -> Granted:
    """One raise for each of ``rising`` that may have one, each charged to ``free`` at once."""
    topology, creep = params.topology, state.ledger.creep_permille.tolist()
    offer = np.maximum(state.ledger.offer_ma, 0)
    reason = np.full(topology.n, int(Reason.NONE), dtype=np.int64)
    binding = np.full(topology.n, NOBODY, dtype=np.int64)
    shut, waits = shut_circuits(image, state, topology, now_s)
    cost_list, out = costs.tolist(), setpoint.tolist()
    for i in rising:
        blocked = next((c for c in topology.chain[i] if shut[c]), NOBODY)
        if blocked != NOBODY:
            reason[i], binding[i] = int(waits), blocked * ROWS_PER_CIRCUIT
            continue
        if now_s - state.ledger.raise_s[i] < RAISE_EVERY_S:
            reason[i] = int(Reason.RAMP)
            continue
        rows = flat_rows(i, cost_list[i], free, topology)
        amps, tight = _one_raise(i, int(target_ma[i]), int(offer[i]), rows, free, state, params, creep[i])
        if amps < int(target_ma[i]):
            reason[i], binding[i] = int(Reason.RAMP if tight == NOBODY else Reason.LEDGER_WAIT), tight
        if amps <= offer[i]:
            continue
        out[i] = amps
        gain = max(0, amps + amps * creep[i] // PERMILLE - int(state.ledger.exposure_ma[i]))
        for r, k in rows:
            free[r] -= k * gain
    return Granted(np.array(out, dtype=np.int64), reason, binding)


def _one_raise(
    i: int,
    target: int,
    offer: int,
    rows: list[tuple[int, int]],
    free: list[int],
    state: ControllerState,
    params: Params,
    creep_permille: int,
) -> tuple[int, int]:
    """Largest new offer, and the row that keeps it below its ramp (-1: the ramp itself)."""
    topology = params.topology
    step, floor = int(topology.step_ma[i]), int(topology.min_ma[i])
    ramp = max(offer + int(topology.ramp_ma[i]), floor)
    exposure = int(state.ledger.exposure_ma[i])
    room, tight = NO_LIMIT, NOBODY
    for r, k in rows:
        if free[r] // k < room:
            room, tight = free[r] // k, r
    if room < 0:
        return offer, tight
    possible = (exposure + room) * PERMILLE // (PERMILLE + creep_permille)
    amps = min(target, ramp, possible) // step * step
    least = min(offer + max(step, RAISE_LEAST_MA), target)
    if amps < max(least, floor if topology.is_evse[i] else 0):
        return offer, tight if possible < min(target, ramp) else NOBODY
    return amps, tight if possible < min(target, ramp) else NOBODY


def shut_circuits(image: Image, state: ControllerState, topology: Topology, now_s: float) -> tuple[Bools, Reason]:
    """(C,) circuits below which nothing may rise now, and why."""
    if image.late_in_a_row >= LATE_SCANS_STOP_RAISES:
        return np.ones(topology.c, dtype=np.bool_), Reason.OVERRUN
    old = ~meter_raises_allowed(image, topology, now_s) & ~state.background.lost
    newer = image.meter_sample_s > state.ledger.row_raise_s + ROW_RAISE_GAP_S
    waits = topology.metered & ~newer & ~state.background.lost
    lost_wait = state.background.lost & (now_s - state.ledger.row_raise_s <= ROW_RAISE_GAP_S)
    return old | waits | lost_wait, Reason.NO_RAISE_YET


def _naive(setpoint: Ints, target_ma: Ints, state: ControllerState, params: Params, now_s: float) -> Ints:
    """Comparison policy of the simulator: offers swapped in one scan, same ramps, no ledger."""
    topology = params.topology
    due = now_s - state.ledger.raise_s >= RAISE_EVERY_S
    ramp = np.maximum(np.maximum(state.ledger.offer_ma, 0) + topology.ramp_ma, topology.min_ma)
    raised = np.minimum(target_ma, ramp) // topology.step_ma * topology.step_ma
    result: Ints = np.where((target_ma > setpoint) & due, np.maximum(raised, setpoint), setpoint)
    return result
