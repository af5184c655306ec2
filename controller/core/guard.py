"""The guard: an independent, simpler recomputation of every circuit row, last before the outputs.

It imports nothing from allocation or ledger and walks the circuits in plain loops. Its memory is its own: the last
command of each asset and the highest revoked one while a car may still follow it.

A row is safe when what every asset below it may draw after these commands fits its budget; or when no command below it
rises and what reachable assets are told fits what unreachable ones leave of the budget (budgets can fall faster than
cars obey; then the fuse's patience, not a failsafe, covers the 10 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.core.records import GuardMemory
from interfaces.domain.image import FailsafeProof, Image
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import MISSING, Ints

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
    told, hold = setpoint_ma.tolist(), memory.hold_ma.tolist()
    before, until = memory.told_ma.tolist(), memory.hold_until_s.tolist()
    draws, bad = [], []
    for i in range(topology.n):
        if told[i] < before[i]:
            hold[i] = max(before[i], hold[i] if until[i] > now_s else 0)
            until[i] = now_s + float(topology.release_s[i])
        believed = max(told[i], hold[i] if until[i] > now_s else 0, 0)
        draws.append(_may_draw(i, believed, image, topology, lost[i]))
    costs, limits = cost.tolist(), budget.tolist()
    for c in range(topology.c):
        below = _assets_below(c, topology)
        rises = any(told[i] > max(before[i], 0) for i in below)
        for r in range(ROWS_PER_CIRCUIT):
            if sum(draws[i] * costs[i][r] for i in below) <= limits[c][r]:
                continue
            taken = sum(draws[i] * costs[i][r] for i in below if lost[i])
            asked = sum(max(told[i], 0) * costs[i][r] for i in below if not lost[i])
            if rises or asked > max(0, limits[c][r] - taken):
                bad.append((c, r))
    return Verdict(tuple(bad), _memory(told, hold, until))


def _may_draw(i: int, believed: int, image: Image, topology: Topology, lost: bool) -> int:
    """Milliamperes per conductor; an unreachable asset counts its failsafe and boot current, unproven its nameplate."""
    if lost:
        if bool(image.declared_off[i]):
            return 0
        proven = int(image.failsafe_proof[i]) == int(FailsafeProof.VERIFIED) or bool(topology.failsafe_trusted[i])
        after = max(int(topology.failsafe_ma[i]), int(topology.boot_ma[i])) if proven else int(topology.max_ma[i])
        return max(believed, after) if bool(topology.is_evse[i]) else believed
    measured = max((v for v in image.asset_ma[i].tolist() if v != MISSING), default=0)
    return measured if measured > believed + METER_CLASS_MA else believed


def _assets_below(c: int, topology: Topology) -> list[int]:
    """Columns below a circuit, walked down the tree."""
    found: list[int] = []
    open_circuits = [c]
    while open_circuits:
        k = open_circuits.pop()
        found.extend(topology.members[k])
        open_circuits.extend(topology.children[k])
    return found


def _memory(told: list[int], hold: list[int], until: list[float]) -> GuardMemory:
    return GuardMemory(
        np.array(told, dtype=np.int64), np.array(hold, dtype=np.int64), np.array(until, dtype=np.float64)
    )
