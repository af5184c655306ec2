"""Schedules as iCalendar (RFC 5545): each event is a trip, its start is the departure, its end the return.

Whose trip it is stands in CATEGORIES, or before a colon in the summary ("VAN-12: Antwerp"), or is given for the whole
calendar. The wanted autonomy is looked for in summary and description: "120 km", "80 %" or "35 kWh". Recurring events
are expanded within the asked window; cancelled ones and whole days (a holiday is no departure) are left out.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from interfaces.domain.schedule import RowProblem, Schedule, Trip, Wanted, WantedUnit
from interfaces.sources.schedules.rows import LONGEST_NAME, MOST_BYTES, MOST_PROBLEMS, MOST_ROWS, wanted_of

_AMOUNT: Final = re.compile(r"(?<![\d.,])(\d{1,5}(?:[.,]\d+)?)\s*(km|kwh|%)(?![a-z])", re.IGNORECASE)
_TOO_OFTEN: Final = re.compile(rb"FREQ=(SECONDLY|MINUTELY)", re.IGNORECASE)
_UNIT: Final[dict[str, WantedUnit]] = {"km": "km", "kwh": "kwh", "%": "pct"}


def parse(
    body: bytes, name: str, zone: ZoneInfo, *, from_epoch_s: float, until_epoch_s: float, vehicle: str | None = None
) -> Schedule:
    """Trips that begin in the window. Never raises for what is in the file.

    Args:
        body: the calendar.
        name: what people know it by.
        zone: of events that name none.
        from_epoch_s: first moment asked for.
        until_epoch_s: first moment not asked for any more.
        vehicle: whose trips all events are that name nobody.
    """
    if len(body) > MOST_BYTES:
        return Schedule((), (RowProblem(name, f"it is larger than {MOST_BYTES / 1_000_000:g} MB"),))
    if _TOO_OFTEN.search(body):
        return Schedule((), (RowProblem(name, "an event recurs every second or minute: no vehicle leaves so often"),))
    start, end = (datetime.fromtimestamp(t, zone) for t in (from_epoch_s, until_epoch_s))
    try:
        calendar: Any = icalendar.Calendar.from_ical(body)
        found = recurring_ical_events.of(calendar, skip_bad_series=True).between(start, end)
    except Exception as error:  # noqa: BLE001  two libraries, each with errors of their own for damaged text
        return Schedule((), (RowProblem(name, f"it is no calendar that can be read: {str(error)[:200]}"),))
    trips: list[Trip] = []
    problems: list[RowProblem] = []
    for event in found[:MOST_ROWS]:
        where = f"{name}, '{_words(event, 'SUMMARY')[:60]}'"
        trip = _trip(event, where, zone, vehicle)
        if isinstance(trip, Trip) and from_epoch_s <= trip.departure_epoch_s < until_epoch_s:
            trips.append(trip)
        elif isinstance(trip, str) and len(problems) < MOST_PROBLEMS:
            problems.append(RowProblem(where, trip))
    return Schedule(tuple(sorted(trips, key=lambda t: t.departure_epoch_s)), tuple(problems))


def _trip(event: Any, where: str, zone: ZoneInfo, vehicle: str | None) -> Trip | str | None:
    if _words(event, "STATUS").upper() == "CANCELLED":
        return None
    start = event.start
    if not isinstance(start, datetime):
        return None
    summary = _words(event, "SUMMARY")
    whose = _category(event) or (summary.partition(":")[0].strip() if ":" in summary else "") or vehicle or ""
    if not whose:
        return "nobody is named: use a category, or write the vehicle and a colon first"
    if len(whose) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters"
    wanted = _wanted(f"{summary}\n{_words(event, 'DESCRIPTION')}")
    if isinstance(wanted, str):
        return wanted
    end = event.end
    return Trip(
        vehicle=whose,
        tag=None,
        evse=None,
        departure_epoch_s=_epoch(start, zone),
        arrival_epoch_s=_epoch(end, zone) if isinstance(end, datetime) and end > start else None,
        wanted=wanted,
        where=where,
    )


def _epoch(moment: datetime, zone: ZoneInfo) -> float:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp()


def _category(event: Any) -> str:
    categories = event.get("CATEGORIES")
    first = categories[0] if isinstance(categories, list) and categories else categories
    names = getattr(first, "cats", ())
    return str(names[0]).strip() if names else ""


def _words(event: Any, key: str) -> str:
    return str(event.get(key, "")).strip()


def _wanted(text: str) -> Wanted | str | None:
    match = _AMOUNT.search(text)
    return None if match is None else wanted_of(match[1], _UNIT[match[2].lower()])
