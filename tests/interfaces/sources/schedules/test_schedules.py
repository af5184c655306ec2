"""Schedules as fleets keep them: what is read, and that every line left out says why."""

from __future__ import annotations

import io
from datetime import datetime
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.domain.schedule import Schedule, Trip, Wanted
from interfaces.sources.schedules import csv_file, icalendar_file, xlsx_file
from interfaces.sources.schedules.rows import epoch_of

BRUSSELS = ZoneInfo("Europe/Brussels")
MONDAY_0730 = 1_795_415_400.0
"""2026-11-23 07:30 in Brussels (06:30 UTC): 20 780 days and 6.5 h after 1970-01-01."""


def test_the_golden_moment_is_the_one_it_says() -> None:
    assert MONDAY_0730 == 20_780 * 86_400 + 6.5 * 3_600
    assert epoch_of("2026-11-23 07:30", BRUSSELS) == MONDAY_0730


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23 07:30",
        "2026-11-23T07:30:00",
        "2026-11-23T06:30Z",
        "2026-11-23T08:30+02:00",
        "23.11.2026 07:30",
        "23/11/2026 07:30",
        "23-11-2026 7:30",
    ],
)
def test_a_time_as_people_write_it(text: str) -> None:
    assert epoch_of(text, BRUSSELS) == MONDAY_0730


@pytest.mark.parametrize(
    "text", ["", "2026-11-23", "23.11.2026", "07:30", "2026-02-30 07:30", "soon", "32/01/2026 07:30"]
)
def test_no_time_is_made_up(text: str) -> None:
    told = epoch_of(text, BRUSSELS)
    assert isinstance(told, str)
    assert "2026-11-23 07:30" in told  # the message shows how to write it


def test_the_hour_that_does_not_exist_and_the_one_that_comes_twice() -> None:
    told = epoch_of("2026-03-29 02:30", BRUSSELS)
    assert isinstance(told, str)
    assert "clocks go forward" in told
    assert epoch_of("2026-10-25 02:30", BRUSSELS) == datetime.fromisoformat("2026-10-25T00:30Z").timestamp()


CSV = "Kenteken;Vertrek;Aankomst;km;kWh\n1-ABC-123;23/11/2026 07:30;23/11/2026 17:00;120,5;\n"
CSV += ";23/11/2026 08:00;;;\n2-XYZ;23/11/2026 06:00;;;35\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv(encoding: str, delimiter: str) -> None:
    body = CSV.replace(";", delimiter).replace("Kenteken", "Véhicule").encode(encoding)
    schedule = csv_file.parse(body, "fleet.csv", BRUSSELS)
    assert schedule.trips == (
        Trip("2-XYZ", None, None, MONDAY_0730 - 5_400.0, None, Wanted(35.0, "kwh"), "fleet.csv:4"),
        Trip("1-ABC-123", None, None, MONDAY_0730, MONDAY_0730 + 34_200.0, Wanted(120.5, "km"), "fleet.csv:2"),
    )
    assert [(p.where, p.message) for p in schedule.problems] == [
        ("fleet.csv:3", "nobody is named: fill in vehicle, tag or evse")
    ]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("A,2026-11-23 07:30,500,,", "km is not between 0"),
        ("A,2026-11-23 07:30,,140,", "pct is not between 0 and 100"),
        ("A,2026-11-23 07:30,,nan,", "not between"),
        ("A,2026-11-23 07:30,,inf,", "not between"),
        ("A,2026-11-23 07:30,,-5,", "not between"),
        ("A,2026-11-23 07:30,much,,", "no number"),
        ("A,2026-11-23 07:30,100,80,", "wanted twice"),
        ("A,yesterday,100,,", "departure: 'yesterday' is no date"),
        (f"{'A' * 65},2026-11-23 07:30,100,,", "at most 64 characters"),
    ],
)
def test_a_row_that_is_none_says_why(row: str, why: str) -> None:
    body = f"vehicle,departure,km,soc_pct,kwh\n{row.replace('500', '5000')}\n".encode()
    schedule = csv_file.parse(body, "f.csv", BRUSSELS)
    assert schedule.trips == ()
    assert [p.where for p in schedule.problems] == ["f.csv:2"]
    assert why in schedule.problems[0].message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no rows"),
        ("a,b\n1,2\n", "no column for the departure"),
        ("departure,km\n2026-11-23 07:30,1\n", "whose departure"),
        ("vehicle,voertuig,departure\n", "appears twice"),
        ("\0\0\0", "no text"),
    ],
)
def test_a_file_that_is_no_schedule(text: str, why: str) -> None:
    schedule = csv_file.parse(text.encode(), "f.csv", BRUSSELS)
    assert schedule.trips == ()
    assert why in schedule.problems[0].message


