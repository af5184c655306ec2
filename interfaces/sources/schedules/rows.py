"""From one row of a table to one trip; what CSV files and workbooks share.

Column names in English, Dutch, French and German; a number may have a decimal comma. A time without an offset is local
time of the site. Dates with slashes or dots are day first, as all of Europe writes them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from interfaces.domain.schedule import RowProblem, Schedule, Trip, Wanted, WantedUnit

MOST_ROWS: Final[int] = 20_000
MOST_BYTES: Final[int] = 5_000_000
MOST_PROBLEMS: Final[int] = 200
LONGEST_NAME: Final[int] = 64
MOST: Final[Mapping[WantedUnit, float]] = {"km": 2_000.0, "pct": 100.0, "kwh": 1_000.0}
"""Nothing on wheels has more range, and nobody fills beyond 100 %."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "vehicle": ("vehicle", "plate", "voertuig", "kenteken", "nummerplaat", "véhicule", "vehicule", "immatriculation",
                "fahrzeug", "kennzeichen"),
    "tag": ("tag", "rfid", "badge", "card", "laadpas", "laadkaart", "carte", "karte", "ladekarte"),
    "evse": ("evse", "charger", "spot", "place", "laadpunt", "laadplaats", "borne", "emplacement", "ladepunkt",
             "stellplatz"),
    "departure": ("departure", "leaves", "vertrek", "départ", "depart", "abfahrt"),
    "arrival": ("arrival", "return", "aankomst", "terugkomst", "arrivée", "arrivee", "retour", "ankunft", "rückkehr"),
    "km": ("km", "range_km", "distance_km", "afstand_km", "reichweite_km", "autonomie_km"),
    "pct": ("pct", "soc_pct", "soc", "%", "soc_%"),
    "kwh": ("kwh", "energy_kwh", "energie_kwh"),
}  # fmt: skip
_NAMES: Final[Mapping[str, str]] = {alias: name for name, aliases in COLUMNS.items() for alias in aliases}
_DAY_FIRST: Final = re.compile(r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_UNITS: Final[tuple[WantedUnit, ...]] = ("km", "pct", "kwh")


def columns_of(header: Sequence[object]) -> dict[int, str] | str:
    """Which column holds what, by index; a sentence when the table cannot be a schedule."""
    found: dict[int, str] = {}
    for index, cell in enumerate(header):
        name = _NAMES.get(str(cell or "").strip().lower().replace(" ", "_"))
        if name is None:
            continue
        if name in found.values():
            return f"the column '{name}' appears twice"
        found[index] = name
    if "departure" not in found.values():
        return f"no column for the departure: name one of {', '.join(COLUMNS['departure'])}"
    if not {"vehicle", "tag", "evse"} & set(found.values()):
        return "no column says whose departure it is: name one vehicle, tag or evse"
    return found


def schedule_of(rows: Iterable[tuple[str, Sequence[object]]], zone: ZoneInfo) -> Schedule:
    """The schedule of a table whose first row is the header; each row comes with where it stands. Empty rows count for
    nothing.
    """
    trips: list[Trip] = []
    problems: list[RowProblem] = []
    columns: dict[int, str] | None = None
    for number, (where, cells) in enumerate(rows):
        if all(cell is None or not str(cell).strip() for cell in cells):
            continue
        if columns is None:
            header = columns_of(cells)
            if isinstance(header, str):
                return Schedule((), (RowProblem(where, header),))
            columns = header
            continue
        if number > MOST_ROWS:
            problems.append(RowProblem(where, f"a schedule has at most {MOST_ROWS} rows: the rest was left out"))
            break
        trip = trip_of({columns[i]: cell for i, cell in enumerate(cells) if i in columns}, where, zone)
        if isinstance(trip, Trip):
            trips.append(trip)
        elif len(problems) < MOST_PROBLEMS:
            problems.append(RowProblem(where, trip))
    if columns is None:
        return Schedule((), (RowProblem("the file", "it holds no rows"),))
    return Schedule(tuple(sorted(trips, key=lambda t: t.departure_epoch_s)), tuple(problems))


def trip_of(cells: Mapping[str, object], where: str, zone: ZoneInfo) -> Trip | str:
    """One trip, or why the row is none."""
    names = {key: _text(cells.get(key)) for key in ("vehicle", "tag", "evse")}
    if not any(names.values()):
        return "nobody is named: fill in vehicle, tag or evse"
    if any(len(name) > LONGEST_NAME for name in names.values()):
        return f"a name has at most {LONGEST_NAME} characters"
    departure = epoch_of(cells.get("departure"), zone)
    if isinstance(departure, str):
        return f"departure: {departure}"
    arrival = None if _text(cells.get("arrival")) == "" else epoch_of(cells.get("arrival"), zone)
    if isinstance(arrival, str):
        return f"arrival: {arrival}"
    wanted = _wanted(cells)
    if isinstance(wanted, str):
        return wanted
    return Trip(
        vehicle=names["vehicle"] or None,
        tag=names["tag"] or None,
        evse=names["evse"] or None,
        departure_epoch_s=departure,
        arrival_epoch_s=arrival,
        wanted=wanted,
        where=where,
    )


def epoch_of(cell: object, zone: ZoneInfo) -> float | str:
    """Seconds since 1970 of a time as people and workbooks write it, or why it is none.

    A local time that happens twice (clocks go back) is the earlier one, so that the car is ready for either; one that
    does not exist (clocks go forward) is refused.
    """
    moment = cell if isinstance(cell, datetime) else _datetime(_text(cell))
    if moment is None:
        return f"'{_text(cell)}' is no date with a time: write it like 2026-11-23 07:30"
    if moment.tzinfo is not None:
        return moment.timestamp()
    local = moment.replace(tzinfo=zone)
    if datetime.fromtimestamp(local.timestamp(), zone).replace(tzinfo=None) != moment:
        return f"{moment:%Y-%m-%d %H:%M} does not exist in {zone.key}: the clocks go forward in that hour"
    return local.timestamp()


def _datetime(text: str) -> datetime | None:
    match = _DAY_FIRST.match(text)
    try:
        if match is not None and match[4] is not None:
            day, month, year, hour, minute, second = (int(part or 0) for part in match.groups())
            return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  local time of the site
        if len(text) <= len("2026-11-23") or match is not None:
            return None  # a day without a time would silently mean midnight
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _wanted(cells: Mapping[str, object]) -> Wanted | str | None:
    given = [unit for unit in _UNITS if _text(cells.get(unit))]
    if not given:
        return None
    if len(given) > 1:
        return f"wanted twice, as {' and as '.join(given)}: fill in one"
    unit = given[0]
    return wanted_of(cells[unit], unit)


def wanted_of(cell: object, unit: WantedUnit) -> Wanted | str:
    """The wanted autonomy of a cell, or why it is none."""
    text = _text(cell).removesuffix("%").removesuffix("km").removesuffix("kWh").strip()
    try:
        amount = float(cell) if isinstance(cell, int | float) else float(text.replace(",", "."))
    except ValueError:
        return f"'{text}' is no number of {unit}"
    if not math.isfinite(amount) or not 0.0 <= amount <= MOST[unit]:
        return f"{text} {unit} is not between 0 and {MOST[unit]:g}"
    return Wanted(amount, unit)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))  # a workbook keeps the tag 1234 as 1234.0
    if isinstance(cell, date | timedelta):
        return str(cell)
    return str(cell).strip()
