"""What the commands about prices and weather share: files, the fetcher of this machine, and words about a series."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from interfaces.command_line import read_file
from interfaces.domain.series import Flag, utc_text
from interfaces.drivers.clock import epoch_s, monotonic_s
from interfaces.errors import UserError
from interfaces.sources.cache import Cache
from interfaces.sources.fetching import Fetcher
from interfaces.sources.port import MAX_BODY_BYTES
from interfaces.sources.transport import Clocks, new_session

CACHE_VARIABLE: Final = "STROOMWACHT_CACHE"
WORDS: Final = {
    Flag.STALE: "old: no source could be reached",
    Flag.FALLBACK: "from a fall-back source",
    Flag.GAPS: "steps are missing",
    Flag.FORECAST: "the last steps are a forecast",
    Flag.INCOMPLETE: "not all of the time is published",
    Flag.DUPLICATES: "steps given twice were dropped",
    Flag.EXTREME: "prices at the limit of the market",
    Flag.OTHER_AUCTION: "another auction was left out",
    Flag.COARSER: "hours that are given in quarters too were left out",
    Flag.OUTSIDE: "values beyond the end of their period were left out",
    Flag.BORDER: "of a border between two zones",
    Flag.UNIT: "the unit is an assumption",
    Flag.ZONE: "the zone is an assumption: the answer does not say it",
    Flag.MISSING: "values are missing",
    Flag.LEFT_OUT: "quantities in unknown units were left out",
}


def content_of(file: Path) -> bytes:
    """A sample of a source's answer that a person names."""
    return read_file(file, limit_bytes=MAX_BODY_BYTES)


def new_fetcher() -> Fetcher:
    """The fetcher with this machine's clocks; answers are kept under the user's cache folder."""
    clocks = Clocks(monotonic_s, epoch_s, time.sleep)
    jitter = random.Random().random  # noqa: S311  spreads retries, guards nothing
    return Fetcher(new_session(), clocks, jitter, Cache(_cache_folder()))


@contextmanager
def quiet_log() -> Iterator[None]:
    """One sentence for the person, no journal."""
    journal = logging.getLogger("interfaces.sources")
    level = journal.level
    journal.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        journal.setLevel(level)


def _cache_folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stroomwacht" / "sources"


def distinct(sources: list[str]) -> list[str]:
    """The sources asked for, each once."""
    if len(set(sources)) != len(sources):
        raise UserError("name each --source once, the first choice first")
    return sources


def caption(what: str, flags: tuple[Flag, ...], oldest_epoch_s: float | None) -> str:
    """The line under a table."""
    notes = [WORDS.get(flag, flag.value) for flag in flags]
    if oldest_epoch_s is not None:
        notes.append(f"fetched {utc_text(oldest_epoch_s)}")
    return "; ".join([what, *notes])