def _workbook(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    body = io.BytesIO()
    book.save(body)
    return body.getvalue()


def test_a_workbook_with_real_dates_and_a_numeric_tag() -> None:
    body = _workbook(
        [
            ["RFID", "Abfahrt", "soc_pct"],
            [1234, datetime(2026, 11, 23, 7, 30), 80],  # noqa: DTZ001  workbooks know no zones
            [None, None, None],
            ["77", "2026-11-23 07:30", "x"],
        ]
    )
    schedule = xlsx_file.parse(body, "fleet.xlsx", BRUSSELS)
    assert schedule.trips == (Trip(None, "1234", None, MONDAY_0730, None, Wanted(80.0, "pct"), "fleet.xlsx, row 2"),)
    assert [p.where for p in schedule.problems] == ["fleet.xlsx, row 4"]


@given(cut=st.integers(0, 6_000), flip=st.integers(0, 6_000), value=st.integers(0, 255))
def test_a_damaged_workbook_never_raises(cut: int, flip: int, value: int) -> None:
    body = bytearray(_workbook([["vehicle", "departure"], ["A", "2026-11-23 07:30"]]))
    if flip < len(body):
        body[flip] = value
    assert isinstance(xlsx_file.parse(bytes(body[: max(cut, 1)]), "f.xlsx", BRUSSELS), Schedule)
    assert isinstance(xlsx_file.parse(bytes(body), "f.xlsx", BRUSSELS), Schedule)


CALENDAR = b"""BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//fleet//EN
BEGIN:VEVENT
UID:1
DTSTAMP:20261101T000000Z
DTSTART;TZID=Europe/Brussels:20261019T073000
DTEND;TZID=Europe/Brussels:20261019T170000
RRULE:FREQ=WEEKLY;BYDAY=MO
EXDATE;TZID=Europe/Brussels:20261130T073000
SUMMARY:VAN-12: Antwerp and back
DESCRIPTION:at least 120 km
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTAMP:20261101T000000Z
DTSTART;VALUE=DATE:20261123
SUMMARY:VAN-12: at the garage
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTAMP:20261101T000000Z
DTSTART:20261124T060000Z
SUMMARY:meeting 80%
CATEGORIES:VAN-7
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTAMP:20261101T000000Z
DTSTART:20261124T070000Z
SUMMARY:lunch
END:VEVENT
BEGIN:VEVENT
UID:5
DTSTAMP:20261101T000000Z
DTSTART:20261124T080000Z
STATUS:CANCELLED
SUMMARY:VAN-7: cancelled
END:VEVENT
END:VCALENDAR
""".replace(b"\n", b"\r\n")
DAY_S = 86_400.0


def test_a_calendar_of_a_fleet() -> None:
    schedule = icalendar_file.parse(
        CALENDAR,
        "fleet.ics",
        BRUSSELS,
        from_epoch_s=MONDAY_0730 - DAY_S,
        until_epoch_s=MONDAY_0730 + 10 * DAY_S,
    )
    assert schedule.trips == (
        Trip(
            "VAN-12", None, None, MONDAY_0730, MONDAY_0730 + 9.5 * 3_600, Wanted(120.0, "km"),
            "fleet.ics, 'VAN-12: Antwerp and back'",
        ),
        Trip("VAN-7", None, None, MONDAY_0730 + DAY_S - 1_800.0, None, Wanted(80.0, "pct"), "fleet.ics, 'meeting 80%'"),
    )  # fmt: skip
    assert [p.where for p in schedule.problems] == ["fleet.ics, 'lunch'"]


def test_a_calendar_of_one_vehicle() -> None:
    schedule = icalendar_file.parse(
        CALENDAR, "f.ics", BRUSSELS, from_epoch_s=MONDAY_0730 + DAY_S, until_epoch_s=MONDAY_0730 + 2 * DAY_S,
        vehicle="VAN-1",
    )  # fmt: skip
    assert [(t.vehicle, t.wanted) for t in schedule.trips] == [("VAN-1", None)]
    assert schedule.problems == ()


def test_a_departure_every_second_is_refused_unexpanded() -> None:
    body = CALENDAR.replace(b"FREQ=WEEKLY;BYDAY=MO", b"FREQ=SECONDLY")
    schedule = icalendar_file.parse(body, "f.ics", BRUSSELS, from_epoch_s=0.0, until_epoch_s=2e9)
    assert schedule.trips == ()
    assert "every second" in schedule.problems[0].message


@given(data=st.data())
def test_a_damaged_calendar_never_raises(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(CALENDAR) - 1))
    body = CALENDAR[:at] + data.draw(st.binary(max_size=4)) + CALENDAR[at + data.draw(st.integers(0, 30)) :]
    parsed = icalendar_file.parse(
        body, "f.ics", BRUSSELS, from_epoch_s=MONDAY_0730 - DAY_S, until_epoch_s=MONDAY_0730 + 3 * DAY_S
    )
    assert isinstance(parsed, Schedule)


@given(st.binary(max_size=300))
def test_any_bytes_as_csv(body: bytes) -> None:
    assert isinstance(csv_file.parse(body, "f.csv", BRUSSELS), Schedule)
