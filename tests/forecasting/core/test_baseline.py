"""The forecasts to beat do what they say, gaps and short histories included."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.core.baseline import climatology, persistence, persistence_with_spread
from forecasting.core.history import Measured

DAY = 86_400


def history(days: int) -> Measured:
    """Each day its own level, rising over the day."""
    return Measured(0, np.repeat(np.arange(days, dtype=float), 96) * 100.0 + np.tile(np.arange(96.0), days))


def test_persistence_repeats_the_last_known_day():
    point = persistence(history(10), 10 * DAY, 192).median
    np.testing.assert_array_equal(point[:96], 900.0 + np.arange(96))
    np.testing.assert_array_equal(point[96:], 900.0 + np.arange(96))
    weekly = persistence(history(10), 10 * DAY, 192, lag_days=7).median
    np.testing.assert_array_equal(weekly[:96], 300.0 + np.arange(96))
    np.testing.assert_array_equal(weekly[96:], 400.0 + np.arange(96))


def test_persistence_never_looks_ahead():
    later = history(12)
    np.testing.assert_array_equal(
        persistence(later, 10 * DAY, 192).values, persistence(history(10), 10 * DAY, 192).values
    )


@pytest.mark.parametrize("make", [persistence, persistence_with_spread, climatology])
@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_short_or_broken_history_still_gives_numbers(make, days):
    broken = history(days).power_kw.copy()
    broken[::3] = np.nan
    assert np.isfinite(make(Measured(0, broken), days * DAY, 192).values).all()


def test_spread_is_that_of_its_own_errors():
    series = persistence_with_spread(history(10), 10 * DAY, 4)
    np.testing.assert_allclose(series.values - persistence(history(10), 10 * DAY, 4).values, 100.0)


def test_climatology_is_the_distribution_of_the_same_hour():
    series = climatology(history(28), 28 * DAY, 96)
    assert series.median[0] == pytest.approx(1350.0)
    assert series.median[95] == pytest.approx(1350.0 + 95.0)
    assert series.values[0, 0] < 300.0
