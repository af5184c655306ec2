"""Local time as features: offset, second of the day, weekday, class of the day. Daylight saving and holidays included.

Models look back and forth in local time (people live by their clock) while every series is stored in UTC. The time
zone is an IANA name and the country an ISO 3166 code, both given by the site; nothing here asks the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import holidays
import numpy as np

from interfaces.domain.units import SECONDS_PER_DAY, SECONDS_PER_QUARTER, Bools, Ints

EPOCH_WEEKDAY: Final[int] = 3
"""1970-01-01 was a Thursday (Monday = 0)."""
DAYS_PER_WEEK: Final[int] = 7
QUARTERS_PER_DAY: Final[int] = SECONDS_PER_DAY // SECONDS_PER_QUARTER
EPOCH_ORDINAL: Final[int] = date(1970, 1, 1).toordinal()


class DayClass(IntEnum):
    """Days that look alike; a public holiday is a Sunday."""

    WORKDAY = 0
    SATURDAY = 1
    SUNDAY = 2


@dataclass(frozen=True, slots=True, eq=False)
class LocalTime:
    """Columns (T,) of one time grid: UTC offset in s, second of the local day 0..86399, local day counted from
    1970-01-01, weekday (Monday 0), ``DayClass`` and day of the year 1..366.
    """

    offset_s: Ints
    second_of_day: Ints
    day: Ints
    weekday: Ints
    day_class: Ints
    day_of_year: Ints

    @property
    def quarter_of_day(self) -> Ints:
        """Quarter of the local day, 0..95; on the day of 23 hours four of them are absent, on that of 25 twice."""
        return self.second_of_day // SECONDS_PER_QUARTER


def quarters(start_epoch_s: int, steps: int) -> Ints:
    """Starts (T,) of ``steps`` consecutive quarters of an hour, epoch seconds."""
    return start_epoch_s + SECONDS_PER_QUARTER * np.arange(steps, dtype=np.int64)


def local_time(epoch_s: Ints, time_zone: str, country: str | None = None) -> LocalTime:
    """The local clock at ``epoch_s`` (T,); ``country`` adds its public holidays (unknown or None: none)."""
    offset_s = utc_offsets_s(epoch_s, time_zone)
    day, second = np.divmod(epoch_s + offset_s, SECONDS_PER_DAY)
    weekday = (day + EPOCH_WEEKDAY) % DAYS_PER_WEEK
    day_class = np.maximum(weekday - 4, 0)
    day_class[_is_holiday(day, country)] = int(DayClass.SUNDAY)
    year_start = day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return LocalTime(offset_s, second, day, weekday, day_class, day - year_start + 1)


def utc_offsets_s(epoch_s: Ints, time_zone: str) -> Ints:
    """Local minus UTC (T,) in s at each instant, for any zone with at most one transition a day."""
    if not len(epoch_s):
        return np.zeros(0, dtype=np.int64)
    first = int(epoch_s.min()) // SECONDS_PER_DAY
    last = int(epoch_s.max()) // SECONDS_PER_DAY + 1
    starts_s, offsets_s = _spans(time_zone, first, last)
    return offsets_s[np.searchsorted(starts_s, epoch_s, side="right") - 1]


@lru_cache(maxsize=256)
def _spans(time_zone: str, first_day: int, last_day: int) -> tuple[Ints, Ints]:
    """Spans of constant offset between two UTC days: (start, offset), the transitions found by bisection."""
    zone = ZoneInfo(time_zone)
    before = _offset_s(first_day * SECONDS_PER_DAY, zone)
    spans = [(first_day * SECONDS_PER_DAY, before)]
    for day in range(first_day, last_day):
        low, high = day * SECONDS_PER_DAY, (day + 1) * SECONDS_PER_DAY
        after = _offset_s(high, zone)
        if after == before:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_s(middle, zone) == before else (low, middle)
        spans.append((high, after))
        before = after
    starts_s, offsets_s = zip(*spans, strict=True)
    return np.array(starts_s, dtype=np.int64), np.array(offsets_s, dtype=np.int64)


def _offset_s(epoch_s: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(epoch_s, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _is_holiday(day: Ints, country: str | None) -> Bools:
    if country is None or not len(day):
        return np.zeros(len(day), dtype=np.bool_)
    first, last = (date.fromordinal(EPOCH_ORDINAL + int(edge)).year for edge in (day.min(), day.max()))
    free = np.concatenate([_holidays(country, year) for year in range(first, last + 1)])
    return np.isin(day, free)


@lru_cache(maxsize=256)
def _holidays(country: str, year: int) -> Ints:
    """Public holidays of one year as days from 1970-01-01."""
    if country not in holidays.list_supported_countries():
        return np.zeros(0, dtype=np.int64)
    return np.array([d.toordinal() - EPOCH_ORDINAL for d in holidays.country_holidays(country, years=year)], np.int64)
