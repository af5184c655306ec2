"""The grid of scans and its lateness."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.service.pacing import BUCKETS, FACTOR, Histogram, Pacer


def test_slots_lie_on_an_absolute_grid():
    pacer = Pacer(0.2, 10.0)
    for slot in range(1000):
        assert pacer.due_s == pytest.approx(10.0 + 0.2 * slot, abs=1e-9)
        assert pacer.begin(pacer.due_s + 0.01) == pytest.approx(0.01)
    assert (pacer.missed, pacer.late) == (0, 0)


def test_missed_slots_are_skipped_and_counted():
    pacer = Pacer(0.2, 10.0)
    pacer.begin(10.0)
    assert pacer.begin(11.25) == pytest.approx(1.05)
    assert (pacer.missed, pacer.late, pacer.late_in_a_row) == (5, 1, 1)
    assert pacer.due_s == pytest.approx(11.4)
    pacer.begin(11.4)
    assert pacer.late_in_a_row == 0


def test_row_68_late_scans_in_a_row_are_counted():
    pacer = Pacer(0.2, 0.0)
    for n in range(1, 6):
        pacer.begin(pacer.due_s + 0.15)
        assert pacer.late_in_a_row == n
    pacer.begin(pacer.due_s + 0.09)
    assert pacer.late_in_a_row == 0
    assert pacer.missed == 0


@given(st.lists(st.floats(0.00001, 9.0), min_size=1, max_size=300), st.sampled_from([0.5, 0.99, 0.999]))
@settings(max_examples=200, deadline=None)
def test_quantiles_are_exact_to_a_bucket(durations, share):
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    ordered = sorted(durations)
    exact = ordered[max(0, -(-int(share * 1e6) * len(ordered) // 10**6) - 1)]
    assert exact / FACTOR <= histogram.quantile_s(share) * 1.000001
    assert histogram.quantile_s(share) <= exact * FACTOR * 1.000001
    assert histogram.most_s == ordered[-1]


def test_a_histogram_is_bounded_whatever_comes():
    histogram = Histogram()
    for duration in (0.0, 1e-9, 1e9):
        histogram.add(duration)
    assert sum(histogram.counts) == 3
    assert len(histogram.counts) == BUCKETS
    assert Histogram().quantile_s(0.5) == 0.0
