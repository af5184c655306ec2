"""Answers kept on disk, so that a source that is down costs nothing for a while and a restart asks nobody.

One file per request: a line of JSON about the answer, then its bytes. A file is written aside, synced and renamed over;
one that is torn or was changed is not used. A cache that cannot be written is no cache, never an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.sources.port import MAX_BODY_BYTES, Request

log = logging.getLogger(__name__)

FORMAT: Final = 1
MAX_FILES: Final = 2000
"""A dozen sources, zones and days each; the oldest go first."""
SUFFIX: Final = ".answer"
_MAX_HEAD: Final = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, when it was fetched (UTC), and for which time it was asked."""

    body: bytes
    fetched_epoch_s: float
    since_epoch_s: int
    until_epoch_s: int


class Cache:
    """The answers in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, source: str, request: Request) -> Kept | None:
        """The newest answer to a request of its kind, None where there is none that is whole."""
        path = self._path(source, request)
        try:
            with path.open("rb") as file:
                head = file.readline(_MAX_HEAD)
                body = file.read(MAX_BODY_BYTES + 1)
            told = json.loads(head)
            if told["format"] == FORMAT and told["sha256"] == hashlib.sha256(body).hexdigest():
                return Kept(
                    body, float(told["fetched_epoch_s"]), int(told["since_epoch_s"]), int(told["until_epoch_s"])
                )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        log.warning("cache_file_unusable name=%s", path.name)
        return None

    def keep(self, source: str, request: Request, kept: Kept) -> None:
        """Replace the answer to a request."""
        path = self._path(source, request)
        told = {
            "format": FORMAT,
            "source": source,
            "fetched_epoch_s": kept.fetched_epoch_s,
            "since_epoch_s": kept.since_epoch_s,
            "until_epoch_s": kept.until_epoch_s,
            "sha256": hashlib.sha256(kept.body).hexdigest(),
        }
        aside = path.with_suffix(f".{os.getpid()}.new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(json.dumps(told).encode() + b"\n" + kept.body)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            self._prune()
        except OSError as error:
            log.warning("cache_not_written reason=%r", error.strerror or str(error))
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _path(self, source: str, request: Request) -> Path:
        """A name without any secret. It is the same for the same question of the next day: what was asked yesterday for
        two days still says something about today.
        """
        days = round((request.until_epoch_s - request.since_epoch_s) / SECONDS_PER_DAY)
        asked = json.dumps([request.url, request.key, days])
        return self._folder / f"{source}-{hashlib.sha256(asked.encode()).hexdigest()[:24]}{SUFFIX}"

    def _prune(self) -> None:
        files = sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MAX_FILES]:
            path.unlink(missing_ok=True)
