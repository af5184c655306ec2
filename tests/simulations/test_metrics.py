"""The judge of overloads: who caused it, counted per row and second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.units import Floats
from simulations.plant.ev import Arrival, CarTraits
from simulations.plant.metrics import Judge
from simulations.plant.site import Plant
from tests.simulations.sites import garage
from tests.simulations.test_plant import run


def row(value_a: float) -> Floats:
    return np.array([[value_a, 0.0, 0.0]])


def feed(judge: Judge, seconds: int, row_a: float, background_a: float, late_a: float = 0.0) -> None:
    for _ in range(seconds):
        judge.add(1.0, row(row_a), row(background_a), row(late_a))


def test_cars_above_the_rating_under_a_steady_background_are_self_made() -> None:
    judge = Judge(garage(), 1.0)
    feed(judge, 100, 50.0, 20.0)
    feed(judge, 5, 61.0, 20.0)
    result = judge.result()
    assert (result.overload_s, result.self_made_overload_s) == (5.0, 5.0)
    assert result.worst_excess_a == pytest.approx(1.0)
    assert result.longest_s == 5.0


def test_a_background_step_excuses_fourteen_seconds_and_no_more() -> None:
    judge = Judge(garage(), 1.0)
    feed(judge, 100, 50.0, 20.0)
    feed(judge, 20, 70.0, 40.0)
    result = judge.result()
    assert result.overload_s == 20.0
    assert result.self_made_overload_s == 6.0


@pytest.mark.parametrize(("meter_s", "settle_s", "own_s"), [(1.0, 1.0, 16.0), (10.0, 1.0, 7.0), (3.0, 3.0, 12.0)])
def test_fourteen_seconds_count_from_the_sample_of_a_slow_meter_to_slow_chargers(meter_s, settle_s, own_s) -> None:
    plain = garage()
    slow = replace(
        plain,
        meter_period_s=np.full(plain.c, meter_s),
        settle_poll_s=np.full(plain.n, settle_s),
        metered=np.full(plain.c, True),
    )
    judge = Judge(slow, 1.0)
    feed(judge, 100, 50.0, 20.0)
    feed(judge, 30, 70.0, 40.0)
    assert judge.result().self_made_overload_s == own_s


def test_a_background_that_comes_back_within_the_minute_is_no_news() -> None:
    judge = Judge(garage(), 1.0)
    feed(judge, 100, 50.0, 20.0)
    feed(judge, 5, 55.0, 40.0)
    feed(judge, 30, 50.0, 20.0)
    feed(judge, 3, 70.0, 40.0)
    assert judge.result().self_made_overload_s == 3.0
    feed(judge, 100, 50.0, 20.0)
    feed(judge, 3, 70.0, 40.0)
    assert judge.result().self_made_overload_s == 3.0
    assert judge.result().overload_s == 6.0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=300))
def test_the_window_equals_a_plain_loop(samples: list[tuple[int, int]]) -> None:
    judge = Judge(garage(), 1.0)
    expected = 0
    for k, (background_a, cars_a) in enumerate(samples):
        judge.add(1.0, row(background_a + cars_a), row(background_a), 0.0)
        before = [samples[max(j, 0)][0] for j in range(k - 60, k - 13)]
        expected += background_a + cars_a > 60 and background_a <= max(before)
    assert judge.result().self_made_overload_s == expected


def test_a_car_that_starts_on_an_unused_conductor_counts_as_relearned() -> None:
    late = Arrival("e1", 0.0, 1e9, 1e6, max_a=16.0, traits=CarTraits(late_conductors_s=200.0))
    plant = Plant(garage(2, rated_a=17.0), [late, Arrival("e0", 0.0, 1e9, 1e6, max_a=6.0)], seed=1)
    run(plant, 150, np.array([0.0, 16.0]))
    run(plant, 49, np.array([6.0, 16.0]))
    before = plant.judge.result()
    run(plant, 20, np.array([6.0, 16.0]))
    after = plant.judge.result()
    # L1 carries both cars from the start of the second one; L2 and L3 only once the first car wakes them.
    assert before.self_made_overload_s > 0.0
    assert before.relearn_overload_s == 0.0
    # 19 s of two woken rows: 14 are an outside step, after that they should have been cured.
    assert after.relearn_overload_s == 2 * 14.0
    assert after.self_made_overload_s == before.self_made_overload_s + 20.0 + 2 * 5.0
