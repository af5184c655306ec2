"""Quantile series, weighted quantiles and scores against independent computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forecasting.core.history import Measured, looked_up
from forecasting.core.quantiles import LEVELS, QUANTILES, QuantileSeries, mean_of, weighted_quantiles
from forecasting.core.score import coverage, mae, nmae, pinball, skill

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
TABLES = arrays(np.float64, st.tuples(st.integers(1, 20), st.just(len(QUANTILES))), elements=FINITE)


@given(TABLES, st.floats(-10.0, 10.0))
def test_values_are_in_order_whatever_goes_in(values, factor):
    series = QuantileSeries(0, values)
    for each in (series, series.scaled(factor), series.clipped(-5.0, 7.0)):
        assert (np.diff(each.values, axis=1) >= 0.0).all()
        assert each.start_epoch_s == 0
        assert each.steps == len(values)
    clipped = series.clipped(-5.0, 7.0).values
    assert clipped.min() >= -5.0
    assert clipped.max() <= 7.0


@given(TABLES)
def test_the_mean_lies_inside_and_is_exact_for_a_point(values):
    series = QuantileSeries(0, values)
    slack = 1e-9 * (1.0 + np.abs(values).max())
    assert (series.mean >= series.values[:, 0] - slack).all()
    assert (series.mean <= series.values[:, -1] + slack).all()
    point = np.repeat(values[:, :1], len(QUANTILES), axis=1)
    np.testing.assert_allclose(mean_of(point), values[:, 0], rtol=1e-12, atol=1e-9)


def test_the_mean_of_a_known_quantile_function():
    assert mean_of(LEVELS[None, :] * 10.0)[0] == pytest.approx(5.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused(bad):
    values = np.zeros((3, len(QUANTILES)))
    values[1, 4] = bad
    with pytest.raises(ValueError, match="not a number"):
        QuantileSeries(0, values)
    with pytest.raises(ValueError, match="shape"):
        QuantileSeries(0, np.zeros((3, 5)))


def test_values_cannot_be_written():
    series = QuantileSeries(0, np.zeros((2, len(QUANTILES))))
    with pytest.raises(ValueError, match="read-only"):
        series.values[0, 0] = 1.0


def test_steps_and_levels_between():
    series = QuantileSeries(900, np.tile(LEVELS, (3, 1)))
    assert series.epoch_s.tolist() == [900, 1800, 2700]
    np.testing.assert_allclose(series.at(0.45), 0.45)
    np.testing.assert_allclose(series.at(0.01), 0.05)


def reference_quantile(samples: list[float], weights: list[float], level: float) -> float:
    """The same definition, one row at a time and in plain Python."""
    pairs = sorted(zip(samples, weights, strict=True), key=lambda pair: pair[0])
    total, run, ranks = sum(w for _, w in pairs), 0.0, []
    for _, weight in pairs:
        ranks.append((run + weight / 2.0) / total)
        run += weight
    return float(np.interp(level, ranks, [s for s, _ in pairs]))


@given(st.lists(st.tuples(st.floats(-100.0, 100.0), st.floats(0.01, 5.0)), min_size=1, max_size=30))
def test_weighted_quantiles_against_a_plain_computation(pairs):
    samples, weights = (list(column) for column in zip(*pairs, strict=True))
    found = weighted_quantiles(np.array([samples]), np.array([weights]))[0]
    expected = [reference_quantile(samples, weights, level) for level in QUANTILES]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=12), st.integers(1, 5))
def test_missing_samples_weigh_nothing(samples, missing):
    alone = weighted_quantiles(np.array([samples]), np.ones((1, len(samples))))
    padded = np.array([[np.nan] * missing + samples + [np.inf]])
    np.testing.assert_allclose(weighted_quantiles(padded, np.ones(padded.shape)), alone, rtol=1e-9, atol=1e-9)


def test_a_row_without_weight_is_said_to_be_unknown():
    found = weighted_quantiles(np.array([[np.nan, np.nan], [1.0, 3.0]]), np.ones((2, 2)))
    assert np.isnan(found[0]).all()
    assert found[1, 5] == 2.0


# -- history ----------------------------------------------------------------------------------------------------------


def test_history_knows_only_quarters_that_have_ended_and_nobody_held_back():
    held = np.array([False, True, False, False])
    history = Measured(0, np.array([1.0, 2.0, np.inf, 4.0]), held)
    np.testing.assert_array_equal(history.free_kw(), [1.0, np.nan, np.nan, 4.0])
    assert len(history.until(1799).power_kw) == 1
    assert len(history.until(1800).power_kw) == 2
    assert len(history.until(-5).power_kw) == 0
    assert len(history.until(10**9).power_kw) == 4
    found = looked_up(0, history.power_kw, np.array([-1, 0, 899, 900, 3599, 3600]))
    np.testing.assert_array_equal(found, [np.nan, 1.0, 1.0, 2.0, 4.0, np.nan])


# -- scores -----------------------------------------------------------------------------------------------------------


def test_scores_of_a_case_done_by_hand():
    values = np.tile(np.linspace(0.0, 10.0, len(QUANTILES)), (3, 1))
    observed = np.array([5.0, 20.0, np.nan])
    by_hand = np.mean(
        [max(q * (y - v), (q - 1.0) * (y - v)) for y in (5.0, 20.0) for q, v in zip(QUANTILES, values[0], strict=True)]
    )
    assert pinball(observed, values) == pytest.approx(by_hand)
    assert coverage(observed, values) == 0.5
    assert coverage(observed, values, 0.9) == 0.5
    assert mae(observed, values[:, 5]) == 7.5
    assert nmae(observed, values[:, 5], 10.0) == 0.75
    assert skill(0.5, 2.0) == 0.75


@given(st.floats(-50.0, 50.0), st.floats(0.1, 10.0))
def test_no_point_beats_the_true_quantiles_on_average(centre, width):
    sample = centre + width * (np.arange(200) + 0.5) / 200.0
    truth = np.tile(centre + width * LEVELS, (200, 1))
    point = np.full((200, len(QUANTILES)), centre + width / 2.0)
    assert pinball(sample, truth) < pinball(sample, point)
