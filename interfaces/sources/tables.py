"""Text tables: bytes of a CSV file, plain or gzipped -> header and rows. Pure and bounded."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from interfaces.sources.answers import MAX_STEPS, unusable
from interfaces.sources.port import MAX_BODY_BYTES

_GZIP: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
"""zlib: the largest window, with a gzip header."""
MAX_COLUMNS: Final = 200


@dataclass(frozen=True, slots=True)
class Table:
    """``header`` as written; ``rows`` all as long as it, with the number of their line."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_table(body: bytes) -> Table | str:
    """The table of a CSV file with a header line, separated by commas or semicolons; or why there is none."""
    plain = _unpacked(body) if body.startswith(_GZIP) else body
    if plain is None:
        return "the file is gzipped and cut off or too large"
    bad = unusable(plain, "CSV")
    if bad is not None:
        return bad.replace("the answer", "the file")
    try:
        text = plain.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "the file is no UTF-8 text"
    separator = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    try:
        return _table(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        return f"the file is no CSV ({error})"


def _table(lines: Iterator[list[str]]) -> Table | str:
    header = tuple(name.strip() for name in next(lines, []))
    if not 1 < len(header) <= MAX_COLUMNS or len(set(header)) != len(header):
        return "the first line is no header with one name for each column"
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        if len(line) != len(header):
            return f"line {number} has {len(line)} columns instead of {len(header)}"
        if len(rows) >= MAX_STEPS:
            return f"the file has more than {MAX_STEPS} lines"
        rows.append((number, tuple(cell.strip() for cell in line)))
    return Table(header, tuple(rows))


def _unpacked(body: bytes) -> bytes | None:
    reader = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        found = reader.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        return None
    return found if reader.eof and len(found) <= MAX_BODY_BYTES else None
