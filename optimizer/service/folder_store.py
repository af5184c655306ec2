"""Folders as the store of what controllers say: what one machine needs without a database.

Per site the folder of its link: statuses as the lines that ``LocalLink`` reads, everything else as
``messages-YYYY-MM-DD.jsonl``, a journal that was asked for in ``journal/``. A message that comes twice may stand there
twice: statuses are told apart by their time, messages by session and seq. Other messages are kept as long as the
statuses.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from interfaces.domain.codec_json import to_json
from interfaces.domain.wire import write
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_topics import Address
from optimizer.service.ingest import Arrival, StoreError, TelemetryStore
from optimizer.service.journal_files import keep_piece
from optimizer.service.local_link import STATUS_PREFIX, append_lines
from optimizer.service.memory import KEEP_DAYS

log = logging.getLogger(__name__)

MESSAGES_PREFIX: Final = "messages-"
MOST_TOLD: Final = 1000


class FolderStore:
    """Knows the controllers it is given and no others."""

    def __init__(self, folders: Mapping[Address, Path]) -> None:
        self._folders = dict(folders)
        self._refused: set[tuple[Address, str]] = set()

    def admit(self, address: Address, folder: Path) -> None:
        """From now on this controller is known."""
        self._folders[address] = folder

    def knows(self, address: Address) -> bool:
        """Whether there is a folder for it."""
        return address in self._folders

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        """Append and sync. What was written before a failure is written again with the next attempt."""
        lines: dict[Path, list[bytes]] = {}
        pieces: list[tuple[Address, JournalPiece]] = []
        for arrival in arrivals:
            folder = self._folders[arrival.address]
            status = arrival.status
            if isinstance(arrival.message, JournalPiece):
                pieces.append((arrival.address, arrival.message))
            elif status is None:
                path = _day_file(folder, MESSAGES_PREFIX, arrival.received_epoch_s)
                lines.setdefault(path, []).append(write(arrival.message))
            else:
                path = _day_file(folder, STATUS_PREFIX, status.epoch_s)
                lines.setdefault(path, []).append(to_json(status).encode())
        try:
            for path, new in lines.items():
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    _tidy(path)
                append_lines(path, new, sync=True)
            for address, piece in pieces:
                self._tell(address, piece, keep_piece(self._folders[address], piece))
        except OSError as error:
            return StoreError(f"{error.filename}: {error.strerror or error}")
        return None

    def _tell(self, address: Address, piece: JournalPiece, refused: str) -> None:
        """Each reason once per controller; whoever sends many says nothing new."""
        if refused and (address, refused) not in self._refused and len(self._refused) < MOST_TOLD:
            self._refused.add((address, refused))
            log.warning("journal_refused site=%s window=%s reason=%r", address.site, piece.window, refused)


class FoldersAndStore:
    """The folders, from which the sites are planned, and a store for good. While the store is away its batch is offered
    again, and what is in the folders already is not written twice.
    """

    def __init__(self, folders: FolderStore, store: TelemetryStore, ready: threading.Event) -> None:
        """``ready``: whether the store can be asked at all."""
        self._folders, self._store, self._ready = folders, store, ready
        self._written: tuple[Arrival, ...] = ()

    def knows(self, address: Address) -> bool:
        """Whether there is a folder for it."""
        return self._folders.knows(address)

    def add(self, arrivals: Sequence[Arrival]) -> StoreError | None:
        """See ``TelemetryStore``; a batch that comes again begins as it did."""
        again = len(self._written) if self._written and arrivals[0] is self._written[0] else 0
        error = self._folders.add(arrivals[again:])
        if error is not None:
            return error
        self._written = tuple(arrivals)
        return self._store.add(arrivals) if self._ready.is_set() else StoreError("the store is not open yet")


def _day_file(folder: Path, prefix: str, epoch_s: float) -> Path:
    return folder / f"{prefix}{datetime.fromtimestamp(epoch_s, UTC).date().isoformat()}.jsonl"


def _tidy(newest: Path) -> None:
    """A new day begins: message files beyond the memory of the forecasts go. Those of statuses are the link's."""
    if not newest.name.startswith(MESSAGES_PREFIX):
        return
    oldest = date.fromisoformat(newest.stem.removeprefix(MESSAGES_PREFIX)) - timedelta(days=KEEP_DAYS)
    for path in newest.parent.glob(f"{MESSAGES_PREFIX}*.jsonl"):
        with suppress(OSError, ValueError):
            if date.fromisoformat(path.stem.removeprefix(MESSAGES_PREFIX)) < oldest:
                path.unlink()
