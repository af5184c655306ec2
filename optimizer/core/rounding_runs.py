"""One start for each run: the relaxation mixes them, and its largest share alone may be one that breaks a fuse."""

from __future__ import annotations

from typing import Final

import numpy as np

from optimizer.core.instance import KW_PER_A, Floats, Ints, on_rows
from optimizer.core.lp import Program

WHOLE: Final = 1.0 - 1e-6
"""A share of this is the start itself."""
DIGITS: Final = 6
"""Shares and kWh that differ by less are equal."""


def starts_of(program: Program, share: Floats) -> Floats:
    """1 for the start each run gets, from the relaxation's start shares: the largest share, the earliest of equals.

    Where starts are mixed, those that go least beyond a limit come first, next to the runs that have their start.
    """
    runs, layout, grid = program.instance.runs, program.layout, program.instance.grid
    chosen, taken_kw = np.zeros(len(share)), np.zeros(grid.steps)
    taken_a, a_per_kw = np.zeros((len(grid.parent), grid.rows, grid.steps)), on_rows(runs.a_per_kw, grid.rows)
    columns = [np.flatnonzero(layout.run_of == r) for r in range(len(runs.circuit))]
    largest = np.array([share[own].max(initial=0.0) for own in columns])
    for r in np.argsort(-largest, kind="stable").tolist():
        own, start = columns[r], layout.run_start[columns[r]]
        beyond = np.zeros(len(own)) if largest[r] > WHOLE else _beyond_kwh(program, r, start, taken_a, taken_kw)
        best = np.lexsort((start, -np.round(share[own], DIGITS), np.round(beyond, DIGITS)))[0]
        chosen[own[best]] = 1.0
        steps = slice(start[best], start[best] + runs.profile_kw.shape[1])
        taken_kw[steps] += runs.profile_kw[r]
        way = _way(program, r)
        taken_a[way, :, steps] += a_per_kw[r][None, :, None] * runs.profile_kw[r]
    return chosen


def _way(program: Program, r: int) -> Ints:
    """The circuits above a run."""
    way: Ints = program.tree.chain[program.instance.runs.circuit[r]]
    return way[way < len(program.instance.grid.parent)]


def _beyond_kwh(program: Program, r: int, start: Ints, taken_a: Floats, taken_kw: Floats) -> Floats:
    """(starts,): what a run adds beyond limits from each start, with every car and battery at rest."""
    runs, grid = program.instance.runs, program.instance.grid
    profile, way = runs.profile_kw[r], _way(program, r)
    steps = start[:, None] + np.arange(len(profile))
    before_a = (taken_a - grid.headroom_a)[way][:, :, steps]
    a_per_kw = on_rows(runs.a_per_kw[[r]], grid.rows)
    added_a = _added(before_a, a_per_kw[:, :, None, None] * profile).sum(axis=(0, 1))
    base_kw = grid.base_kw + taken_kw - np.maximum(grid.import_limit_kw, 0.0)
    beyond = (KW_PER_A * added_a + _added(base_kw[steps], profile)) * grid.dt_h[steps]
    total: Floats = beyond.sum(axis=1)
    return total


def _added(before: Floats, more: Floats) -> Floats:
    """How much further above zero ``more`` goes."""
    added: Floats = np.maximum(before + more, 0.0) - np.maximum(before, 0.0)
    return added
