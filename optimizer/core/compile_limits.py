"""What the connection and each circuit may carry in each step: the lowest of all limits that hold then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interfaces.domain.units import Bools, Floats
from optimizer.core.compile_steps import Steps, holds, touched
from optimizer.core.compile_tree import root_of
from optimizer.core.problem import Problem


@dataclass(frozen=True, slots=True)
class Limits:
    """What may flow. ``import_kw``, ``export_kw`` (T,), ``limit_a`` (C, 3, T); ``circuit_kw`` (C, T): over all phases,
    infinite at the connection and where none is given. ``operator_import`` (T,), ``operator_circuit`` (C, T): where an
    announcement of the grid operator is what binds.
    """

    import_kw: Floats
    export_kw: Floats
    limit_a: Floats
    circuit_kw: Floats
    operator_import: Bools
    operator_circuit: Bools


def limits_of(problem: Problem, steps: Steps) -> Limits:
    """The lowest of all limits in each step."""
    contract, root = problem.contract, root_of(problem)
    count = steps.count
    most_in, most_out = np.full(count, np.inf), np.full(count, np.inf)
    for import_kw, export_kw in (
        (contract.import_kw, contract.export_kw),
        (problem.site.circuits[root].max_import_kw, None),
    ):
        _lower(most_in, np.ones(count, dtype=np.bool_), import_kw)
        _lower(most_out, np.ones(count, dtype=np.bool_), export_kw)
    for block in contract.blocks:
        inside = holds(steps, block.when, any_part=True)
        _lower(most_in, inside, block.import_kw)
        _lower(most_out, inside, block.export_kw)
    by_operator = np.zeros(count, dtype=np.bool_)
    for told in contract.operator:
        inside = touched(steps, told.start_epoch_s, told.end_epoch_s)
        if told.import_kw is not None:
            by_operator |= inside & (told.import_kw < most_in)
        _lower(most_in, inside, told.import_kw)
        _lower(most_out, inside, told.export_kw)
    limit_a, circuit_by_operator = _circuit_limits(problem, steps)
    return Limits(most_in, most_out, limit_a, _circuit_kw(problem, steps, root), by_operator, circuit_by_operator)


def _lower(column: Floats, where: Bools, limit: float | None) -> None:
    if limit is not None:
        column[where] = np.minimum(column[where], limit)


def _circuit_kw(problem: Problem, steps: Steps, root: int) -> Floats:
    """(C, T): the connection's own power limit is one of the import limits."""
    most = [
        circuit.max_import_kw if k != root and circuit.max_import_kw is not None else np.inf
        for k, circuit in enumerate(problem.site.circuits)
    ]
    return np.repeat(np.array(most, dtype=np.float64)[:, None], steps.count, axis=1)


def _circuit_limits(problem: Problem, steps: Steps) -> tuple[Floats, Bools]:
    """(C, 3, T) in A."""
    circuits = problem.site.circuits
    limit_a = np.repeat(np.array([circuit.limit_a for circuit in circuits])[:, :, None], steps.count, axis=2)
    by_operator = np.zeros((len(circuits), steps.count), dtype=np.bool_)
    index = {circuit.id: k for k, circuit in enumerate(circuits)}
    for told in problem.contract.circuits:
        k, inside = index[told.circuit], touched(steps, told.start_epoch_s, told.end_epoch_s)
        wanted = np.array(told.limit_a)[:, None]
        lower = (limit_a[k] > wanted).any(axis=0) & inside
        limit_a[k] = np.where(inside[None, :], np.minimum(limit_a[k], wanted), limit_a[k])
        by_operator[k] |= lower & told.operator
    return limit_a, by_operator
