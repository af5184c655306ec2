"""Building load: shapes and their energy, analogues across clock changes and holidays, what must not be learned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.core import load
from forecasting.core.calendar import local_time, quarters
from forecasting.core.history import Measured
from forecasting.core.load import Building, BuildingUse, Temperature
from forecasting.core.load_profile import mean_power_kw, relative_profile
from forecasting.core.quantiles import Flag

DAY = 86_400
OFFICE = Building(BuildingUse.OFFICE, 87_660.0, "Europe/Amsterdam", "NL")
NUMBER = st.one_of(st.floats(-1e4, 1e4), st.just(float("nan")), st.just(float("inf")))


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def local_days(
    building: Building, start: int, days: int, *, workday_kw: float = 30.0, free_kw: float = 5.0
) -> Measured:
    """A site that works from 8 to 18 by its own clock on workdays, measured for ``days``."""
    local = local_time(quarters(start, days * 96), building.time_zone, building.country)
    busy = (local.day_class == 0) & (local.second_of_day >= 8 * 3600) & (local.second_of_day < 18 * 3600)
    return Measured(start, np.where(busy, workday_kw, free_kw))


@settings(max_examples=40)
@given(
    st.sampled_from(BuildingUse),
    st.floats(0.0, 1e7),
    st.sampled_from(["Europe/Amsterdam", "Australia/Sydney", "UTC"]),
    st.sampled_from([None, "NL", "DE"]),
    st.integers(0, 2**31),
    st.lists(NUMBER, max_size=60),
    st.integers(1, 60),
)
def test_whatever_is_known_the_forecast_is_ordered_finite_and_not_negative(
    use, annual, zone, country, start, cells, repeat
):
    start = start // 900 * 900
    history = Measured(start - 900 * len(cells) * repeat, np.tile(np.array(cells, dtype=float), repeat))
    series = load.forecast(Building(use, annual, zone, country), start, 100, history)
    assert series.values.shape == (100, 11)
    assert np.isfinite(series.values).all()
    assert (np.diff(series.values, axis=1) >= 0.0).all()
    assert series.values.min() >= 0.0


@pytest.mark.parametrize("use", list(BuildingUse))
def test_a_year_of_the_shape_is_the_annual_energy(use):
    building = Building(use, 50_000.0, "Europe/Amsterdam", "NL")
    series = load.forecast(building, epoch("2025-01-01T00:00") - 3600, 365 * 96)
    assert series.flags == (Flag.PRIOR_ONLY,)
    local = local_time(series.epoch_s, "Europe/Amsterdam", "NL")
    kwh = mean_power_kw(50_000.0) * relative_profile(use, local).sum() / 4.0
    assert kwh == pytest.approx(50_000.0, rel=0.03)
    assert series.mean.sum() / 4.0 == pytest.approx(50_000.0, rel=0.08)


def test_shapes_are_what_their_names_say():
    week = quarters(epoch("2025-03-02T23:00"), 7 * 96)  # Monday 00:00 in Amsterdam
    local = local_time(week, "Europe/Amsterdam", "NL")
    day = {use: relative_profile(use, local).reshape(7, 96) for use in BuildingUse}
    assert 17 * 4 <= np.argmax(day[BuildingUse.HOUSEHOLD][0]) <= 22 * 4
    assert day[BuildingUse.OFFICE][0, 48] > 3.0 * day[BuildingUse.OFFICE][6, 48]
    assert day[BuildingUse.RETAIL][5, 48] > 2.0 * day[BuildingUse.RETAIL][0, 12]


def test_a_cold_season_costs_more_on_both_hemispheres():
    january, july = epoch("2025-01-15T11:00"), epoch("2025-07-15T11:00")
    home = Building(BuildingUse.HOUSEHOLD, 3500.0, "UTC")
    assert load.forecast(home, january, 1).median[0] > 1.2 * load.forecast(home, july, 1).median[0]
    south = replace(home, south=True)
    assert load.forecast(south, july, 1).median[0] > 1.2 * load.forecast(south, january, 1).median[0]


@pytest.mark.parametrize("change", ["2025-03-30T00:00", "2025-10-26T00:00"])
def test_people_keep_their_clock_when_it_changes(change):
    start = epoch(change)
    history = local_days(OFFICE, start - 28 * DAY, 28)
    series = load.forecast(OFFICE, start, 4 * 96, history)
    truth = local_days(OFFICE, start, 4).power_kw
    edges = np.abs(np.diff(truth, prepend=truth[0])) + np.abs(np.diff(truth, append=truth[-1])) > 0
    np.testing.assert_allclose(series.median[~edges], truth[~edges], atol=0.5)


def test_a_holiday_is_a_sunday():
    start = epoch("2025-04-20T22:00")  # Easter Monday begins
    history = local_days(OFFICE, start - 28 * DAY, 28)
    noon = 48 - 4
    assert load.forecast(OFFICE, start, 96, history).median[noon] < 8.0
    assert load.forecast(replace(OFFICE, country=None), start, 96, history).median[noon] > 20.0


def test_the_sites_own_days_outweigh_the_shape_within_a_week():
    start = epoch("2025-06-02T22:00")
    gaps = []
    for days in (0, 1, 3, 7, 14):
        history = local_days(OFFICE, start - days * DAY, days, workday_kw=100.0, free_kw=60.0)
        truth = local_days(OFFICE, start, 1, workday_kw=100.0, free_kw=60.0).power_kw
        gaps.append(float(np.abs(load.forecast(OFFICE, start, 96, history).median - truth).mean()))
    assert gaps[0] > 50.0
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1.0


def test_power_we_held_back_is_never_learned():
    start = epoch("2025-06-03T22:00")
    history = local_days(OFFICE, start - 28 * DAY, 28)
    held = np.zeros(len(history.power_kw), dtype=np.bool_)
    held[-7 * 96 :] = True
    lowered = np.where(held, 0.0, history.power_kw)
    masked = load.forecast(OFFICE, start, 192, Measured(history.start_epoch_s, lowered, held))
    absent = load.forecast(OFFICE, start, 192, Measured(history.start_epoch_s, np.where(held, np.nan, lowered)))
    np.testing.assert_array_equal(masked.values, absent.values)
    unmasked = load.forecast(OFFICE, start, 192, Measured(history.start_epoch_s, lowered))
    assert masked.values[48, 2] > 25.0
    assert unmasked.values[48, 2] < 5.0


def test_a_missing_week_is_not_a_week_of_zeros():
    start = epoch("2025-06-03T22:00")
    history = local_days(OFFICE, start - 28 * DAY, 28)
    holed = history.power_kw.copy()
    holed[-7 * 96 :] = np.nan
    series = load.forecast(OFFICE, start, 96, Measured(history.start_epoch_s, holed))
    assert series.median[48] == pytest.approx(30.0, abs=0.5)


def test_the_last_hours_move_the_level_and_that_fades():
    start = epoch("2025-06-04T22:00")
    history = local_days(OFFICE, start - 28 * DAY, 28)
    # Some days are busier all day, so the band has a width.
    busier = history.power_kw + np.where(np.arange(28 * 96) // 96 % 2, 0.0, 8.0)
    raised = busier.copy()
    raised[-8:] += 6.0
    plain = load.forecast(OFFICE, start, 192, Measured(history.start_epoch_s, busier)).median
    moved = load.forecast(OFFICE, start, 192, Measured(history.start_epoch_s, raised)).median - plain
    assert 3.0 < moved[0] < 8.0
    assert moved[0] > moved[8] > moved[24] > 0.0
    assert abs(moved[150]) < 0.1


def test_nothing_after_the_start_is_used():
    start = epoch("2025-06-04T22:00")
    longer = local_days(OFFICE, start - 28 * DAY, 32)
    now = load.forecast(OFFICE, start, 192, longer)
    np.testing.assert_array_equal(now.values, load.forecast(OFFICE, start, 192, longer.until(start)).values)


def test_warm_days_are_foretold_by_warm_days():
    start = epoch("2025-06-29T22:00")
    past = quarters(start - 28 * DAY, 28 * 96)
    warm = (past // DAY) % 4 == 0
    degc = np.concatenate([np.where(warm, 30.0, 15.0), np.full(192, 30.0)])
    history = Measured(start - 28 * DAY, np.where(warm, 50.0, 10.0))
    blind = load.forecast(OFFICE, start, 192, history).median
    seeing = load.forecast(OFFICE, start, 192, history, Temperature(start - 28 * DAY, degc)).median
    assert seeing[150] > 45.0 > 30.0 > blind[150]
    unknown = load.forecast(OFFICE, start, 192, history, Temperature(start - 28 * DAY, np.full(2880, np.nan)))
    np.testing.assert_array_equal(unknown.median, blind)


def test_net_power_may_be_negative_where_the_site_says_so():
    start = epoch("2025-06-03T22:00")
    history = Measured(start - 14 * DAY, np.full(14 * 96, -8.0))
    assert load.forecast(replace(OFFICE, lowest_kw=None), start, 4, history).median[0] < -5.0
    assert load.forecast(OFFICE, start, 4, history).values.min() == 0.0
