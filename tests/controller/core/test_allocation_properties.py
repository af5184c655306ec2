"""The invariants of one allocation, by their numbers, over thousands of random sites."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.allocate import NOBODY, Allocation, Demand, allocate
from controller.core.params import NO_LIMIT
from controller.core.quantise import quantise
from interfaces.domain.topology import Asset, Circuit, Topology, build_topology
from tests.strategies import Problem, costs_of, permuted, problems, with_columns

MANY = settings(max_examples=400)


def solve(problem: Problem) -> Allocation:
    return allocate(problem.budget, problem.demand, problem.topology)


def used(problem: Problem, amps: Any, cost: Any) -> Any:
    """(C, 4) sums in plain Python integers: nothing shared with the code under test."""
    topology = problem.topology
    out = [[0] * 4 for _ in range(topology.c)]
    for i in range(topology.n):
        for c in topology.chain[i]:
            for r in range(4):
                out[c][r] += int(amps[i]) * int(cost[i, r])
    return out


def slack(problem: Problem, allocation: Allocation) -> list[list[int]]:
    sums = used(problem, allocation.amps_ma, allocation.cost)
    return [[int(problem.budget[c, r]) - sums[c][r] for r in range(4)] for c in range(problem.topology.c)]


def short_rows(problem: Problem, free: list[list[int]], i: int, amps: int, cost: Any) -> list[int]:
    """Rows without room for ``amps`` more of asset ``i``."""
    return [
        c * 4 + r
        for c in problem.topology.chain[i]
        for r in range(4)
        if cost[i, r] and problem.budget[c, r] < NO_LIMIT and free[c][r] < amps * int(cost[i, r])
    ]


@MANY
@given(problems())
def test_invariant_01_no_row_is_exceeded(problem):
    allocation = solve(problem)
    assert all(free >= 0 for row in slack(problem, allocation) for free in row)


@MANY
@given(problems())
def test_invariant_02_zero_or_between_minimum_and_ceiling(problem):
    allocation, demand = solve(problem), problem.demand
    amps = allocation.amps_ma
    running = amps > 0
    assert (amps[running] >= demand.floor_ma[running]).all()
    assert (amps[running] <= demand.ceiling_ma[running]).all()
    assert (running == allocation.admitted).all()
    assert not running[[i for i in range(problem.topology.n) if i not in demand.order]].any()
    stepped = quantise(amps, problem.topology)
    assert ((stepped == 0) | (stepped >= problem.topology.min_ma)).all()
    assert (stepped <= amps).all()


@MANY
@given(problems(), st.randoms(use_true_random=False))
def test_invariant_03_the_order_of_the_inputs_does_not_matter(problem, random):
    order = list(range(problem.topology.n))
    random.shuffle(order)
    other = Problem(permuted(problem.topology, order), problem.budget, with_columns(problem.demand, order))
    first, second = solve(problem), solve(other)
    assert first.amps_ma[order].tolist() == second.amps_ma.tolist()
    assert first.admitted[order].tolist() == second.admitted.tolist()
    assert first.binding[order].tolist() == second.binding.tolist()


@MANY
@given(problems())
def test_invariant_04_no_admitted_car_can_get_one_more_step(problem):
    allocation = solve(problem)
    free = slack(problem, allocation)
    for i in np.flatnonzero(allocation.admitted).tolist():
        step = int(problem.topology.step_ma[i])
        at_ceiling = allocation.amps_ma[i] + step > problem.demand.ceiling_ma[i]
        assert at_ceiling or short_rows(problem, free, i, step, allocation.cost)


@MANY
@given(problems())
def test_invariant_05_no_queued_car_would_fit(problem):
    allocation, demand = solve(problem), problem.demand
    free = slack(problem, allocation)
    for i in demand.order:
        if allocation.admitted[i]:
            continue
        assert short_rows(problem, free, i, int(demand.floor_ma[i]), demand.cost)
        if demand.single[i]:
            assert short_rows(problem, free, i, int(demand.floor_ma[i]), demand.single_cost)


@MANY
@given(problems())
def test_invariant_06_the_lowest_tier_never_decides_who_is_admitted_above(problem):
    tiers = {int(problem.demand.tier[i]) for i in problem.demand.order}
    if len(tiers) < 2:
        return
    above = tuple(i for i in problem.demand.order if problem.demand.tier[i] < max(tiers))
    alone = replace(problem, demand=replace(problem.demand, order=above))
    with_all, without = solve(problem), solve(alone)
    assert with_all.admitted[list(above)].tolist() == without.admitted[list(above)].tolist()


@MANY
@given(problems(), st.integers(0, 2**32))
def test_invariant_07_lowering_anybody_stays_feasible(problem, seed):
    allocation = solve(problem)
    share = np.random.default_rng(seed).random(problem.topology.n)
    lowered = quantise((allocation.amps_ma * share).astype(np.int64), problem.topology)
    sums = used(problem, lowered, allocation.cost)
    assert all(sums[c][r] <= problem.budget[c, r] for c in range(problem.topology.c) for r in range(4))


@MANY
@given(problems(single=False), st.integers(0, 2**32))
def test_invariant_08_larger_limits_never_lose_an_admission_in_order(problem, seed):
    rng = np.random.default_rng(seed)
    more = problem.budget + rng.integers(0, 20_000, problem.budget.shape) * (rng.random(problem.budget.shape) < 0.5)
    order = list(problem.demand.order)
    before = solve(problem).admitted[order].tolist()
    after = solve(replace(problem, budget=more)).admitted[order].tolist()
    assert after >= before, "lexicographically"


@MANY
@given(problems())
def test_invariant_15_one_allocation_is_bit_equal_when_repeated(problem):
    first, second = solve(problem), solve(problem)
    for name in ("amps_ma", "binding", "admitted", "fits", "on_one", "cost"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@MANY
@given(problems(single=False), st.integers(0, 2**32))
def test_invariant_20_phases_a_car_does_not_use_never_limit_it(problem, seed):
    """Shrink rows to nothing on phases nobody below them uses: nothing changes."""
    topology, cost = problem.topology, problem.demand.cost
    budget = problem.budget.copy()
    for c in range(topology.c):
        for p in range(3):
            if not any(cost[i, p] for i in range(topology.n) if c in topology.chain[i]):
                budget[c, p] = 0
    first, second = solve(problem), solve(replace(problem, budget=budget))
    assert first.amps_ma.tolist() == second.amps_ma.tolist()


def turned(topology: Topology, turn: tuple[int, ...]) -> Topology:
    """Every conductor on phase p moves to phase turn[p]."""
    assets: list[Asset] = [replace(a, phases=tuple(turn[p] for p in a.phases)) for a in topology.assets]
    circuits: list[Circuit] = [replace(c, rated_a=rotated(c.rated_a, turn)) for c in topology.circuits]
    return build_topology(circuits, assets, version=topology.version)


def rotated(values: Any, turn: tuple[int, ...]) -> Any:
    out = [0.0, 0.0, 0.0]
    for p in range(3):
        out[turn[p]] = values[p]
    return tuple(out)


@MANY
@given(problems(single=False), st.sampled_from(list(permutations(range(3)))))
def test_invariant_20_turning_all_phases_turns_the_result(problem, turn):
    topology = turned(problem.topology, turn)
    budget, cost = problem.budget.copy(), problem.demand.cost.copy()
    for p in range(3):
        budget[:, turn[p]] = problem.budget[:, p]
        cost[:, turn[p]] = problem.demand.cost[:, p]
    other = Problem(topology, budget, replace(problem.demand, cost=cost))
    assert solve(problem).amps_ma.tolist() == solve(other).amps_ma.tolist()


@MANY
@given(problems())
def test_invariant_21_everybody_below_the_ceiling_has_one_binding_row(problem):
    allocation, demand = solve(problem), problem.demand
    free = slack(problem, allocation)
    for i in demand.order:
        amps, step = int(allocation.amps_ma[i]), int(problem.topology.step_ma[i])
        row = int(allocation.binding[i])
        if allocation.admitted[i] and amps + step > demand.ceiling_ma[i]:
            continue
        assert row != NOBODY, (i, amps)
        assert row // 4 in problem.topology.chain[i]
        if allocation.admitted[i]:
            assert row in short_rows(problem, free, i, step, allocation.cost)
        else:
            assert row in short_rows(problem, free, i, int(demand.floor_ma[i]), demand.cost)


@MANY
@given(problems(least_evses=1))
def test_equal_cars_on_one_row_get_equal_shares(problem):
    """Max-min: whoever has less than another of the same tier, weight and minimum is at its own ceiling; what rounding
    leaves over is worth less than two steps."""
    allocation, demand, topology = solve(problem), problem.demand, problem.topology
    for i in demand.order:
        for j in demand.order:
            same = demand.tier[i] == demand.tier[j] and demand.weight[i] == demand.weight[j]
            same &= topology.chain[i] == topology.chain[j] and (allocation.cost[i] == allocation.cost[j]).all()
            same &= demand.floor_ma[i] == demand.floor_ma[j]
            same &= bool(allocation.admitted[i]) and bool(allocation.admitted[j])
            if not same or allocation.amps_ma[i] >= allocation.amps_ma[j]:
                continue
            gap = int(allocation.amps_ma[j] - allocation.amps_ma[i])
            step = int(max(topology.step_ma[i], topology.step_ma[j]))
            at_ceiling = allocation.amps_ma[i] + topology.step_ma[i] > demand.ceiling_ma[i]
            pull = int(demand.weight.sum()) * 3
            assert at_ceiling or gap < 2 * step + pull


def test_a_site_without_cars_or_limits_is_no_special_case():
    empty = build_topology([Circuit("gcp", None, (63.0,) * 3)], [], version="x")
    nothing, nobody = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    cost = costs_of(empty)
    demand = Demand((), nothing, nothing, nothing, nothing, cost, nobody, nothing, nobody, cost)
    assert allocate(np.full((1, 4), NO_LIMIT), demand, empty).amps_ma.tolist() == []
