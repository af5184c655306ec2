"""The similar day: what it carries on, what it does without history, and its skill on real prices."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.core.price import LEVEL_SHARE, similar_day
from interfaces.domain.series import PriceSeries, end_epoch_s, price_grid
from interfaces.sources.prices.csv_file import parse

ZONE = "Europe/Brussels"
QUARTER = 900


def midnight(day: date, zone: str = ZONE) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp())


MONDAY = date(2026, 6, 1)


def weeks_of(count: int, price: dict[int, float], ends: date = MONDAY) -> tuple[np.ndarray, int]:
    """Quarters of the days before ``ends``, each day as its weekday says, with a rise over the day."""
    days = [ends - timedelta(days=k) for k in range(count, 0, -1)]
    start, end = midnight(days[0]), midnight(ends)
    at = [datetime.fromtimestamp(start + k * QUARTER, ZoneInfo(ZONE)) for k in range((end - start) // QUARTER)]
    return np.array([price[t.weekday()] + t.hour / 1000 for t in at]), start


WEEK = dict.fromkeys(range(5), 0.10) | {5: 0.05, 6: 0.02}


def test_each_class_of_day_repeats_itself():
    history, start = weeks_of(35, WEEK)
    found = similar_day(history, start, midnight(MONDAY), 96 * 7, ZONE)
    assert found is not None
    by_day = found.median.reshape(7, 96)
    rise = np.repeat(np.arange(24) / 1000, 4)
    for k, level in enumerate([0.10] * 5 + [0.05, 0.02]):
        assert by_day[k] == pytest.approx(level + rise, abs=1e-9)


def test_a_holiday_is_a_sunday():
    history, start = weeks_of(35, WEEK, ends=date(2026, 12, 25))
    christmas = similar_day(history, start, midnight(date(2026, 12, 25)), 96, ZONE, "BE")
    plain = similar_day(history, start, midnight(date(2026, 12, 25)), 96, ZONE)
    assert christmas is not None
    assert plain is not None
    assert christmas.median[0] == pytest.approx(0.02)
    assert plain.median[0] == pytest.approx(0.10)


def test_the_level_of_the_last_day_is_carried_on_and_fades():
    history, start = weeks_of(35, dict.fromkeys(range(7), 0.10))
    history[-96:] += 0.05
    found = similar_day(history, start, midnight(MONDAY), 192, ZONE)
    assert found is not None
    assert found.median[0] == pytest.approx(0.10 + 0.05 * LEVEL_SHARE)
    assert found.median[96] == pytest.approx(0.10 + 0.05 * LEVEL_SHARE**2)


def test_prices_move_by_sums_through_zero():
    history, start = weeks_of(35, dict.fromkeys(range(7), -0.012))
    history[-96:] -= 0.05
    found = similar_day(history, start, midnight(MONDAY), 96, ZONE)
    assert found is not None
    assert found.median[0] == pytest.approx(-0.012 - 0.05 * LEVEL_SHARE)


def test_one_outlier_among_four_weeks_does_not_count():
    history, start = weeks_of(35, WEEK)
    history[7 * 96 : 8 * 96] = 4.0
    found = similar_day(history, start, midnight(MONDAY), 96, ZONE)
    assert found is not None
    assert found.median[0] == pytest.approx(0.10, abs=1e-3)


@pytest.mark.parametrize(("day", "steps"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_the_clock_change_moves_nothing(day, steps):
    history, start = weeks_of(35, dict.fromkeys(range(7), 0.10), ends=day)
    assert midnight(day) + steps * QUARTER == midnight(day + timedelta(days=1))
    found = similar_day(history, start, midnight(day), steps + 96, ZONE)
    assert found is not None
    # 20:00 on the local clock, on that day and the next.
    assert found.median[steps - 16] == pytest.approx(0.12, abs=1e-9)
    assert found.median[steps + 80] == pytest.approx(0.12, abs=1e-9)


def test_without_history_there_is_no_forecast():
    start = midnight(MONDAY)
    assert similar_day(np.array([]), start, start, 96, ZONE) is None
    assert similar_day(np.full(96, np.nan), start - 86_400, start, 96, ZONE) is None
    assert similar_day(np.full(96, 0.1), start, start, 96, ZONE) is None, "what lies ahead is not history"


def test_what_lies_ahead_is_not_looked_at():
    history, start = weeks_of(35, WEEK)
    known = similar_day(history, start, midnight(MONDAY), 96, ZONE)
    peeked = similar_day(np.concatenate([history, np.full(96, 9.0)]), start, midnight(MONDAY), 96, ZONE)
    assert known is not None
    assert peeked is not None
    assert np.array_equal(known.values, peeked.values)


@settings(max_examples=40)
@given(
    days=st.integers(1, 40), holes=st.lists(st.tuples(st.integers(0, 3900), st.integers(1, 300)), max_size=5),
    seed=st.integers(0, 1000), into_the_day=st.integers(0, 95), steps=st.integers(1, 300),
)  # fmt: skip
def test_any_history_gives_sorted_finite_prices(days, holes, seed, into_the_day, steps):
    history, start = weeks_of(days, WEEK)
    history = history + np.random.default_rng(seed).normal(0, 0.05, len(history))
    history = history[: max(1, len(history) - into_the_day)]
    for at, length in holes:
        history[at : at + length] = np.nan
    found = similar_day(history, start, start + len(history) * QUARTER, steps, ZONE, "BE")
    if found is None:
        assert not np.isfinite(history).any()
        return
    assert found.values.shape == (steps, 11)
    assert np.isfinite(found.values).all()
    assert (np.diff(found.values, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("name", "zone", "country", "first_day"),
    [
        ("day_ahead_nl_60min_2022_2023.csv.gz", "Europe/Amsterdam", "NL", date(2023, 1, 1)),
        ("day_ahead_be_60min_2025_01_to_09.csv.gz", "Europe/Brussels", "BE", date(2025, 2, 20)),
    ],
)
def test_skill_on_real_prices(reference_data, record_property, name, zone, country, first_day):
    """Mean absolute error of every day (of a few days, single wild ones decide) against the usual naive forecast:
    yesterday or, on Monday, Saturday and Sunday, a week ago.
    """
    series = parse((reference_data / "prices" / name).read_bytes())
    assert isinstance(series, PriceSeries)
    begin = int(series.start_epoch_s[0])
    grid = price_grid(series, begin, (end_epoch_s(series) - begin) // QUARTER).values
    day = first_day
    ours, naive, inside = [], [], []
    while (midnight(day + timedelta(days=1), zone) - begin) // QUARTER <= len(grid):
        first, last = ((midnight(at, zone) - begin) // QUARTER for at in (day, day + timedelta(days=1)))
        past = max(0, first - 50 * 96)
        found = similar_day(grid[past:first], begin + past * QUARTER, midnight(day, zone), last - first, zone, country)
        assert found is not None
        back = 7 if day.weekday() in (0, 5, 6) else 1
        truth = grid[first:last]
        ours.append(np.abs(truth - found.median).mean())
        naive.append(np.abs(truth - grid[first - back * 96 : last - back * 96]).mean())
        inside.append(((truth >= found.values[:, 0]) & (truth <= found.values[:, -1])).mean())
        day += timedelta(days=1)
    gain = 1 - float(np.mean(ours)) / float(np.mean(naive))
    record_property("gain", gain)
    assert gain > 0.10
    assert 0.75 < float(np.mean(inside)) < 0.97
