"""What the enrolment desk remembers, in one SQLite file. Codes are there as salted hashes only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from interfaces.errors import UserError
from optimizer.service.enrolment import Box, Code, Event, Kind

MAX_EVENTS: Final = 10_000
"""Older ones are dropped, so that nobody fills the disk with wrong codes."""
BUSY_S: Final = 10.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS boxes (
    serial TEXT PRIMARY KEY, controller TEXT NOT NULL UNIQUE, organisation TEXT NOT NULL, site TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS codes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, digest BLOB NOT NULL,
    expires_epoch_s REAL NOT NULL, wrong INTEGER NOT NULL DEFAULT 0, key TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at_epoch_s REAL NOT NULL, kind TEXT NOT NULL, serial TEXT NOT NULL,
    address TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
"""


class EnrolmentFile:
    """``Enrolments`` in a file that is made when it is not there. Several processes may use it at once.

    Raises:
        UserError: it cannot be opened or is no such file. Later calls raise ``sqlite3.Error`` when the disk fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.touch(mode=0o600, exist_ok=True)
            with closing(self._open()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{path} cannot be used: {error}") from error

    def box(self, serial: str) -> Box | None:
        return self._box("SELECT serial, controller, organisation, site FROM boxes WHERE serial = ?", serial)

    def box_of(self, controller: str) -> Box | None:
        return self._box("SELECT serial, controller, organisation, site FROM boxes WHERE controller = ?", controller)

    def boxes(self) -> tuple[Box, ...]:
        return tuple(
            Box(*row)
            for row in self._read("SELECT serial, controller, organisation, site FROM boxes ORDER BY serial")
        )  # fmt: skip

    def code(self, serial: str) -> Code | None:
        query = "SELECT number, salt, digest, expires_epoch_s, wrong, key FROM codes WHERE serial = ?"
        return next((Code(*row) for row in self._read(query, serial)), None)

    def add_code(self, box: Box, salt: bytes, digest: bytes, expires_epoch_s: float) -> None:
        with self._writing() as connection:
            gone = "SELECT serial FROM boxes WHERE controller = ? OR serial = ?"
            connection.execute(f"DELETE FROM codes WHERE serial IN ({gone})", (box.controller, box.serial))  # noqa: S608
            connection.execute("DELETE FROM boxes WHERE controller = ? OR serial = ?", (box.controller, box.serial))
            columns = (box.serial, box.controller, box.organisation, box.site)
            connection.execute("INSERT INTO boxes VALUES (?, ?, ?, ?)", columns)
            row = (box.serial, salt, digest, expires_epoch_s)
            connection.execute("INSERT INTO codes (serial, salt, digest, expires_epoch_s) VALUES (?, ?, ?, ?)", row)

    def count_wrong(self, number: int) -> int:
        with self._writing() as connection:
            query = "UPDATE codes SET wrong = wrong + 1 WHERE number = ? RETURNING wrong"
            found = connection.execute(query, (number,)).fetchall()
        return int(found[0][0]) if found else 0

    def take(self, number: int, key: str) -> str:
        with self._writing() as connection:
            connection.execute("UPDATE codes SET key = ? WHERE number = ? AND key = ''", (key, number))
            found = connection.execute("SELECT key FROM codes WHERE number = ?", (number,)).fetchall()
        return str(found[0][0]) if found else ""

    def note(self, event: Event) -> None:
        row = (event.at_epoch_s, event.kind.value, event.serial, event.address, event.text)
        with self._writing() as connection:
            query = "INSERT INTO events (at_epoch_s, kind, serial, address, text) VALUES (?, ?, ?, ?, ?)"
            number = connection.execute(query, row).lastrowid or 0
            connection.execute("DELETE FROM events WHERE number <= ?", (number - MAX_EVENTS,))

    def events(self, most: int) -> tuple[Event, ...]:
        query = "SELECT at_epoch_s, kind, serial, address, text FROM events ORDER BY number DESC LIMIT ?"
        return tuple(Event(at, Kind(kind), *rest) for at, kind, *rest in self._read(query, most))

    def _box(self, query: str, value: str) -> Box | None:
        return next((Box(*row) for row in self._read(query, value)), None)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        # A code that was used must not be unused again after a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _read(self, query: str, *values: object) -> list[Any]:
        with closing(self._open()) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
