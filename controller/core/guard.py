"""The guard: an independent, simpler recomputation of every circuit row, last before the outputs.

It imports nothing from allocation or ledger and walks the circuits in plain loops. Its memory is its own: the last
commands of each asset in slots of a second, as long as a car may still follow them.

A row is safe when what every asset below it may draw after these commands fits its budget; or when no command below it
rises and what reachable assets are told fits what unreachable ones leave of the budget (budgets can fall faster than
cars obey; then the fuse's patience, not a failsafe, covers the 10 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.records import GUARD_SLOTS, GuardMemory
from interfaces.domain.image import FailsafeProof, Image, Pilot
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import MISSING, Ints

PILOT_HOLD_S: Final[float] = 5.0
"""An empty place may still signal an old offer this long (IEC 61851-1 table A.6); the next car never sees it."""
METER_CLASS_MA: Final[int] = 1000
"""A conductor reading this far above everything believed is current the guard counts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``bad``: circuits with a violated row, with the row. ``memory``: the guard's memory after these commands."""

    bad: tuple[tuple[int, int], ...]
    memory: GuardMemory


def guard(
    setpoint_ma: Ints,
    budget: Ints,
    cost: Ints,
    memory: GuardMemory,
    image: Image,
    topology: Topology,
    lost: tuple[bool, ...],
    now_s: float,
) -> Verdict:
    """Check commands (N,) against ``budget`` (C, 4) with ``cost`` (N, 4) per mA; ``lost`` (N,) unreachable assets."""
    slot_s = max(1.0, float(topology.release_s.max(initial=0.0)) / (GUARD_SLOTS - 1))
    history = _history(memory, setpoint_ma, int(now_s // slot_s))
    starts_s = (int(now_s // slot_s) - np.arange(GUARD_SLOTS)) * slot_s
    empty = topology.is_evse & (image.pilot == int(Pilot.A)) & (image.offered_ma == 0) & (setpoint_ma == 0)
    hold_s = np.where(empty, np.minimum(PILOT_HOLD_S, topology.release_s), topology.release_s)
    history = np.where(starts_s[:, None] + hold_s > now_s, history, 0)
    believed = np.maximum(np.maximum(setpoint_ma, history.max(axis=0)), np.where(empty, topology.idle_ma, 0))
    told, before, readings = setpoint_ma.tolist(), memory.told_ma.tolist(), image.asset_ma.tolist()
    most = np.maximum(believed, 0).tolist()
    draws = [
        _unreachable(i, most[i], image, topology) if lost[i] else _seen(most[i], readings[i]) for i in range(topology.n)
    ]
    bad = []
    costs, limits = cost.tolist(), budget.tolist()
    for c in range(topology.c):
        below = _assets_below(c, topology)
        rising = [i for i in below if told[i] > max(before[i], 0)]
        for r in range(ROWS_PER_CIRCUIT):
            if sum(draws[i] * costs[i][r] for i in below) <= limits[c][r]:
                continue
            taken = sum(draws[i] * costs[i][r] for i in below if lost[i])
            asked = sum(max(told[i], 0) * costs[i][r] for i in below if not lost[i])
            if any(costs[i][r] for i in rising) or asked > max(0, limits[c][r] - taken):
                bad.append((c, r))
    return Verdict(tuple(bad), GuardMemory(setpoint_ma, history, int(now_s // slot_s)))


def _history(memory: GuardMemory, setpoint_ma: Ints, slot: int) -> Ints:
    """Slots moved on to the present one, which holds what was in force in it: the last command and this one."""
    gone = min(max(slot - memory.slot, 0), GUARD_SLOTS)
    history = np.roll(memory.history_ma, gone, axis=0)
    history[:gone] = memory.told_ma
    history[0] = np.maximum(np.maximum(history[0], memory.told_ma), setpoint_ma)
    return history


def _seen(believed: int, reading: list[int]) -> int:
    """Milliamperes per conductor: what it may believe, or a reading well above that."""
    measured = max((v for v in reading if v != MISSING), default=0)
    return measured if measured > believed + METER_CLASS_MA else believed


def _unreachable(i: int, believed: int, image: Image, topology: Topology) -> int:
    """An unreachable asset counts its failsafe and boot current, unproven its nameplate; declared off nothing."""
    if bool(image.declared_off[i]):
        return 0
    proven = int(image.failsafe_proof[i]) == int(FailsafeProof.VERIFIED) or bool(topology.failsafe_trusted[i])
    after = max(int(topology.failsafe_ma[i]), int(topology.boot_ma[i])) if proven else int(topology.max_ma[i])
    return max(believed, after) if bool(topology.is_evse[i]) else believed


def _assets_below(c: int, topology: Topology) -> list[int]:
    """Columns below a circuit, walked down the tree."""
    found: list[int] = []
    open_circuits = [c]
    while open_circuits:
        k = open_circuits.pop()
        found.extend(topology.members[k])
        open_circuits.extend(topology.children[k])
    return found
