"""Who may charge, and how much: admission by minimum currents, then weighted max-min filling per tier.

One joint solve for all assets on the tree, per phase. Pure integers: the result does not depend on the order of the
inputs, satisfies every row, is 0 or between minimum and ceiling, leaves no admitted asset one more step, and leaves no
queued asset room for its minimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.core.background import row_sums
from controller.core.params import NO_LIMIT
from interfaces.domain.topology import ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import Bools, Ints

NOBODY: Final[int] = -1


@dataclass(frozen=True, slots=True)
class Demand:
    """One allocation problem. ``order``: asset columns in admission order. ``floor_ma`` (N,) minimum current,
    ``ceiling_ma`` (N,) upper bound, ``tier`` and ``weight`` (N,) for filling, ``cost`` (N, 4) one mA's price per row,
    ``probation`` (N,) may not start now, but is told whether ``probe_ma`` (N,) would fit; ``single`` (N,) may start on
    one phase at ``single_cost`` (N, 4), and fits where that fits. ``spare``: so many at the end of ``order`` share only
    what all others leave.
    """

    order: tuple[int, ...]
    floor_ma: Ints
    ceiling_ma: Ints
    tier: Ints
    weight: Ints
    cost: Ints
    probation: Bools
    probe_ma: Ints
    single: Bools
    single_cost: Ints
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """``amps_ma`` (N,), ``binding`` (N,) row circuit x 4 + r that stopped it (-1: its own ceiling), ``admitted`` (N,),
    ``fits`` (N,) the probe would fit, ``on_one`` (N,) admitted on one phase, ``cost`` (N, 4) costs used.
    """

    amps_ma: Ints
    binding: Ints
    admitted: Bools
    fits: Bools
    on_one: Bools
    cost: Ints


def allocate(budget: Ints, demand: Demand, topology: Topology) -> Allocation:
    """Solve. ``budget`` (C, 4) is what the demanding assets may use together. Rows at ``NO_LIMIT`` never bind."""
    cut = len(demand.order) - demand.spare
    first = _solve(budget, replace(demand, order=demand.order[:cut]), topology)
    if not demand.spare:
        return first
    taken = row_sums(topology, first.cost * first.amps_ma[:, None])
    left = np.where(budget < NO_LIMIT, budget - taken, NO_LIMIT)
    rest = _solve(left, replace(demand, order=demand.order[cut:]), topology)
    return Allocation(
        first.amps_ma + rest.amps_ma,
        np.where(first.binding == NOBODY, rest.binding, first.binding),
        first.admitted | rest.admitted,
        first.fits | rest.fits,
        first.on_one | rest.on_one,
        np.where(rest.on_one[:, None], rest.cost, first.cost),
    )


def _solve(budget: Ints, demand: Demand, topology: Topology) -> Allocation:
    admitted, fits, on_one, binding = _admit(budget, demand, topology)
    cost = np.where(on_one[:, None], demand.single_cost, demand.cost)
    amps = np.where(admitted, demand.floor_ma, 0)
    for tier in np.unique(demand.tier[admitted]).tolist():
        amps = _fill(budget, amps, admitted & (demand.tier == tier), cost, demand, topology)
    amps, binding = _whole_steps(budget, amps, admitted, cost, demand, binding, topology)
    return Allocation(amps, binding, admitted, fits, on_one, cost)


def flat_rows(i: int, cost: list[int], free: list[int], topology: Topology) -> list[tuple[int, int]]:
    """(row, cost per mA) of every limited row asset ``i`` uses, from its own circuit upwards."""
    used = [(r, k) for r, k in enumerate(cost) if k]
    return [
        (c * ROWS_PER_CIRCUIT + r, k)
        for c in topology.chain[i]
        for r, k in used
        if free[c * ROWS_PER_CIRCUIT + r] < NO_LIMIT
    ]


def _admit(budget: Ints, demand: Demand, topology: Topology) -> tuple[Bools, Bools, Bools, Ints]:
    """Minimum currents in admission order, all or nothing on every row above."""
    n = topology.n
    admitted, fits, on_one = (np.zeros(n, dtype=np.bool_) for _ in range(3))
    binding = np.full(n, NOBODY, dtype=np.int64)
    free: list[int] = budget.ravel().tolist()
    floor, probe = demand.floor_ma.tolist(), demand.probe_ma.tolist()
    costs, single_costs = demand.cost.tolist(), demand.single_cost.tolist()
    for i in demand.order:
        rows = flat_rows(i, costs[i], free, topology)
        alone = flat_rows(i, single_costs[i], free, topology) if demand.single[i] else rows
        tight = _first_short(rows, free, probe[i])
        fits[i] = tight == NOBODY or (demand.single[i] and _first_short(alone, free, probe[i]) == NOBODY)
        if demand.probation[i]:
            binding[i] = tight
            continue
        short = _first_short(rows, free, floor[i])
        if short != NOBODY and demand.single[i] and _first_short(alone, free, floor[i]) == NOBODY:
            rows, short, on_one[i] = alone, NOBODY, True
        if short != NOBODY:
            binding[i] = short
            continue
        admitted[i] = True
        for r, k in rows:
            free[r] -= k * floor[i]
    return admitted, fits, on_one, binding


def _first_short(rows: list[tuple[int, int]], free: list[int], amps: int) -> int:
    for r, k in rows:
        if free[r] < k * amps:
            return r
    return NOBODY


def _fill(budget: Ints, amps: Ints, active: Bools, cost: Ints, demand: Demand, topology: Topology) -> Ints:
    """Raise all active assets together by their weights; freeze at ceilings and on full rows; repeat."""
    amps, active = amps.copy(), active.copy()
    weight = np.maximum(demand.weight, 1)
    limited = budget < NO_LIMIT
    while active.any():
        slack = budget - row_sums(topology, cost * amps[:, None])
        pull = row_sums(topology, cost * np.where(active, weight, 0)[:, None])
        pulled = limited & (pull > 0)
        level = int((slack[pulled] // pull[pulled]).min()) if pulled.any() else NO_LIMIT
        room = (demand.ceiling_ma - amps) // weight
        full = active & (room <= level)
        if full.any():
            amps[full] = demand.ceiling_ma[full]
            active &= ~full
            continue
        amps[active] += weight[active] * level
        shut = pulled & (slack - pull * level < pull)
        active &= ~(topology.ancestry.T @ shut.astype(np.int64) * (cost > 0) > 0).any(axis=1)
    return amps


def _whole_steps(
    budget: Ints, amps: Ints, admitted: Bools, cost: Ints, demand: Demand, binding: Ints, topology: Topology
) -> tuple[Ints, Ints]:
    """Round towards 0 to each device's step, then hand what is left out step by step in admission order. The row that
    refuses an asset its next step is the one that binds it: what is free only shrinks, so it still refuses at the end.
    """
    step = topology.step_ma
    floored = np.where(admitted, np.maximum(amps // step * step, demand.floor_ma), 0)
    floored = np.minimum(floored, amps)
    rest = budget - row_sums(topology, cost * floored[:, None])
    left = np.where(budget < NO_LIMIT, rest, NO_LIMIT).ravel().tolist()
    gap = demand.ceiling_ma - floored
    out, steps, costs, ceiling = floored.tolist(), step.tolist(), cost.tolist(), demand.ceiling_ma.tolist()
    hungry = [i for i in demand.order if admitted[i] and gap[i] >= steps[i]]
    rows = {i: flat_rows(i, costs[i], left, topology) for i in hungry}
    stopped = binding.tolist()
    while hungry:
        still = []
        for i in hungry:
            if out[i] + steps[i] > ceiling[i]:
                continue
            stopped[i] = _first_short(rows[i], left, steps[i])
            if stopped[i] != NOBODY:
                continue
            out[i] += steps[i]
            for r, k in rows[i]:
                left[r] -= k * steps[i]
            still.append(i)
        hungry = still
    return np.array(out, dtype=np.int64), np.array(stopped, dtype=np.int64)
