"""Who waits and who runs, on a clock that only the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.service.waiting import Waiting


def test_the_longest_due_comes_first_and_nobody_before_its_time():
    waiting = Waiting()
    for site, due_s in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
        waiting.submit(site, due_s)
    assert waiting.take(9.9, 5) == ()
    assert waiting.next_due_s() == 10.0
    assert waiting.take(25.0, 5) == ("a", "b")
    assert waiting.next_due_s() == 30.0
    assert waiting.take(30.0, 5) == ("c",)
    assert waiting.next_due_s() == float("inf")


def test_calls_for_one_site_become_one_at_the_earlier_moment():
    waiting = Waiting()
    for due_s in (20.0, 10.0, 30.0):
        waiting.submit("a", due_s)
    assert waiting.take(10.0, 5) == ("a",)
    waiting.done("a")
    assert waiting.take(100.0, 5) == ()


def test_a_site_that_runs_waits_on_and_runs_again():
    waiting = Waiting()
    waiting.submit("a", 0.0)
    waiting.take(0.0, 5)
    waiting.submit("a", 1.0)
    waiting.submit("b", 2.0)
    assert waiting.next_due_s() == 2.0
    assert waiting.count_due(5.0, 10) == 1
    assert waiting.take(5.0, 5) == ("b",)
    waiting.done("a")
    assert waiting.take(5.0, 5) == ("a",)


def test_no_more_than_asked_for():
    waiting = Waiting()
    for k in range(10):
        waiting.submit(f"s{k}", 0.0)
    assert waiting.count_due(0.0, 4) == 4
    assert waiting.count_due(0.0, 40) == 10
    assert len(waiting.take(0.0, 4)) == 4
    assert waiting.count_due(0.0, 40) == 6


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("submit"), st.integers(0, 4), st.integers(0, 20)),
            st.tuples(st.just("take"), st.integers(1, 3), st.integers(0, 25)),
            st.tuples(st.just("done"), st.integers(0, 4), st.just(0)),
        ),
        max_size=60,
    )
)
def test_no_site_runs_twice_and_no_call_is_lost(steps):
    waiting = Waiting()
    running: set[str] = set()
    wanted: dict[str, float] = {}
    for what, number, at in steps:
        if what == "submit":
            waiting.submit(str(number), float(at))
            wanted[str(number)] = min(wanted.get(str(number), float("inf")), float(at))
        elif what == "done":
            waiting.done(str(number))
            running.discard(str(number))
        else:
            for site in waiting.take(float(at), number):
                assert site not in running
                assert wanted.pop(site) <= at
                running.add(site)
        assert waiting.running == running
    for site in list(running):
        waiting.done(site)
    assert set(waiting.take(100.0, 100)) == set(wanted)


@pytest.mark.parametrize("most", [0, 1])
def test_an_empty_queue(most):
    assert Waiting().take(1e9, most) == ()
    assert Waiting().count_due(1e9, most) == 0
