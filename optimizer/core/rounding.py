"""From the relaxation to a plan that devices can follow: fix some columns, solve again from the basis, no integers.

Three things the relaxation does not know: a car takes at least its minimum current or none (kept in the first steps), a
run has one start, nothing charges and discharges at once. Fixed columns always leave a feasible program: what is fixed
from below is only what fits when everything else rests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from optimizer.core.instance import FIRM_STEPS, Bools, Floats, Ints, on_rows
from optimizer.core.lp import Program
from optimizer.core.lp_layout import MARGIN
from optimizer.core.lp_tree import run_most_kw, summed
from optimizer.core.rounding_runs import starts_of
from optimizer.core.solution import block, cell_currents, run_kw_of

HALF: Final = 0.5
"""Currents below this share of the minimum become none, others at least the minimum."""
STAYS_ON: Final = 0.25
STAYS_OFF: Final = 0.75
"""The same where the previous plan charged in that step, and where it did not: a plan does not toggle on noise."""
ALMOST: Final = 0.99
"""Wanted, but only where it fits."""
SHORT_KWH: Final = 1e-3
"""A shortage worth another solve."""
BOTH_WAYS: Final = 1e-6
"""A, kW: charging and discharging by more than this in one step is a contradiction."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Columns with other bounds than the relaxation's."""

    columns: Ints
    lower: Floats
    upper: Floats


NOTHING: Final = Fixed(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))


def joined(first: Fixed, second: Fixed) -> Fixed:
    """Both; where they name the same column the second wins, so pass what is narrower there."""
    if not (first.columns.size and second.columns.size):
        return first if first.columns.size else second
    columns = np.concatenate([first.columns, second.columns])
    lower, upper = np.concatenate([first.lower, second.lower]), np.concatenate([first.upper, second.upper])
    last = len(columns) - 1 - np.unique(columns[::-1], return_index=True)[1]
    return Fixed(columns[last], lower[last], upper[last])


def first_fixing(program: Program, x: Floats, *, strict: bool = False) -> Fixed:
    """What the relaxation's columns ``x`` need to become a plan; nothing where they are one.

    ``strict``: currents are fixed from below only where they fit while batteries and cars feed nothing in.
    """
    share = block(program, x, "run")
    start = starts_of(program, share)
    both, early = directions(program, x), early_cells(program, x)
    small = (early.current_a > BOTH_WAYS) & (early.current_a < early.least_a - BOTH_WAYS)
    mixed = (np.abs(share - start) > BOTH_WAYS).any()
    if not (small.any() or mixed or both.columns.size):
        return NOTHING
    runs = _fixed(program, "run", slice(None), start, start) if len(start) else NOTHING
    return joined(joined(runs, _minimum(program, early, start, strict=strict)), both)


def second_chance(program: Program, relaxed: Floats, x: Floats) -> Floats | None:
    """Columns to round instead of ``x``, where rounding made cars short: each of them in one more of the first steps.

    None where no car lost anything that another step could give. Whether the step fits is decided by rounding again.
    Where a car had a plan before, that stands: a better one today would be another one tomorrow.
    """
    shape = program.instance.cars.short_kwh.shape
    before, after = (block(program, columns, "short").reshape(shape).sum(axis=1) for columns in (relaxed, x))
    early, cells = early_cells(program, relaxed), program.layout.cells
    car, taken = cells.car[early.cell], cell_currents(program, x)[0][early.cell]
    could = (after - before > SHORT_KWH)[car] & (taken <= BOTH_WAYS) & (early.least_a > BOTH_WAYS)
    could &= np.isnan(early.before_a) & ~program.instance.cars.optional[car]
    if not could.any():
        return None
    order = np.lexsort((cells.step[early.cell], -early.current_a, car))
    order = order[could[order]]
    one = order[np.flatnonzero(np.diff(car[order], prepend=-1))]
    again = x.copy()
    kwh = program.instance.cars.kw_per_a[car] * program.instance.grid.dt_h[cells.step[early.cell]] * early.least_a
    on = np.bincount(car, np.where(taken > BOTH_WAYS, kwh, 0.0), shape[0])
    on[car[one]] += kwh[one]
    # Where the car does not want two steps' worth, it gets this step instead.
    put_a(program, again, early.cell[(on > early.space_kwh + MARGIN)[car]], 0.0)
    put_a(program, again, early.cell[one], ALMOST * early.least_a[one])
    return again


