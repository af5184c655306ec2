"""Messages that wait for the cloud, in one SQLite file: oldest first, bounded by size and age, every loss counted.

A row is there until its message has arrived, and goes then: this is a queue, no history. WAL keeps what was committed
over the death of the process; ``synchronous=FULL`` also over a power cut, ``NORMAL`` up to the last few seconds
(sqlite.org/pragma.html#pragma_synchronous), which spares the disk a sync per message.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Cause = Literal["size", "age", "disk", "refused", "damage"]
"""Why a message is lost: the bound of size or of age; no disk took it and memory is full; no broker would ever take it;
the file was damaged."""
Range = tuple[int, int, int]
"""Messages by name: session, first and last sequence number."""

FORMAT: Final = 1
ROW_BYTES: Final = 80
"""What a row takes besides its payload."""
LEVEL: Final = 1
CHUNK: Final = 500
BUSY_S: Final = 5.0
DAMAGED_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
PRIMARY: Final = 0xFF
"""The low byte of an extended result code (sqlite.org/rescode.html)."""
SIDE_FILES: Final = ("", "-wal", "-shm")
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS waiting (
  number INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL, seq INTEGER NOT NULL, at_epoch_s REAL NOT NULL,
  kind TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS waiting_by_name ON waiting (session, seq);
CREATE TABLE IF NOT EXISTS lost (cause TEXT PRIMARY KEY, messages INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may wait: bytes as stored, and seconds since it was measured."""

    max_bytes: int
    max_age_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """One message. ``session`` and ``seq`` are its name for ever; ``at_epoch_s``: when what it tells was so; an empty
    ``payload``: the disk returned something else than was written.
    """

    session: int
    seq: int
    at_epoch_s: float
    kind: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """What one write does: add, take out by place or by name, and count."""

    fresh: Sequence[Told] = ()
    gone: Sequence[int] = ()
    arrived: Sequence[Range] = ()
    lost: Counter[str] = field(default_factory=Counter)


