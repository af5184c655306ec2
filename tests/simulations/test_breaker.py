"""Trip times against the printed tables: gG melting curves and the thermal model of IEC 60898-1 breakers."""

from __future__ import annotations

import numpy as np
import pytest

from interfaces.domain.topology import Protection
from simulations.plant.breaker import Breakers, gg_seconds, mcb_seconds, trip_seconds
from tests.simulations.sites import garage


@pytest.mark.parametrize(
    ("rated_a", "multiple", "seconds"),
    [(63, 1.45, 3707), (63, 1.6, 2234), (63, 2.0, 692), (63, 3.0, 76), (63, 4.83, 5), (25, 2.5, 109), (250, 2.0, 1053)],
)
def test_fuses_melt_at_the_table_points(rated_a: float, multiple: float, seconds: float) -> None:
    assert float(gg_seconds(rated_a, np.array([multiple]))[0]) == pytest.approx(seconds, rel=1e-9)


def test_a_fuse_between_two_points_lies_on_the_log_log_line() -> None:
    between = float(gg_seconds(63, np.array([np.sqrt(1.6 * 2.0)]))[0])
    assert between == pytest.approx(np.sqrt(2234.0 * 692.0), rel=1e-9)


def test_a_fuse_holds_its_conventional_current_and_sizes_without_curve_take_the_smaller_one() -> None:
    assert np.isinf(gg_seconds(63, np.array([1.24]))[0])
    assert np.array_equal(gg_seconds(40, np.array([1.6, 3.0])), gg_seconds(25, np.array([1.6, 3.0])))
    assert np.array_equal(gg_seconds(20, np.array([1.6])), gg_seconds(25, np.array([1.6])))


@pytest.mark.parametrize(
    ("holds_s", "multiple", "seconds"),
    [(1, 1.2, 10.0), (1, 1.45, 4.3), (1, 2.55, 1.0), (5, 1.3, 32), (5, 1.6, 16), (5, 2.0, 8.8), (5, 2.55, 5.0)],
)
def test_breakers_follow_the_thermal_table(holds_s: float, multiple: float, seconds: float) -> None:
    # The table prints two digits.
    assert float(mcb_seconds(holds_s, "C", np.array([multiple]))[0]) == pytest.approx(seconds, rel=0.03)


def test_breakers_hold_1_13_and_release_magnetically_by_letter() -> None:
    assert np.isinf(mcb_seconds(5, "C", np.array([1.13]))[0])
    assert mcb_seconds(60, "B", np.array([5.0]))[0] == pytest.approx(0.1)
    assert mcb_seconds(60, "C", np.array([5.0]))[0] > 1.0
    assert np.isinf(trip_seconds(Protection("none", 40.0), np.array([9.0]))[0])


@pytest.mark.parametrize("multiple", [1.6, 2.0, 3.0])
def test_damage_reaches_one_when_the_table_says_and_opens_the_circuit(multiple: float) -> None:
    breakers = Breakers(garage())
    row_a = np.full((1, 3), 63.0 * multiple)
    seconds = 0
    while not breakers.open[0]:
        breakers.advance(1.0, row_a)
        seconds += 1
    assert seconds == pytest.approx(float(gg_seconds(63, np.array([multiple]))[0]), rel=0.02)


def test_damage_fades_with_ten_minutes_and_a_new_fuse_starts_at_zero() -> None:
    breakers = Breakers(garage())
    breakers.advance(10.0, np.full((1, 3), 63.0 * 2.0))
    before = breakers.damage.copy()
    for _ in range(600):
        breakers.advance(1.0, np.zeros((1, 3)))
    assert breakers.damage == pytest.approx(before / np.e, rel=1e-6)
    breakers.open[0] = True
    breakers.reset(0)
    assert not breakers.open[0]
    assert not breakers.damage.any()