def put_a(program: Program, x: Floats, cell: Ints, current_a: Floats | float) -> None:
    """Other currents for these cells, in place; one that is split at the previous plan is all in its first column."""
    columns, split = program.layout.columns, program.layout.split
    x[columns["x"].start + cell] = current_a
    if split.size:
        x[columns["x above"].start + np.flatnonzero(np.isin(split, cell))] = 0.0


def directions(program: Program, x: Floats, *, all_steps: bool = False) -> Fixed:
    """The smaller side of what goes both ways at once, fixed to 0; ``all_steps``: in every step, even of one way."""
    found = NOTHING
    for forward, backward in _pairs(program):
        into, out = x[forward], x[backward]
        both = np.full(len(into), fill_value=True) if all_steps else np.minimum(into, out) > BOTH_WAYS
        if both.any():
            smaller = np.where(out > into, forward, backward)[both]
            found = joined(found, Fixed(smaller, np.zeros(len(smaller)), np.zeros(len(smaller))))
    return found


def _pairs(program: Program) -> list[tuple[Ints, Ints]]:
    """Columns that are each other's opposite."""
    layout, pairs = program.layout, []
    if "charge" in layout.columns:
        pairs.append((_numbers(program, "charge"), _numbers(program, "discharge")))
    if layout.cells.fed.size:
        pairs.append((_numbers(program, "x")[layout.cells.fed], _numbers(program, "y")))
    return pairs


def _numbers(program: Program, name: str) -> Ints:
    part = program.layout.columns[name]
    return np.arange(part.start, part.stop)


def _fixed(program: Program, name: str, chosen: Ints | slice, lower: Floats, upper: Floats) -> Fixed:
    return Fixed(_numbers(program, name)[chosen], lower, upper)


@dataclass(frozen=True, slots=True)
class Early:
    """Cells of the first steps, of cars with a minimum: ``current_a`` in the relaxation, ``least_a`` if not none.

    ``before_a``: in the previous plan, NaN where there was none. ``space_kwh`` (N,): what the car can take.
    """

    cell: Ints
    current_a: Floats
    least_a: Floats
    before_a: Floats
    space_kwh: Floats


def early_cells(program: Program, x: Floats) -> Early:
    """The first steps of the columns ``x``."""
    cars, cells, grid = program.instance.cars, program.layout.cells, program.instance.grid
    cell = np.flatnonzero((cells.step < FIRM_STEPS) & (cars.min_a[cells.car] > 0.0))
    car = cells.car[cell]
    feeds = cars.discharge_a > 0.0
    store = (cars.capacity_kwh - cars.soc_kwh) / np.where(feeds, cars.efficiency, 1.0)
    space = np.maximum(np.where(feeds, store, cars.energy_kwh), 0.0)
    fills = space[car] / (cars.kw_per_a[car] * grid.dt_h[cells.step[cell]])
    current = cell_currents(program, x)[0][cell]
    known = np.full((cars.n, FIRM_STEPS), np.nan)
    if cars.churn_eur_per_kwh > 0.0:
        steps = min(FIRM_STEPS, cars.previous_a.shape[1])
        known[:, :steps] = cars.previous_a[:, :steps]
    before = known[car, cells.step[cell]]
    return Early(cell, current, np.minimum(cars.min_a[car] * cells.share[cell], fills), before, space)


def _minimum(program: Program, early: Early, start: Floats, *, strict: bool) -> Fixed:
    """Bounds of the first steps' currents: at least the minimum, or none."""
    cells, layout, vectors = program.layout.cells, program.layout, program.vectors
    if not early.cell.size:
        return NOTHING
    current, most = early.current_a, program.reach.cell_a[early.cell]
    share = np.where(early.before_a > BOTH_WAYS, STAYS_ON, np.where(np.isnan(early.before_a), HALF, STAYS_OFF))
    # What nobody asked for is no reason for more import than the relaxation found worth it.
    share = np.where(program.instance.cars.optional[cells.car[early.cell]], 1.0 - BOTH_WAYS, share)
    wanted = (current >= share * early.least_a) & (early.least_a <= most + MARGIN) & (current > BOTH_WAYS)
    least = np.minimum(early.least_a, most)
    on = _fitting(program, early, least, wanted, start, strict=strict)
    low = np.where(on, least, 0.0)
    upper = np.where(on, vectors.upper[layout.columns["x"]][early.cell], 0.0)
    lower = np.minimum(low, upper)
    first = _fixed(program, "x", early.cell, lower, upper)
    if not layout.split.size:
        return first
    above = np.full(len(cells.car), -1)
    above[layout.split] = np.arange(len(layout.split))
    double = np.flatnonzero(above[early.cell] >= 0)
    second = above[early.cell[double]]
    more = np.where(on[double], vectors.upper[layout.columns["x above"]][second], 0.0)
    return joined(first, _fixed(program, "x above", second, (low - lower)[double], more))


