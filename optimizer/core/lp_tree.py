"""The circuits of the linear program: which of their rows can bind at all, and what they leave for one car.

A row per circuit, phase and step would be most of the program, and most of them cannot bind: what hangs below adds up
to less than the limit, or to less than the limits of the circuits below it let through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from optimizer.core.instance import Bools, Floats, Instance, Ints, on_rows

TOLERANCE_A: Final = 1e-9
"""Sums of the same numbers in another order."""


@dataclass(frozen=True, slots=True)
class Tree:
    """``chain`` (C, D): each circuit's way to the connection, itself first, C beyond its end. ``levels``: circuits by
    depth, deepest first, without the connection.
    """

    parent: Ints
    chain: Ints
    levels: tuple[Ints, ...]


def tree_of(parent: Ints) -> Tree:
    """The tree from each circuit's parent."""
    above = np.arange(len(parent))
    chain = [above]
    while (above := np.where(above >= 0, parent[above], -1)).max(initial=-1) >= 0:
        chain.append(above)
    ways = np.stack(chain, axis=1)
    depth = (ways >= 0).sum(axis=1)
    levels = tuple(np.flatnonzero(depth == d) for d in range(len(chain), 1, -1))
    return Tree(parent, np.where(ways >= 0, ways, len(parent)), levels)


@dataclass(frozen=True, slots=True)
class Cells:
    """The pairs of car and step in which a car is plugged in, car by car: columns exist for these only.

    ``start`` (N + 1,): where each car's cells begin. ``share``: of the step that it is plugged in. ``fed``: positions
    of the cells of cars that can feed back.
    """

    car: Ints
    step: Ints
    start: Ints
    share: Floats
    fed: Ints


def cells_of(instance: Instance) -> Cells:
    """Every cell of every window."""
    cars, steps = instance.cars, instance.grid.steps
    first = np.maximum(cars.first, 0)
    length = np.maximum(np.minimum(cars.end, steps) - first, 0)
    start = np.concatenate([[0], np.cumsum(length)])
    car = np.repeat(np.arange(cars.n), length)
    step = np.arange(start[-1]) - (start[:-1] - first)[car]
    share, there = np.ones(len(car)), length > 0
    share[start[:-1][there]] *= cars.first_share[there]
    share[start[1:][there] - 1] *= cars.end_share[there]
    return Cells(car, step, start, share, np.flatnonzero((cars.discharge_a > 0.0)[car]))


@dataclass(frozen=True, slots=True)
class Reach:
    """What can happen on each circuit, row and step, (C, R, T) in A.

    ``hard_a``: the most that planned amperes may add up to, its limit or what idle takes. ``up_a``, ``down_a``: the
    most that they can add up to, and how far below zero. ``cell_a`` (cells,): upper bound of each car's current.
    """

    hard_a: Floats
    up_a: Floats
    down_a: Floats
    cell_a: Floats


def reach_of(instance: Instance, tree: Tree, cells: Cells) -> Reach:
    """Bounds of every sum of amperes, from the leaves to the connection."""
    grid, cars = instance.grid, instance.cars
    shape = grid.headroom_a.shape
    idle = run_most_kw(instance)
    hard = np.maximum(grid.headroom_a, _idle_a(instance, tree, idle))
    batteries, solar, buffers, runs = instance.batteries, instance.solar, instance.buffers, instance.runs
    down = np.zeros(shape)
    if cells.fed.size:
        _add_cells(down, instance, cells, cells.fed, cars.discharge_a[cells.car[cells.fed]] * cells.share[cells.fed])
    _add_kw(down, batteries.circuit, batteries.a_per_kw, batteries.discharge_kw[:, None])
    # Uncapped: what feeds in below a circuit that lets nothing out still leaves more for the cars next to it.
    feeds = summed(tree, down.copy(), None) > 0.0
    down = summed(tree, down, np.maximum(grid.feed_in_a, 0.0))
    cell_a = cars.max_a[cells.car] * cells.share
    if cells.car.size:
        room = np.where(feeds, np.inf, hard)
        for level in reversed(tree.levels):
            room[level] = np.minimum(room[level], room[tree.parent[level]])
        cell_a = np.minimum(cell_a, _room_of_cells(room, instance, cells))
    up = np.zeros(shape)
    _add_cells(up, instance, cells, slice(None), cell_a)
    _add_kw(up, batteries.circuit, batteries.a_per_kw, batteries.charge_kw[:, None])
    _add_kw(up, solar.circuit, solar.a_per_kw, np.maximum(solar.available_kw, 0.0))
    _add_kw(up, buffers.circuit, buffers.a_per_kw, per_step(buffers.power_kw, grid.steps))
    _add_kw(up, runs.circuit, runs.a_per_kw, idle)
    return Reach(hard, summed(tree, up, hard), down, cell_a)


