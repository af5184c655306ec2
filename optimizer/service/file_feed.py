"""Prices or weather from a file that somebody keeps up to date: read again whenever it changes, no network."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic

from interfaces.command_line import read_file
from interfaces.errors import UserError
from interfaces.sources.port import MAX_BODY_BYTES, S, SourceError

LOOK_EVERY_S: Final[float] = 5.0


class FileFeed(Generic[S]):
    """One series from one file. ``series`` None until it could be read once; a file that is away or damaged keeps the
    last series, and ``trouble`` says what is wrong.
    """

    def __init__(self, name: str, path: Path, parse: Callable[[bytes], S | SourceError]) -> None:
        self.name = name
        self.series: S | None = None
        self.trouble = ""
        self._path = path
        self._parse: Callable[[bytes], S | SourceError] = parse
        self._stamp: tuple[int, int] | None = None
        self._looked_epoch_s = -math.inf

    def poll(self, now_epoch_s: float) -> bool:
        """Read the file where it is new; whether there is another series than before."""
        # A clock that was set back makes a negative age: look.
        if 0.0 <= now_epoch_s - self._looked_epoch_s < LOOK_EVERY_S:
            return False
        self._looked_epoch_s = now_epoch_s
        try:
            told = self._path.stat()
            stamp = told.st_mtime_ns, told.st_size
            if stamp == self._stamp:
                return False
            found = self._parse(read_file(self._path, limit_bytes=MAX_BODY_BYTES))
        except OSError as error:
            self.trouble = f"{self.name}: {self._path} cannot be read: {error.strerror or error}"
            return False
        except UserError as error:
            self.trouble = f"{self.name}: {error}"
            return False
        self._stamp = stamp
        if isinstance(found, SourceError):
            self.trouble = f"{self.name}: {self._path}: {found.reason}"
            return False
        self.trouble = ""
        self.series = found
        return True