def _fitting(program: Program, early: Early, least: Floats, wanted: Bools, start: Floats, *, strict: bool) -> Bools:
    """Which of the wanted minimum currents fit together, those nearest to what the relaxation gave first.

    Those that the relaxation gave at least their minimum fit as they did there, and need no check unless ``strict``.
    """
    cars, cells, grid = program.instance.cars, program.layout.cells, program.instance.grid
    car, step = cells.car[early.cell], cells.step[early.cell]
    sure = wanted & (early.current_a >= least - BOTH_WAYS) & (not strict)
    ratio = early.current_a / np.maximum(least, MARGIN)
    rank = -ratio - (early.before_a > BOTH_WAYS)
    kw = cars.kw_per_a[car] * least
    on = wanted.copy()
    steps = min(FIRM_STEPS, grid.steps)
    run_kw = run_kw_of(program, start)[:, :steps]
    idle = np.maximum(grid.base_kw + run_most_kw(program.instance).sum(axis=0), 0.0)
    base = grid.base_kw[:steps] + run_kw.sum(axis=0)
    most_kw = np.maximum(grid.import_limit_kw[:steps], idle[:steps]) - base
    for group, weight, limit in (
        (car, kw * grid.dt_h[step], early.space_kwh),
        *_rows_above(program, car, step, least, run_kw),
        (step, kw, most_kw),
    ):
        wish = np.where(on, weight, 0.0)
        if (np.bincount(group, wish, len(limit)) > limit + MARGIN).any():
            # What batteries carried in the relaxation, they can carry again.
            carried = 0.0 if strict else np.bincount(group, weight * ratio, len(limit))
            on &= sure | _fits(group, wish, np.maximum(limit, carried), rank)
    return on


def _rows_above(
    program: Program, car: Ints, step: Ints, least: Floats, run_kw: Floats
) -> Iterator[tuple[Ints, Floats, Floats]]:
    """Each level of circuits above the cars and each row: the row of each cell, its amperes, the rows' limits."""
    instance, steps, rows = program.instance, run_kw.shape[1], program.instance.grid.rows
    runs, cars, wired = instance.runs, instance.cars, on_rows(program.instance.cars.wired, rows)
    taken = np.zeros((len(instance.grid.parent), rows, steps))
    if len(runs.circuit):
        np.add.at(taken, runs.circuit, on_rows(runs.a_per_kw, rows)[:, :, None] * run_kw[:, None, :])
        summed(program.tree, taken)
    room = program.reach.hard_a[:, :, :steps] - taken
    room = np.concatenate([room, np.full((1, rows, steps), np.inf)])
    chain, nowhere = program.tree.chain[cars.circuit], len(instance.grid.parent)
    depth = (chain < nowhere).sum(axis=1)
    # By depth below the connection, not by distance from the car: a row's cars may hang at different depths.
    for level in range(chain.shape[1]):
        above = depth - 1 - level
        circuit = np.where(above >= 0, chain[np.arange(cars.n), np.maximum(above, 0)], nowhere)
        for p in range(rows):
            yield circuit[car] * steps + step, least * wired[car, p], room[:, p, :].reshape(-1)


def _fits(group: Ints, weight: Floats, limit: Floats, rank: Floats) -> Bools:
    """Which stay within their group's limit when each group adds up its weights by rank."""
    order = np.lexsort((rank, group))
    total, sorted_group = np.cumsum(weight[order]), group[order]
    begin = np.flatnonzero(np.diff(sorted_group, prepend=-1))
    before = (total - weight[order])[begin]
    within = total - np.repeat(before, np.diff(np.append(begin, len(order))))
    fits = np.zeros(len(group), dtype=bool)
    fits[order] = within <= limit[sorted_group] + MARGIN
    return fits
