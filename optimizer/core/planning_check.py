"""The last look at a plan: plain sums over the circuits of the problem, in whole milliamperes, and what to do about it.

It knows nothing of the linear program. Where a sum is above its limit less PV is held back, then the least urgent cars
there are lowered step by step, then batteries; what is left comes from the load itself or from a run that has to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, Floats, Ints
from optimizer.core.compile import Compiled
from optimizer.core.planning_rows import Column
from optimizer.core.problem import Problem

TOLERANCE_MA: Final[int] = 20
"""Of a circuit's sum: what whole device steps of batteries and PV leave; a fiftieth of the smallest margin."""
TOLERANCE_W: Final[float] = 50.0
"""Of the import limit, likewise: under a thousandth of any connection that has one."""
LOWERED_FIRST: Final[tuple[str, ...]] = ("pv", "evse", "battery", "buffer")


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a plan is above in step ``t``: by how much, in mA or W, and what a mA of each column adds to it."""

    where: str
    t: int
    by: float
    unit: str
    weight: Floats

    def in_words(self) -> str:
        """Such as ``circuit garage L1: 1.25 A in step 3``."""
        return f"{self.where}: {self.by / MILLI:.2f} {self.unit} in step {self.t}"


def kept(problem: Problem, compiled: Compiled, columns: list[Column]) -> tuple[list[Column], list[str]]:
    """The columns lowered until every limit holds that can, and a note for each limit that nothing could keep."""
    notes: list[str] = []
    current = [column.counted_ma.copy() for column in columns]
    for excess in _excesses(problem, compiled, columns, current):
        left = _lower(excess, columns, current)
        if left > 0:
            notes.append(f"{excess.in_words()} above its limit, which nothing can lower")
    # Of a PV plant what is held back counts, and holding back less means feeding in more.
    lowered = [
        replace(column, setpoint_ma=column.setpoint_ma - (column.counted_ma - mine), counted_ma=mine)
        for column, mine in zip(columns, current, strict=True)
    ]
    return lowered, notes


def excesses(problem: Problem, compiled: Compiled, columns: list[Column]) -> list[str]:
    """Where a plan is above a limit, in words; empty for a sound plan."""
    found = _excesses(problem, compiled, columns, [column.counted_ma for column in columns])
    return [one.in_words() for one in found]


def _excesses(problem: Problem, compiled: Compiled, columns: list[Column], current: list[Ints]) -> Iterator[Excess]:
    """One after the other, each judged by the currents as they are when it is asked for."""
    parent = {circuit.id: circuit.parent for circuit in problem.site.circuits}
    above = [_chain(column.circuit, parent) for column in columns]
    for k, circuit in enumerate(problem.site.circuits):
        for phase, name in enumerate(PHASES):
            weight = np.array(
                [c.conductors[phase] * (circuit.id in chain) for c, chain in zip(columns, above, strict=True)],
                dtype=np.float64,
            )
            room_a = np.maximum(compiled.limits.limit_a[k, phase] - compiled.background.fuse_a[k, phase], 0.0)
            over_ma = _sum(weight, current, compiled.steps.count) - room_a * MILLI
            for t in np.flatnonzero(over_ma > TOLERANCE_MA).tolist():
                yield Excess(f"circuit {circuit.id} {name}", t, float(over_ma[t]), "A", weight)
    w_per_ma = np.array([sum(c.conductors) * problem.site.nominal_voltage_v / MILLI for c in columns])
    for k in np.flatnonzero(np.isfinite(compiled.limits.circuit_kw).any(axis=1)).tolist():
        circuit = problem.site.circuits[k]
        weight = w_per_ma * np.array([circuit.id in chain for chain in above], dtype=np.float64)
        room_kw = np.maximum(compiled.limits.circuit_kw[k] - compiled.background.power_kw[k], 0.0)
        over_w = _sum(weight, current, compiled.steps.count) - room_kw * MILLI
        for t in np.flatnonzero(over_w > TOLERANCE_W).tolist():
            yield Excess(f"power of circuit {circuit.id}", t, float(over_w[t]), "kW", weight)
    limit_kw = np.maximum(compiled.limits.import_kw, compiled.background.net_kw)
    over_w = _sum(w_per_ma, current, compiled.steps.count) - (limit_kw - compiled.background.net_kw) * MILLI
    for t in np.flatnonzero(over_w > TOLERANCE_W).tolist():
        yield Excess("import limit", t, float(over_w[t]), "kW", w_per_ma)


def _chain(circuit: str, parent: dict[str, str | None]) -> frozenset[str]:
    """A circuit and all above it."""
    found: list[str] = []
    at: str | None = circuit
    while at is not None:
        found.append(at)
        at = parent[at]
    return frozenset(found)


def _sum(weight: Floats, current: Sequence[Ints | Floats], steps: int) -> Floats:
    total = np.zeros(steps)
    for w, column in zip(weight.tolist(), current, strict=True):
        if w:
            total += w * column
    return total


def _lower(excess: Excess, columns: list[Column], current: list[Ints]) -> float:
    """Lower what is least urgent first, in place; what is left above the limit then."""
    left = excess.by
    for kind in LOWERED_FIRST:
        order = sorted((k for k, c in enumerate(columns) if c.kind == kind), key=lambda k: (columns[k].worth, k))
        for k in order:
            weight, now = float(excess.weight[k]), int(current[k][excess.t])
            if left <= 0:
                return 0.0
            if weight <= 0 or now <= 0:
                continue
            step = columns[k].step_ma
            lower = max(0, now - int(np.ceil(left / weight / step)) * step)
            lower = 0 if lower < columns[k].min_ma else lower
            left -= (now - lower) * weight
            current[k][excess.t] = lower
    return max(0.0, left)
