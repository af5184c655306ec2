"""Local time as features: days of 23 and 25 hours, holidays, zones with odd offsets."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.core.calendar import DayClass, local_time, quarters, utc_offsets_s

ZONES = ("Europe/Amsterdam", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca")


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@given(st.sampled_from(ZONES), st.integers(0, 2**31), st.integers(1, 400))
def test_every_column_agrees_with_the_calendar_of_the_standard_library(zone, start, steps):
    epoch_s = quarters(start // 900 * 900, steps)
    local = local_time(epoch_s, zone)
    for i in (0, steps // 2, steps - 1):
        there = datetime.fromtimestamp(int(epoch_s[i]), ZoneInfo(zone))
        assert local.second_of_day[i] == there.hour * 3600 + there.minute * 60 + there.second
        assert local.weekday[i] == there.weekday()
        assert local.day_of_year[i] == there.timetuple().tm_yday
        assert local.quarter_of_day[i] == there.hour * 4 + there.minute // 15


@pytest.mark.parametrize(
    ("first_utc", "steps", "twice", "never"),
    [("2025-03-29T23:00", 92, [], [8, 9, 10, 11]), ("2025-10-25T22:00", 100, [8, 9, 10, 11], [])],
)
def test_the_days_of_92_and_100_quarters(first_utc, steps, twice, never):
    local = local_time(quarters(epoch(first_utc), steps), "Europe/Amsterdam")
    assert len(set(local.day.tolist())) == 1
    counts = np.bincount(local.quarter_of_day, minlength=96)
    assert np.flatnonzero(counts == 2).tolist() == twice
    assert np.flatnonzero(counts == 0).tolist() == never


def test_a_transition_is_found_to_the_second():
    change = epoch("2025-03-30T01:00")
    offsets = utc_offsets_s(np.array([change - 1, change]), "Europe/Amsterdam")
    assert offsets.tolist() == [3600, 7200]


@pytest.mark.parametrize(
    ("day", "country", "kind"),
    [
        ("2025-04-28T12:00", "NL", DayClass.WORKDAY),
        ("2025-05-05T12:00", "NL", DayClass.SUNDAY),  # a Monday: liberation day, free every fifth year
        ("2025-04-21T12:00", "NL", DayClass.SUNDAY),  # Easter Monday
        ("2025-07-21T12:00", "BE", DayClass.SUNDAY),
        ("2025-07-21T12:00", "NL", DayClass.WORKDAY),
        ("2025-07-21T12:00", None, DayClass.WORKDAY),
        ("2025-07-21T12:00", "??", DayClass.WORKDAY),
        ("2025-07-19T12:00", "BE", DayClass.SATURDAY),
        ("2025-07-20T12:00", "BE", DayClass.SUNDAY),
    ],
)
def test_classes_of_days(day, country, kind):
    assert local_time(np.array([epoch(day)]), "Europe/Brussels", country).day_class.tolist() == [kind]


def test_holidays_on_both_sides_of_new_year():
    days = np.array([epoch("2025-12-25T12:00"), epoch("2025-12-30T12:00"), epoch("2026-01-01T12:00")])
    local = local_time(days, "Europe/Brussels", "BE")
    assert local.day_class.tolist() == [DayClass.SUNDAY, DayClass.WORKDAY, DayClass.SUNDAY]


def test_an_empty_grid_has_no_local_time():
    assert len(local_time(np.zeros(0, dtype=np.int64), "Europe/Brussels", "BE").day) == 0
