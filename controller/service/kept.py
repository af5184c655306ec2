"""Small things that a restart must not lose, by name, in ``state.db`` beside the messages that wait there.

Written with a sync each: some a minute at most. The file is opened for every call, so that one that was set aside or
lay on a disk that was away is found again by itself.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

BUSY_S: Final = 5.0
_TABLE: Final = "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL)"


class Kept:
    """Bytes by name. All calls touch the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem = ""

    def put(self, name: str, value: bytes) -> bool:
        """Keep it in place of the earlier one; whether the disk took it."""
        try:
            with closing(self._open()) as database:
                database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))
        except sqlite3.Error as error:
            self._told(name, str(error))
            return False
        self._told(name, "")
        return True

    def get(self, name: str) -> bytes | None:
        """What was kept; None where nothing is.

        Raises:
            OSError: it cannot be read, which is not the same.
        """
        try:
            with closing(self._open()) as database:
                found = database.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error as error:
            self._told(name, str(error))
            raise OSError(str(error)) from error
        return None if found is None else bytes(found[0])

    def read(self, name: str) -> bytes:
        """What was kept; empty where nothing is or it cannot be read."""
        try:
            return self.get(name) or b""
        except OSError:
            return b""

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(_TABLE)
        except BaseException:
            database.close()
            raise
        return database

    def _told(self, name: str, problem: str) -> None:
        if problem and not self._problem:
            log.warning("kept_failed name=%s reason=%r", name, problem)
        self._problem = problem
