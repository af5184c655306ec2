"""The linear program of `instance` as HiGHS takes it: bulk numpy, cells in windows only, rows that can bind only.

Columns and rows are in `lp_layout`, numbers in `lp_vectors`, what can bind at all in `lp_tree`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from optimizer.core.instance import Bools, Instance
from optimizer.core.lp_layout import Layout, Soft, layout_of, soft_of
from optimizer.core.lp_tree import Cells, Reach, Tree, cells_of, kept_rows, reach_of, run_most_kw, tree_of
from optimizer.core.lp_vectors import Vectors, vectors_of


@dataclass(frozen=True, slots=True)
class Program:
    """An instance as a linear program; ``tree`` and ``reach`` as `lp_tree` says."""

    instance: Instance
    tree: Tree
    reach: Reach
    layout: Layout
    vectors: Vectors


def program_of(instance: Instance) -> Program:
    """Build it from nothing."""
    tree, cells = tree_of(instance.grid.parent), cells_of(instance)
    reach, run_kw = reach_of(instance, tree, cells), run_most_kw(instance)
    soft, kept = soft_of(instance, cells, reach, run_kw), np.flatnonzero(kept_rows(instance, reach))
    layout = layout_of(instance, tree, cells, soft, kept)
    return Program(instance, tree, reach, layout, vectors_of(instance, layout, reach, run_kw))


def renewed(program: Program, instance: Instance) -> Program | str:
    """The same program with the numbers of ``instance``; else the reason why it needs another structure.

    The matrix is made anew only where the steps have other lengths (the first one, as its quarter passes), which leaves
    every factor in its place, and where rows can bind that could not before: they come last, behind those there were.
    """
    old = program.layout
    for name, before, now in _structure(program.instance, instance):
        if not _same(before, now):
            return f"other {name}"
    cells, tree = _cells(program, instance), program.tree
    reach, run_kw = reach_of(instance, tree, cells), run_most_kw(instance)
    needed = kept_rows(instance, reach).reshape(-1)
    needed[old.kept] = False
    more = np.flatnonzero(needed)
    soft = soft_of(instance, cells, reach, run_kw)
    if any(not np.array_equal(getattr(soft, name), getattr(old.soft, name)) for name in Soft.__slots__):
        return "other limits that cannot be kept"
    if not more.size and np.array_equal(program.instance.grid.dt_h, instance.grid.dt_h):
        layout = dataclasses.replace(old, cells=cells)
    else:
        layout = layout_of(instance, tree, cells, soft, np.concatenate([old.kept, more]))
        here = layout.matrix[1] < old.shape[0]
        if not np.array_equal(layout.matrix[1][here], old.matrix[1]):
            return "other places in the matrix"
    return Program(instance, tree, reach, layout, vectors_of(instance, layout, reach, run_kw))


def _cells(program: Program, instance: Instance) -> Cells:
    """The same windows; the shares of their first and last steps may be others."""
    before, now = program.instance.cars, instance.cars
    same = np.array_equal(before.first_share, now.first_share) and np.array_equal(before.end_share, now.end_share)
    return program.layout.cells if same else cells_of(instance)


def same_numbers(before: Instance, now: Instance) -> bool:
    """Whether the two say the same throughout, also where it is no part of the program."""
    return all(
        _same(getattr(old, field.name), getattr(new, field.name))
        for old, new in ((getattr(before, part.name), getattr(now, part.name)) for part in dataclasses.fields(before))
        for field in dataclasses.fields(old)
    )


def _same(before: Any, now: Any) -> bool:
    """Equal columns or numbers, NaN like NaN. Most are the same bytes, which numpy takes ten times as long to see."""
    a, b = np.asarray(before), np.asarray(now)
    if a is b or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()):
        return True
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _structure(before: Instance, now: Instance) -> Iterator[tuple[str, Any, Any]]:
    """What the matrix is made from, old and new, by name."""
    for part, names in STRUCTURE.items():
        a, b = getattr(before, part), getattr(now, part)
        if part != "grid" and not len(a.circuit) and not len(b.circuit):
            continue
        for name in names:
            yield f"{part}.{name}", getattr(a, name), getattr(b, name)
    yield "steps", before.grid.steps, now.grid.steps
    yield "peak term", before.grid.peak_eur_per_kw > 0.0, now.grid.peak_eur_per_kw > 0.0
    yield "billing periods", before.grid.period, now.grid.period
    yield "rows of the circuits", before.grid.rows, now.grid.rows
    yield "a first step under way", before.grid.under_way, now.grid.under_way
    yield "cars that feed back", before.cars.discharge_a > 0.0, now.cars.discharge_a > 0.0
    yield "shortage tiers", before.cars.short_kwh.shape, now.cars.short_kwh.shape
    yield "previous plan", _planned(before), _planned(now)


def _planned(instance: Instance) -> Bools:
    """Where there was a plan before that counts."""
    cars = instance.cars
    return np.isfinite(cars.previous_a) & (cars.churn_eur_per_kwh > 0.0)


STRUCTURE: Final = {
    "grid": ("parent", "full_h"),
    "cars": ("first", "end", "circuit", "wired", "kw_per_a", "efficiency"),
    "batteries": ("circuit", "a_per_kw", "charge_efficiency", "discharge_efficiency"),
    "solar": ("circuit", "a_per_kw"),
    "buffers": ("circuit", "a_per_kw", "cop", "keep"),
    "runs": ("circuit", "a_per_kw", "profile_kw", "earliest", "latest"),
}
"""The matrix depends on these, besides the lengths of the steps."""
