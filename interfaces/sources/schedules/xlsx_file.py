"""Schedules as Excel workbooks: the first sheet, values only."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo

import openpyxl

from interfaces.domain.schedule import RowProblem, Schedule
from interfaces.sources.schedules.rows import MOST_BYTES, MOST_ROWS, schedule_of

MOST_UNPACKED: Final[int] = 100_000_000
"""A workbook is a zip: one that unpacks to more is no schedule."""
MOST_COLUMNS: Final[int] = 50


def parse(body: bytes, name: str, zone: ZoneInfo) -> Schedule:
    """The schedule of a workbook's first sheet. Never raises for what is in the file."""
    reason = _refusal(body)
    if reason:
        return Schedule((), (RowProblem(name, reason),))
    try:
        book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True, keep_links=False)
        try:
            return schedule_of(_rows(book.worksheets[0], name) if book.worksheets else (), zone)
        finally:
            book.close()
    except Exception as error:  # noqa: BLE001  zip, XML and cell readers each have errors of their own for damaged files
        return Schedule((), (RowProblem(name, f"the workbook is damaged: {str(error)[:200]}"),))


def _refusal(body: bytes) -> str:
    if len(body) > MOST_BYTES:
        return f"it is larger than {MOST_BYTES / 1_000_000:g} MB"
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        return "it is no workbook: save it as .xlsx"
    return "it unpacks to more than a schedule can hold" if unpacked > MOST_UNPACKED else ""


def _rows(sheet: Any, name: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    cells = sheet.iter_rows(values_only=True, max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS)
    for number, row in enumerate(cells, start=1):
        yield f"{name}, row {number}", row
