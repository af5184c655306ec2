"""Schedules as CSV: comma, semicolon or tab between the cells, UTF-8 or what Excel writes in western Europe."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from interfaces.domain.schedule import RowProblem, Schedule
from interfaces.sources.schedules.rows import MOST_BYTES, schedule_of

_DELIMITERS = (";", "\t", ",")


def parse(body: bytes, name: str, zone: ZoneInfo) -> Schedule:
    """The schedule of a CSV file; ``name`` is what people know it by. Never raises for what is in the file."""
    if len(body) > MOST_BYTES:
        return Schedule((), (RowProblem(name, f"it is larger than {MOST_BYTES / 1_000_000:g} MB"),))
    text = _text(body)
    if "\0" in text:
        return Schedule((), (RowProblem(name, "it is no text: save it as CSV"),))
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        return schedule_of(_rows(text, name, delimiter), zone)
    except csv.Error as error:
        return Schedule((), (RowProblem(name, f"it is no CSV: {error}"),))


def _rows(text: str, name: str, delimiter: str) -> Iterator[tuple[str, list[object]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for cells in reader:
        yield f"{name}:{reader.line_num}", list(cells)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")
