"""Native steps on a grid of quarters: nothing invented in silence, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.series import (
    BRIDGED_S,
    Flag,
    Origin,
    PriceSeries,
    WeatherSeries,
    end_epoch_s,
    gap_count,
    merged_flags,
    price_grid,
    utc_text,
    weather_grid,
    with_forecast,
)
from interfaces.domain.units import frozen_floats, frozen_ints

START = 1_759_269_600  # 2025-09-30T22:00Z
HOUR, QUARTER, DAY = 3600, 900, 86_400
SOURCE, FILLED, ABSENT, FORECAST = Origin.SOURCE, Origin.FILLED, Origin.ABSENT, Origin.FORECAST


def prices(*steps: tuple[int, int, float]) -> PriceSeries:
    """(start after START in s, length in s, price)."""
    return PriceSeries(
        "test", "BE",
        frozen_ints([START + start for start, _, _ in steps]),
        frozen_ints([length for _, length, _ in steps]),
        frozen_floats([price for _, _, price in steps]),
    )  # fmt: skip


def test_a_price_holds_for_every_quarter_of_its_step():
    series = prices((0, HOUR, 1.0), (HOUR, QUARTER, 2.0), (HOUR + QUARTER, QUARTER, 3.0))
    grid = price_grid(series, START, 6)
    assert grid.values.tolist() == [1, 1, 1, 1, 2, 3]
    assert set(grid.origin.tolist()) == {SOURCE}
    assert grid.complete
    assert grid.flags == ()
    assert series.resolution_min == 15


def test_before_the_first_and_behind_the_last_price_there_is_none():
    grid = price_grid(prices((0, HOUR, 1.0)), START - QUARTER, 6)
    assert grid.origin.tolist() == [ABSENT, SOURCE, SOURCE, SOURCE, SOURCE, ABSENT]
    assert np.isnan(grid.values[[0, 5]]).all()
    assert not grid.complete
    assert grid.flags == (Flag.INCOMPLETE,)


def test_a_short_hole_is_bridged_in_a_straight_line_and_marked():
    grid = price_grid(prices((0, HOUR, 1.0), (2 * HOUR, HOUR, 6.0)), START, 12)
    assert grid.values[3:9].tolist() == [1, 2, 3, 4, 5, 6]
    assert grid.origin[3:9].tolist() == [SOURCE, FILLED, FILLED, FILLED, FILLED, SOURCE]
    assert grid.flags == (Flag.FILLED,)


@pytest.mark.parametrize("hole_s", [BRIDGED_S, BRIDGED_S + QUARTER])
def test_a_long_hole_takes_the_same_quarter_of_the_day_before(hole_s):
    day = [(k * QUARTER, QUARTER, float(k)) for k in range(96)]
    late = [
        (DAY + k * QUARTER, QUARTER, 1000.0 + k)
        for k in range(96)
        if not 8 * QUARTER <= k * QUARTER < 8 * QUARTER + hole_s
    ]
    grid = price_grid(prices(*day, *late), START, 192)
    hole = slice(96 + 8, 96 + 8 + hole_s // QUARTER)
    assert set(grid.origin[hole].tolist()) == {FILLED}
    expected = 1000.0 + np.arange(8, 20) if hole_s == BRIDGED_S else np.arange(8, 21)
    assert grid.values[hole].tolist() == expected.tolist()
    assert grid.complete


def test_without_a_day_before_it_takes_the_day_after_and_else_nothing():
    steps = [(k * HOUR, HOUR, float(k)) for k in range(48) if not 4 <= k < 10]
    grid = price_grid(prices(*steps), START, 192)
    assert grid.values[4 * 4 : 10 * 4 : 4].tolist() == [28, 29, 30, 31, 32, 33]
    short = price_grid(prices(*[step for step in steps if step[0] < 24 * HOUR]), START, 96)
    assert set(short.origin[16:40].tolist()) == {ABSENT}


def test_an_empty_series_is_an_absent_grid():
    grid = price_grid(prices(), START, 3)
    assert grid.origin.tolist() == [ABSENT] * 3
    assert prices().resolution_min == 0


def test_a_forecast_takes_the_absent_steps_alone_and_is_marked():
    grid = with_forecast(price_grid(prices((0, HOUR, 1.0)), START, 7), frozen_floats([9, 9, 9, 9, 2, 3, np.nan]))
    assert grid.values[:6].tolist() == [1, 1, 1, 1, 2, 3]
    assert grid.origin.tolist() == [SOURCE] * 4 + [FORECAST, FORECAST, ABSENT]
    assert grid.flags == (Flag.FORECAST, Flag.INCOMPLETE)


@pytest.mark.parametrize(("midnight", "quarters"), [("2026-03-29", 92), ("2026-10-25", 100), ("2026-07-01", 96)])
def test_local_days_of_92_and_100_quarters_keep_their_length(midnight, quarters):
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    local = ZoneInfo("Europe/Brussels")
    begin = datetime.fromisoformat(midnight).replace(tzinfo=local)
    start, end = (round(at.timestamp()) for at in (begin, begin + timedelta(days=1)))
    series = PriceSeries(
        "test", "BE", frozen_ints(np.arange(start, end, HOUR)), frozen_ints([HOUR] * ((end - start) // HOUR)),
        frozen_floats(np.arange((end - start) // HOUR)),
    )  # fmt: skip
    grid = price_grid(series, start, (end - start) // QUARTER)
    assert len(grid.values) == quarters
    assert set(grid.origin.tolist()) == {SOURCE}
    assert grid.values.tolist() == np.repeat(np.arange(quarters // 4), 4).tolist()


def test_weather_holds_for_its_step_and_short_holes_are_bridged():
    series = WeatherSeries(
        "test", frozen_ints([START, START + HOUR, START + 2 * HOUR]), frozen_ints([HOUR] * 3),
        {"temperature_c": frozen_floats([1, np.nan, 6])},
    )  # fmt: skip
    grid = weather_grid(series, "temperature_c", START, 12)
    assert grid.values.tolist() == [1, 1, 1, 1, 2, 3, 4, 5, 6, 6, 6, 6]
    assert grid.origin.tolist() == [SOURCE] * 4 + [FILLED] * 4 + [SOURCE] * 4
    assert set(weather_grid(series, "ghi_w_per_m2", START, 12).origin.tolist()) == {ABSENT}


def test_flags_stand_once_in_their_first_order():
    series = prices((0, HOUR, 1.0)).flagged(Flag.STALE, Flag.GAPS).flagged(Flag.GAPS, Flag.ZONE)
    assert series.flags == (Flag.STALE, Flag.GAPS, Flag.ZONE)
    assert merged_flags() == ()


def test_times_are_told_in_utc():
    assert utc_text(START) == "2025-09-30T22:00:00Z"
    assert end_epoch_s(prices((0, HOUR, 1.0))) == START + HOUR


steps = st.lists(
    st.tuples(st.sampled_from([QUARTER, 2 * QUARTER, HOUR]), st.integers(0, 40), st.floats(-0.5, 4)),
    min_size=1,
    max_size=60,
)


@given(steps=steps, before=st.integers(0, 200), count=st.integers(1, 400))
def test_every_step_of_the_source_is_on_the_grid_and_the_rest_is_marked(steps, before, count):
    rows, at = [], 0
    for length, hole, price in steps:
        at += hole * QUARTER
        rows.append((at, length, price))
        at += length
    series = prices(*rows)
    grid = price_grid(series, START - before * QUARTER, count)
    assert gap_count(series.start_epoch_s, series.step_s) == sum(hole > 0 for _, hole, _ in steps[1:])
    assert np.isfinite(grid.values[grid.origin != ABSENT]).all()
    assert np.isnan(grid.values[grid.origin == ABSENT]).all()
    assert not (grid.origin == FORECAST).any()
    for k in range(count):
        begin = START - before * QUARTER + k * QUARTER
        inside = [price for start, length, price in rows if START + start <= begin < START + start + length]
        if inside:
            assert (grid.values[k], grid.origin[k]) == (inside[0], SOURCE)
        else:
            assert grid.origin[k] != SOURCE
        if begin < series.start_epoch_s[0] or begin >= end_epoch_s(series):
            assert grid.origin[k] == ABSENT
