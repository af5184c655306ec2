"""The envelope: commutative, only shrinking, never infeasible, bit-equal in every order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.envelope import Cap, Envelope, meet, top
from controller.core.params import NO_LIMIT
from controller.core.rules import RULES
from interfaces.domain.reasons import Reason
from tests.controller.core.table import Table, garage
from tests.strategies import topologies

FIELDS = ("high_ma", "high_reason", "low_ma", "low_reason", "budget", "budget_reason")


def same(first: Envelope, second: Envelope) -> bool:
    return all(getattr(first, name).tobytes() == getattr(second, name).tobytes() for name in FIELDS)


@st.composite
def capped_sites(draw: st.DrawFn):
    """A topology and some caps of random rules; small ranges, so that ties happen."""
    topology = draw(topologies())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    caps = []
    for reason in draw(st.permutations(list(Reason)[:40]))[: draw(st.integers(0, 6))]:
        shape = rng.random(3)
        caps.append(
            Cap(
                reason,
                high_ma=rng.integers(0, 5, topology.n) * 8000 if shape[0] < 0.7 else None,
                low_ma=-rng.integers(0, 4, topology.n) * 8000 if shape[1] < 0.5 else None,
                budget=rng.integers(0, 4, (topology.c, 4)) * 10_000 if shape[2] < 0.7 else None,
            )
        )
    return topology, caps


@settings(max_examples=200)
@given(capped_sites(), st.randoms(use_true_random=False))
def test_the_order_of_the_rules_does_not_matter(site_and_caps, random):
    topology, caps = site_and_caps
    shuffled = list(caps)
    random.shuffle(shuffled)
    assert same(meet(topology, caps), meet(topology, shuffled))


@settings(max_examples=200)
@given(capped_sites())
def test_one_more_rule_only_shrinks(site_and_caps):
    topology, caps = site_and_caps
    for k in range(len(caps)):
        before, after = meet(topology, caps[:k]), meet(topology, caps[: k + 1])
        assert (after.high_ma <= before.high_ma).all()
        assert (after.low_ma >= before.low_ma).all()
        assert (after.budget <= before.budget).all()
        assert (after.high_ma >= 0).all()
        assert (after.low_ma <= 0).all()


@settings(max_examples=100)
@given(capped_sites())
def test_a_rule_said_twice_is_said_once(site_and_caps):
    topology, caps = site_and_caps
    assert same(meet(topology, caps), meet(topology, [*caps, *caps]))


@settings(max_examples=100)
@given(capped_sites())
def test_the_reason_named_is_one_that_binds(site_and_caps):
    topology, caps = site_and_caps
    env = meet(topology, caps)
    by_code = {int(cap.reason): cap for cap in caps}
    for i in range(topology.n):
        if int(env.high_ma[i]) < int(topology.max_ma[i]):
            cap = by_code[int(env.high_reason[i])]
            assert cap.high_ma is not None
            assert cap.high_ma[i] == env.high_ma[i]
    for c in range(topology.c):
        for r in range(4):
            if env.budget[c, r] < NO_LIMIT:
                cap = by_code[int(env.budget_reason[c, r])]
                assert cap.budget is not None
                assert cap.budget[c, r] == env.budget[c, r]


def test_all_orders_of_the_real_rules_on_a_real_image_are_bit_equal():
    table = Table(garage(3)).plug("e0", "e1", wires=1).load("gcp", 20).after(seconds=120)
    caps = [rule(table.image, table.state, table.params, table.now_s) for rule in RULES]
    talking = [cap for cap in caps if cap.high_ma is not None or cap.low_ma is not None or cap.budget is not None]
    expected = meet(table.topology, caps)
    orders = list(permutations(talking)) if len(talking) <= 6 else list(permutations(talking[:6]))
    assert len(orders) >= 24
    rest = talking[6:] if len(talking) > 6 else []
    assert all(same(expected, meet(table.topology, [*order, *rest])) for order in orders)
    assert same(expected, meet(table.topology, caps[::-1]))


def test_no_rules_leave_the_nameplate():
    env = top(garage(2))
    assert env.high_ma.tolist() == [16_000, 16_000]
    assert env.high_reason.tolist() == [int(Reason.RATED)] * 2
    assert (env.budget == NO_LIMIT).all()


@pytest.mark.parametrize(
    "wrong",
    [{"high_ma": np.array([-1])}, {"low_ma": np.array([1])}, {"budget": np.array([[0, 0, -1, 0]])}],
)
def test_an_interval_without_zero_is_a_bug(wrong):
    with pytest.raises(ValueError, match="excludes 0"):
        Cap(Reason.PLAN, **wrong)
