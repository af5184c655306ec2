"""The tree of circuits of a problem, and how power becomes amperes on its phases."""

from __future__ import annotations

import numpy as np

from interfaces.domain.topology import PHASES
from interfaces.domain.units import MILLI, Floats, Ints
from optimizer.core.problem import Problem


def root_of(problem: Problem) -> int:
    """Index of the grid connection point."""
    return next(k for k, circuit in enumerate(problem.site.circuits) if circuit.parent is None)


def below_of(problem: Problem) -> Floats:
    """(C, C): 1 where the second circuit is the first or hangs somewhere below it."""
    circuits = problem.site.circuits
    index = {circuit.id: k for k, circuit in enumerate(circuits)}
    below = np.zeros((len(circuits), len(circuits)))
    for k in range(len(circuits)):
        above: int | None = k
        while above is not None:
            below[above, k] = 1.0
            parent = circuits[above].parent
            above = None if parent is None else index[parent]
    return below


def amps_per_kw(problem: Problem, phases: tuple[str, ...]) -> Floats:
    """(3,) amperes on each grid phase per kW, evenly over the conductors."""
    on = np.array([sum(phase == name for phase in phases) for name in PHASES], dtype=np.float64)
    share: Floats = on * MILLI / problem.site.nominal_voltage_v / max(1.0, float(on.sum()))
    return share


def parents_first(problem: Problem) -> Ints:
    """Indices of the circuits, each behind its parent, otherwise in the order of the problem."""
    below = below_of(problem)
    order: Ints = np.argsort(below.sum(axis=0), kind="stable").astype(np.int64)
    return order
