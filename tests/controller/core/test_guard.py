"""The guard alone, swept over the whole range: what it lets pass never overloads a row."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.guard import Verdict, guard
from controller.core.params import NO_LIMIT, Params
from controller.core.records import GuardMemory
from controller.core.state import initial
from interfaces.domain.image import Image, Pilot
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING
from tests.controller.core.table import START_S, blank_image, branch, evse, gcp, site
from tests.strategies import costs_of, topologies


def plugged(topology: Topology) -> Image:
    """Everybody has a car and draws nothing."""
    image = blank_image(topology)
    return replace(
        image,
        pilot=np.full(topology.n, int(Pilot.B2)),
        asset_ma=np.zeros((topology.n, 3), dtype=np.int64),
        offered_ma=np.zeros(topology.n, dtype=np.int64),
    )


def fresh(topology: Topology) -> GuardMemory:
    return initial(Params.of(topology), START_S).guard


def ask(
    told: list[int],
    budget: list[list[int]],
    *,
    topology: Topology,
    memory: GuardMemory | None = None,
    image: Image | None = None,
    lost: tuple[bool, ...] | None = None,
    now_s: float = START_S + 100,
) -> Verdict:
    return guard(
        np.array(told, dtype=np.int64),
        np.array(budget, dtype=np.int64),
        costs_of(topology),
        fresh(topology) if memory is None else memory,
        plugged(topology) if image is None else image,
        topology,
        (False,) * topology.n if lost is None else lost,
        now_s,
    )


TWO = site([gcp(40.0), branch("b", "gcp", 20.0)], [evse("e0", phases=(0,)), evse("e1", "b")])
OPEN = [[NO_LIMIT] * 4, [NO_LIMIT] * 4]


def rows(gcp_a: float, b_a: float) -> list[list[int]]:
    return [[int(gcp_a * 1000)] * 3 + [NO_LIMIT], [int(b_a * 1000)] * 3 + [NO_LIMIT]]


def test_the_whole_range_against_the_whole_range():
    """Every pair of setpoints against every budget, from nothing: it passes exactly when every row fits."""
    for first, second in product(range(0, 16_001, 2000), repeat=2):
        for limit, inner in product(range(0, 33_000, 4000), range(0, 20_001, 4000)):
            bad = ask([first, second], rows(limit / 1000, inner / 1000), topology=TWO).bad
            fits = first + second <= limit and second <= inner
            assert (not bad) == (fits or (first == 0 and second == 0)), (first, second, limit, inner)


@settings(max_examples=300)
@given(topologies(least_evses=1), st.integers(0, 2**32))
def test_what_passes_with_a_raise_fits_every_row(topology, seed):
    rng = np.random.default_rng(seed)
    told = (topology.max_ma * (rng.random(topology.n) < 0.6)).tolist()
    budget = rng.integers(0, 120_000, (topology.c, 4)).tolist()
    for row in budget:
        row[3] = NO_LIMIT if rng.random() < 0.5 else row[3] * 690
    verdict = ask(told, budget, topology=topology)
    cost = costs_of(topology)
    over = {
        (c, r)
        for c in range(topology.c)
        for r in range(4)
        if sum(told[i] * int(cost[i, r]) for i in range(topology.n) if c in topology.chain[i]) > budget[c][r]
    }
    raised = {
        (c, r) for c, r in over if any(told[i] and cost[i, r] for i in range(topology.n) if c in topology.chain[i])
    }
    assert set(verdict.bad) == raised


def test_one_milliampere_too_much_is_too_much():
    assert not ask([16_000, 4000], rows(20.0, 20.0), topology=TWO).bad
    assert ask([16_000, 4000], rows(19.999, 20.0), topology=TWO).bad == ((0, 0),)


def test_the_power_row_counts_watts():
    budget = [[NO_LIMIT] * 3 + [16_000 * 230 + 16_000 * 690], [NO_LIMIT] * 4]
    assert not ask([16_000, 16_000], budget, topology=TWO).bad
    budget[0][3] -= 1
    assert ask([16_000, 16_000], budget, topology=TWO).bad == ((0, 3),)


def after(told: list[int], seconds: float = 1.0) -> tuple[GuardMemory, float]:
    """The guard's memory some seconds after these commands passed."""
    verdict = ask(told, OPEN, topology=TWO)
    return verdict.memory, START_S + 100 + seconds