def kept_rows(instance: Instance, reach: Reach) -> Bools:
    """(C, R, T): rows that can bind."""
    over: Bools = reach.up_a > instance.grid.headroom_a + TOLERANCE_A
    under: Bools = reach.down_a > instance.grid.feed_in_a + TOLERANCE_A
    return over | under


def run_most_kw(instance: Instance) -> Floats:
    """(R, T): the most each run could take in each step, whatever start is chosen."""
    runs = instance.runs
    most = np.zeros((len(runs.circuit), instance.grid.steps))
    for r, (first, last) in enumerate(zip(runs.earliest, runs.latest, strict=True)):
        for lag, kw in enumerate(runs.profile_kw[r]):
            part = most[r, first + lag : last + lag + 1]
            np.maximum(part, kw, out=part)
    return most


def per_step(column: Floats, steps: int) -> Floats:
    """(n, T) from (n,) or (n, T)."""
    spread: Floats = np.broadcast_to(column[:, None] if column.ndim == 1 else column, (len(column), steps))
    return spread


def _idle_a(instance: Instance, tree: Tree, run_kw: Floats) -> Floats | float:
    if not len(run_kw):
        return 0.0
    direct = np.zeros(instance.grid.headroom_a.shape)
    _add_kw(direct, instance.runs.circuit, instance.runs.a_per_kw, run_kw)
    return summed(tree, direct)


def summed(tree: Tree, direct: Floats, cap: Floats | None = None) -> Floats:
    """What hangs on each circuit itself and what its children let through, in place."""
    for level in tree.levels:
        passed = direct[level] if cap is None else np.minimum(direct[level], cap[level])
        np.add.at(direct, tree.parent[level], passed)
    return direct


def _add_cells(total: Floats, instance: Instance, cells: Cells, chosen: Ints | slice, amps: Floats) -> None:
    circuits, rows, steps = total.shape
    car, wired = cells.car[chosen], on_rows(instance.cars.wired, rows)
    place = instance.cars.circuit[car] * steps + cells.step[chosen]
    for p in range(rows):
        weight = amps * wired[car, p]
        total[:, p, :] += np.bincount(place, weight, circuits * steps).reshape(circuits, steps)


def _add_kw(total: Floats, circuit: Ints, a_per_kw: Floats, kw: Floats) -> None:
    if len(circuit):
        np.add.at(total, circuit, on_rows(a_per_kw, total.shape[1])[:, :, None] * kw[:, None, :])


def _room_of_cells(room: Floats, instance: Instance, cells: Cells) -> Floats:
    """What the circuits above a car leave for it alone."""
    _, rows, steps = room.shape
    wired = on_rows(instance.cars.wired, rows)
    least = np.full(len(cells.car), np.inf)
    place = instance.cars.circuit[cells.car] * (rows * steps) + cells.step
    with np.errstate(divide="ignore"):
        per_conductor = 1.0 / wired
    flat = room.reshape(-1)
    for p in range(rows):
        with np.errstate(invalid="ignore"):
            here = flat[place + p * steps] * per_conductor[cells.car, p]
        np.fmin(least, here, out=least)
    return least
