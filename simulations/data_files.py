"""Real measurement files: sessions, loads, sun and prices as csv, csv.gz or parquet; bad rows are named and skipped.

Columns end in their unit or in ``_utc`` (ISO 8601 with Z) or ``_local`` (wall clock of the file's time zone). Times are
moved in whole days onto the run: midnight of the file's first day becomes midnight of the run's first day.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR, Floats
from interfaces.errors import UserError

MAX_BYTES: Final[int] = 500_000_000
UNIT_SUFFIXES: Final[tuple[str, ...]] = ("_mw", "_kw", "_w", "_kwh", "_wh", "_mwh")
TIME_PREFIXES: Final[tuple[str, ...]] = ("start_", "end_", "time_", "stamp_")
DAY_FIRST: Final[str] = "%d.%m.%Y %H:%M"


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that was left out. ``row``: line of a csv file (the header is 1), number of a parquet row."""

    file: str
    row: int
    why: str


class DatedFile(Protocol):
    """What every file entry of a scenario has."""

    @property
    def file(self) -> str:
        """Name below the data folder."""

    @property
    def first_day(self) -> date:
        """The day that becomes the first of the run."""

    @property
    def time_zone(self) -> str | None:
        """Zone of the file's wall clock; None: the site's."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The run's place in time: ``start_epoch_s`` UTC, ``start_day_s`` local seconds since midnight, the site's zone."""

    start_epoch_s: float
    start_day_s: float
    zone: zoneinfo.ZoneInfo
    length_s: float