def test_a_revoked_offer_counts_ten_seconds():
    """16 A revoked from e0; e1 may have them only when e0's car has had its ten seconds."""
    for seconds in (0.2, 1.0, 5.0, 9.0, 9.9):
        memory, now_s = after([16_000, 0], seconds)
        assert ask([0, 16_000], rows(20, 20), topology=TWO, memory=memory, now_s=now_s).bad == ((0, 0),), seconds
    memory, now_s = after([16_000, 0], 0.0)
    memory = ask([0, 0], rows(20, 20), topology=TWO, memory=memory, now_s=now_s).memory
    assert not ask([0, 16_000], rows(20, 20), topology=TWO, memory=memory, now_s=now_s + 12.0).bad


def test_a_slow_device_counts_its_own_release_time():
    slow = site([gcp(40.0)], [evse("e0", release_s=40.0), evse("e1")])
    one = [[20_000] * 3 + [NO_LIMIT]]
    memory = ask([16_000, 0], one, topology=slow).memory
    memory = ask([0, 0], one, topology=slow, memory=memory, now_s=START_S + 101).memory
    assert ask([0, 16_000], one, topology=slow, memory=memory, now_s=START_S + 130).bad
    assert not ask([0, 16_000], one, topology=slow, memory=memory, now_s=START_S + 150).bad


def test_lower_commands_pass_when_they_fit_although_cars_are_still_above():
    """The budget fell: what is told fits, what may still be drawn does not; no failsafe."""
    memory, now_s = after([16_000, 16_000])
    assert not ask([6000, 6000], rows(12, 12), topology=TWO, memory=memory, now_s=now_s).bad
    assert ask([6000, 7000], rows(12, 12), topology=TWO, memory=memory, now_s=now_s).bad


def test_a_raise_elsewhere_is_no_excuse():
    memory, now_s = after([16_000, 6000])
    bad = ask([6000, 7000], rows(14, 14), topology=TWO, memory=memory, now_s=now_s).bad
    assert bad == ((0, 0),), "e1 rises on L1 while e0 may still draw 16 A there"


def test_a_raise_on_another_phase_does_not_matter():
    apart = site([gcp(40.0)], [evse("e0", phases=(0,)), evse("e1", phases=(1,))])
    one = [[14_000] * 3 + [NO_LIMIT]]
    memory = ask([16_000, 6000], [[NO_LIMIT] * 4], topology=apart).memory
    assert not ask([6000, 7000], one, topology=apart, memory=memory, now_s=START_S + 101).bad


def test_zero_for_all_always_passes():
    memory, now_s = after([16_000, 16_000])
    assert not ask([0, 0], rows(0, 0), topology=TWO, memory=memory, now_s=now_s).bad


@pytest.mark.parametrize(
    ("failsafe_a", "trusted", "counts_a"), [(6.0, True, 6.0), (0.0, True, 0.0), (6.0, False, 16.0)]
)
def test_an_unreachable_charger_counts_its_failsafe_or_its_nameplate(failsafe_a, trusted, counts_a):
    topology = site([gcp(40.0)], [evse("e0", failsafe_a=failsafe_a, failsafe_trusted=trusted), evse("e1")])
    image = replace(plugged(topology), failsafe_proof=np.zeros(2, dtype=np.int64))
    limit = int(counts_a * 1000) + 10_000
    memory = replace(fresh(topology), told_ma=np.array([0, 10_000]))
    for asked, passes in ((10_000, True), (11_000, False)):
        budget = [[limit] * 3 + [NO_LIMIT]]
        bad = ask([0, asked], budget, topology=topology, memory=memory, image=image, lost=(True, False)).bad
        assert (not bad) == passes


def test_a_reading_far_above_everything_believed_counts():
    image = replace(plugged(TWO), asset_ma=np.array([[16_000, MISSING, MISSING], [0, 0, 0]]))
    assert ask([0, 8000], rows(20, 20), topology=TWO, image=image).bad == ((0, 0),)
    image = replace(plugged(TWO), asset_ma=np.array([[900, MISSING, MISSING], [0, 0, 0]]))
    assert not ask([0, 8000], rows(8, 20), topology=TWO, image=image).bad, "the meter's class"


def test_declared_off_counts_nothing():
    image = replace(plugged(TWO), declared_off=np.array([True, False]), failsafe_proof=np.zeros(2, dtype=np.int64))
    assert not ask([0, 16_000], rows(16, 16), topology=TWO, image=image, lost=(True, False)).bad


def test_discharge_is_no_credit():
    assert ask([-16_000, 16_000], rows(10, 20), topology=TWO).bad


@pytest.mark.parametrize("wild", [-1, -(2**40), 2**40])
def test_wild_commands_are_caught_or_harmless(wild):
    bad = ask([wild, 0], rows(20, 20), topology=TWO).bad
    assert bool(bad) == (wild > 0)