class SpoolTable:
    """The open file. Every call may raise ``sqlite3.Error``; what was committed before stays."""

    def __init__(self, path: Path, bounds: Bounds, *, synchronous: Literal["FULL", "NORMAL"]) -> None:
        self._bounds = bounds
        self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(synchronous)
            self.waiting, self.bytes = self._stored("1")
            self.lost: Counter[str] = Counter(dict(self._db.execute("SELECT cause, messages FROM lost").fetchall()))
        except BaseException:
            self.close()
            raise

    def _prepare(self, synchronous: str) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            raise sqlite3.DatabaseError(f"its format is {version}, this version knows {FORMAT}")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={synchronous}")
        # Immediate, so that it waits while another part of this program writes the same file.
        self._db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={FORMAT}; COMMIT;")

    def store(self, changes: Changes, epoch_s: float | None) -> list[int]:
        """One transaction, which keeps within the bounds; the places of what was added. ``epoch_s`` None: the clock is
        not to be believed, nothing is too old.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            places, more = self._add(changes.fresh)
            fewer = [self._remove(f"number IN ({_marks(some)})", some) for some in _chunks(changes.gone)]
            fewer += [self._remove("session = ? AND seq BETWEEN ? AND ?", one) for one in changes.arrived]
            waiting = self.waiting + len(places) - sum(count for count, _ in fewer)
            size = self.bytes + more - sum(freed for _, freed in fewer)
            dropped, freed = self._trim(size, None if epoch_s is None else epoch_s - self._bounds.max_age_s)
            lost = self.lost + changes.lost + dropped
            self._db.executemany("INSERT OR REPLACE INTO lost VALUES (?, ?)", list(lost.items()))
        self.waiting, self.bytes, self.lost = waiting - dropped.total(), size - freed, lost
        return places

    def oldest(self, count: int, hidden: frozenset[int]) -> list[tuple[int, Told]]:
        """The first messages in order that are not hidden, each with its place."""
        limit = count + len(hidden)
        found = self._db.execute("SELECT number FROM waiting ORDER BY number LIMIT ?", (limit,)).fetchall()
        wanted = [number for (number,) in found if number not in hidden][:count]
        rows = self._db.execute(
            f"SELECT * FROM waiting WHERE number IN ({_marks(wanted)}) ORDER BY number",  # noqa: S608  question marks
            wanted,
        )
        return [(row[0], Told(row[1], row[2], row[3], row[4], _unzipped(row[5]))) for row in rows]

    def since_epoch_s(self) -> float | None:
        """The time of the first message; None when none waits."""
        found = self._db.execute("SELECT at_epoch_s FROM waiting ORDER BY number LIMIT 1").fetchone()
        return None if found is None else float(found[0])

    def close(self) -> None:
        """Never raises: what is not closed in order is recovered when it is opened."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _add(self, fresh: Sequence[Told]) -> tuple[list[int], int]:
        places, size = [], 0
        query = "INSERT INTO waiting (session, seq, at_epoch_s, kind, payload) VALUES (?, ?, ?, ?, ?)"
        for told in fresh:
            packed = zlib.compress(told.payload, LEVEL)
            done = self._db.execute(query, (told.session, told.seq, told.at_epoch_s, told.kind, packed))
            places.append(int(done.lastrowid or 0))
            size += len(packed) + ROW_BYTES
        return places, size

    def _stored(self, where: str, values: Sequence[Any] = ()) -> tuple[int, int]:
        """How many messages are stored that meet the condition, and their bytes."""
        query = f"SELECT COUNT(*), TOTAL(LENGTH(payload)) FROM waiting WHERE {where}"  # noqa: S608  no input is in it
        count, size = self._db.execute(query, values).fetchone()
        return int(count), int(size) + int(count) * ROW_BYTES

    def _remove(self, where: str, values: Sequence[Any]) -> tuple[int, int]:
        found = self._stored(where, values)
        self._db.execute(f"DELETE FROM waiting WHERE {where}", values)  # noqa: S608  no input is in it
        return found

    def _trim(self, size: int, oldest_epoch_s: float | None) -> tuple[Counter[str], int]:
        """Drop from the front what is too old or too much; how many by cause, and the bytes that are free now."""
        dropped: Counter[str] = Counter()
        last = freed = 0
        for number, at_epoch_s, length in self._front():
            if oldest_epoch_s is not None and at_epoch_s < oldest_epoch_s:
                dropped["age"] += 1
            elif size - freed > self._bounds.max_bytes:
                dropped["size"] += 1
            else:
                break
            last, freed = number, freed + length + ROW_BYTES
        if last:
            self._db.execute("DELETE FROM waiting WHERE number <= ?", (last,))
        return dropped, freed

    def _front(self) -> Iterator[tuple[int, float, int]]:
        after = 0
        query = "SELECT number, at_epoch_s, LENGTH(payload) FROM waiting WHERE number > ? ORDER BY number LIMIT ?"
        while chunk := self._db.execute(query, (after, CHUNK)).fetchall():
            yield from chunk
            after = chunk[-1][0]


def _unzipped(payload: bytes) -> bytes:
    try:
        return zlib.decompress(payload)
    except zlib.error:
        return b""


def _marks(numbers: Sequence[int]) -> str:
    return ",".join("?" * len(numbers))


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK))


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, or from a version that this one does not know."""
    code = getattr(error, "sqlite_errorcode", None)
    return type(error) is sqlite3.DatabaseError and (code is None or code & PRIMARY in DAMAGED_CODES)


def set_aside(path: Path) -> None:
    """Put a broken file out of the way, with its log, which would be applied to the next one. May raise OSError."""
    for end in SIDE_FILES:
        found = path.with_name(path.name + end)
        if found.exists():
            found.replace(path.with_name(f"{path.name}.damaged{end}"))