@dataclass(frozen=True, slots=True)
class FileSession:
    """One real visit, s from the start of the run, energy the car took. ``told_*``: what the driver typed in."""

    station: str
    start_s: float
    end_s: float
    energy_wh: float
    told_end_s: float | None = None
    told_energy_wh: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A measured series: values (T,) from ``at_s`` (T,) s from the start of the run on."""

    at_s: Floats
    values: Floats


class DataFiles:
    """The folder given with ``--data``. ``bad_rows`` collects what was left out."""

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.bad_rows: list[BadRow] = []

    def sessions(self, entry: DatedFile, *, place: str | None, overlay: int, max_mean_kw: float) -> list[FileSession]:
        """Sessions that begin during the run, by start; overlaid days follow each other in the file.

        Raises:
            UserError: the file is missing, cannot be read, or lacks a column.
        """
        header, rows = self._table(entry.file)
        columns = _session_columns(header, entry.file)
        found: list[FileSession] = []
        days = math.ceil((self._clock.start_day_s + self._clock.length_s) / SECONDS_PER_DAY)
        for number, row in rows:
            cells = dict(zip(header, row, strict=False))
            if place is not None and place not in (cells.get("site"), cells.get("location")):
                continue
            try:
                visit = self._visit(cells, columns, entry, overlay, days, max_mean_kw)
            except ValueError as error:
                self.bad_rows.append(BadRow(entry.file, number, str(error)))
                continue
            if visit is not None:
                found.append(visit)
        if not found:
            raise UserError(f"{entry.file}: no session begins within the run, from {entry.first_day} on")
        return sorted(found, key=lambda v: (v.start_s, v.station))

    def _visit(
        self,
        cells: dict[str, str],
        columns: dict[str, str],
        entry: DatedFile,
        overlay: int,
        days: int,
        max_mean_kw: float,
    ) -> FileSession | None:
        start_s = self._run_s(cells[columns["arrival"]], entry)
        laid = int((start_s + self._clock.start_day_s) // (days * SECONDS_PER_DAY))
        if not 0 <= laid < overlay:
            return None
        shift_s = laid * days * SECONDS_PER_DAY
        start_s -= shift_s
        if not 0.0 <= start_s < self._clock.length_s:
            return None
        end_s = self._run_s(cells[columns["departure"]], entry) - shift_s
        scale = MILLI if columns["energy"].endswith("_kwh") else 1
        energy_wh = _number(cells[columns["energy"]], columns["energy"]) * scale
        if end_s <= start_s:
            raise ValueError("departure is not after arrival")
        if energy_wh <= 0.0:
            raise ValueError(f"energy {energy_wh:g} Wh is not positive")
        mean_kw = energy_wh / MILLI / ((end_s - start_s) / SECONDS_PER_HOUR)
        if mean_kw > max_mean_kw:
            raise ValueError(f"mean power {mean_kw:.1f} kW is above {max_mean_kw:g} kW")
        told_end_s, told_wh = self._told(cells, entry, shift_s)
        station = f"{laid}/{cells.get(columns.get('station', ''), '')}"
        return FileSession(station, start_s, end_s, energy_wh, told_end_s, told_wh)

    def _told(self, cells: dict[str, str], entry: DatedFile, shift_s: float) -> tuple[float | None, float | None]:
        """Departure and energy that the driver typed in. Unclaimed rows carry the truth there, which nobody knew."""
        if cells.get("user_claimed") == "0":
            return None, None
        end = cells.get("estimated_departure_utc") or cells.get("requested_departure_utc")
        energy = cells.get("requested_energy_kwh")
        return (
            self._run_s(end, entry) - shift_s if end else None,
            _number(energy, "requested_energy_kwh") * MILLI if energy else None,
        )

    def trace(self, entry: DatedFile, column: str | None) -> Trace:
        """One column over the run, rows in order of time; empty cells and unreadable rows are left out.

        Raises:
            UserError: the file is missing, cannot be read, lacks a column, or has no rows for the run.
        """
        header, rows = self._table(entry.file)
        when = next((c for c in header if c.startswith(TIME_PREFIXES) and ("_utc" in c or "_local" in c)), None)
        what = column or next((c for c in header if c.endswith(UNIT_SUFFIXES)), None)
        if when is None or what is None or what not in header:
            raise UserError(f"{entry.file} has no column {what or 'with power or energy'} beside a time")
        place, value_at = header.index(when), header.index(what)
        points: list[tuple[float, float]] = []
        for number, row in rows:
            try:
                at_s = self._run_s(row[place], entry)
                if -SECONDS_PER_DAY <= at_s <= self._clock.length_s + SECONDS_PER_DAY:
                    points.append((at_s, _number(row[value_at], what)))
            except (ValueError, IndexError) as error:
                self.bad_rows.append(BadRow(entry.file, number, str(error)))
        points.sort()
        at = np.array([p[0] for p in points], dtype=np.float64)
        if not len(at) or at[0] > SECONDS_PER_HOUR or at[-1] < self._clock.length_s - SECONDS_PER_HOUR:
            raise UserError(f"{entry.file} does not cover the run, from {entry.first_day} on")
        if when.startswith("end_") and len(at) > 1:
            at -= float(np.median(np.diff(at)))
        return Trace(at, np.array([p[1] for p in points], dtype=np.float64))

    def _run_s(self, text: str, entry: DatedFile) -> float:
        """Seconds from the start of the run of a time in the file."""
        zone = self._clock.zone if entry.time_zone is None else _zone(entry.time_zone)
        stamp = _stamp(text)
        epoch_s = stamp.replace(tzinfo=zone).timestamp() if stamp.tzinfo is None else stamp.timestamp()
        midnight = datetime.combine(entry.first_day, datetime.min.time(), tzinfo=zone).timestamp()
        return epoch_s - midnight - self._clock.start_day_s

    def _table(self, name: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
        if self._folder is None:
            raise UserError(f"the scenario needs the file {name}: give its folder with --data DIR")
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise UserError(f"{name} is outside the folder given with --data")
        try:
            if path.suffix == ".parquet":
                return _parquet(path)
            return _csv(path)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise UserError(f"{path} cannot be read: {reason}") from error


def _csv(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES)
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    rows = [(reader.line_num, row) for row in reader if row]
    if not rows:
        raise UserError(f"{path} is empty")
    return [name.strip() for name in rows[0][1]], iter(rows[1:])


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    from pyarrow import ArrowException  # noqa: PLC0415  only who has such files pays for the library
    from pyarrow.parquet import read_table  # noqa: PLC0415

    try:
        table = read_table(path)
    except ArrowException as error:
        raise UserError(f"{path} is no parquet file: {error}") from error
    columns: Sequence[list[object]] = [column.to_pylist() for column in table.columns]
    rows = (
        (number, ["" if cell is None else str(cell) for cell in row])
        for number, row in enumerate(zip(*columns, strict=True), start=1)
    )
    return list(table.column_names), rows


def _session_columns(header: list[str], name: str) -> dict[str, str]:
    def first(*names: str) -> str | None:
        return next((c for c in names if c in header), None)

    found = {
        "arrival": first("arrival_utc", "arrival_local"),
        "departure": first("departure_utc", "departure_local"),
        "energy": first("delivered_energy_kwh", "delivered_energy_wh"),
    }
    for what, column in found.items():
        if column is None:
            raise UserError(f"{name} has no column for {what}: a sessions file has arrival, departure and energy")
    columns = {what: column for what, column in found.items() if column is not None}
    station = first("station_id", "user_id")
    return columns if station is None else {**columns, "station": station}


def _stamp(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.strptime(text, DAY_FIRST)  # noqa: DTZ007  wall clock of the file's zone, set by the caller
    except ValueError:
        raise ValueError(f"'{text}' is no time") from None


def _number(text: str, column: str) -> float:
    if not text.strip():
        raise ValueError(f"{column} is empty")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{column} '{text}' is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{column} '{text}' is no number")
    return value


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        raise UserError(f"there is no time zone '{name}'") from error


def clock_of(start: datetime, zone_name: str, length_s: float) -> Clock:
    """The clock of a run that starts at a naive local time."""
    zone = _zone(zone_name)
    local = start.replace(tzinfo=zone)
    midnight = datetime.combine(start.date(), datetime.min.time())
    return Clock(local.astimezone(UTC).timestamp(), (start - midnight).total_seconds(), zone, length_s)
