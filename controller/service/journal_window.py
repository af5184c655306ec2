"""A window of the journal on its way to support: held on disk, cut into pieces, forgotten once all have arrived.

Its segments are held by a second name (a hard link) in a folder of their own, so that the ring deletes as ever and the
window stays. What of a segment was written by then is what is sent. Which window it is and how far it has arrived lies
in ``state.db``: a restart goes on there, and sends again at most what had no receipt.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from controller.service.journal_ring import KeepWindow, began_epoch_s
from controller.service.kept import Kept
from interfaces.domain.wire_commands import AnswerCode, SendJournal
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_journal import MOST_SEGMENTS, MOST_WINDOW_BYTES, PIECE_BYTES, JournalPiece

log = logging.getLogger(__name__)

NAME: Final = "journal_window"
FOLDER: Final = "sending"
LONGEST_S: Final[float] = 3 * 86_400.0
"""A line that is gone for a weekend; after that nobody waits for it, and the disk is needed."""
MOST_SENT: Final = 50
"""Pieces on the way without a receipt; the cloud side confirms every 25 at once."""

Hold = Callable[[KeepWindow, Path], list[Path]]
"""Give the segments of a window a second name each in a folder, oldest first. May raise OSError."""
Verdict = tuple[AnswerCode, str]
_Ranges = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A segment as far as it is sent; ``digest``: SHA-256 of so many bytes."""

    name: str
    size: int
    digest: str

    @property
    def pieces(self) -> int:
        """How many it is sent in."""
        return -(-self.size // PIECE_BYTES)


@dataclass(frozen=True, slots=True)
class Window:
    """What is sent for one command, until when; its first ``arrived`` pieces are there."""

    id: str
    until_epoch_s: float
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    arrived: int = 0

    @property
    def pieces(self) -> int:
        """Of all its segments."""
        return sum(part.pieces for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of all its segments."""
        return sum(part.size for part in self.parts)

    def place(self, piece: int) -> tuple[Part, int]:
        """The segment and the offset in it of one piece."""
        for part in self.parts:
            if piece < part.pieces:
                return part, piece * PIECE_BYTES
            piece -= part.pieces
        raise IndexError(piece)


_ADAPTER: Final = TypeAdapter(Window)


def asked_wrong(order: SendJournal, now_epoch_s: float) -> str:
    """Why no window can be sent, whatever the ring holds; empty where one can."""
    if order.to_epoch_s <= order.from_epoch_s:
        return "the window ends before it begins"
    return "the window has not ended yet" if order.to_epoch_s > now_epoch_s else ""


def found_wrong(sizes: list[int]) -> str:
    """Why segments of these sizes are not sent; empty where they are."""
    if not sizes:
        return "no journal of that time is left here"
    if len(sizes) > MOST_SEGMENTS or sum(sizes) > MOST_WINDOW_BYTES:
        most = f"at most {MOST_SEGMENTS} with {MOST_WINDOW_BYTES} bytes are sent"
        return f"too large: {len(sizes)} journal files with {sum(sizes)} bytes; {most}: ask for less"
    return ""


class JournalWindow:
    """One window at a time. What touches the disk says so and may be called from any thread; the rest is of the loop.

    ``folder`` is on the disk of the journal.
    """

    def __init__(self, folder: Path, kept: Kept, hold: Hold) -> None:
        self._folder, self._kept, self._hold = folder, kept, hold
        self._disk = threading.Lock()
        self._known = False
        self._stored: Window | None = None
        self._window: Window | None = None
        self._sent: dict[tuple[int, int], tuple[int, float]] = {}
        self._there: set[int] = set()
        self._receipts: deque[_Ranges] = deque(maxlen=MOST_SENT)

    def begin(self, command: str, order: SendJournal, now_epoch_s: float) -> Verdict:
        """Hold what a command asks for, and what to answer. Touches the disk.

        Raises:
            OSError: the journal cannot be read.
        """
        with self._disk:
            self._resume()
            window = self._window
            if window is not None and window.id != command:
                text = f"one window at a time: that of {window.id} is on its way, {_progress(window)}"
                return AnswerCode.NOT_POSSIBLE, text
            return _verdict(window or asked_wrong(order, now_epoch_s) or self._held(command, order, now_epoch_s), order)

    @property
    def rests(self) -> bool:
        """Whether there is nothing to send."""
        return self._known and self._window is None

    def next(self, now_s: float, epoch_s: float | None, patience_s: float | None) -> tuple[int, JournalPiece] | None:
        """The next piece, around a head that is none, and its number. None: there is none to send now. A piece without
        a receipt for ``patience_s`` is due again; None: none may go now. ``epoch_s`` None: the clock is not trusted.
        Touches the disk; to be called once a second.
        """
        with self._disk:
            try:
                self._resume()
                window = self._keep_up(epoch_s)
                piece = None if window is None or patience_s is None else self._due(window, now_s, patience_s)
                return None if window is None or piece is None else (piece, self._read(window, piece))
            except OSError as error:
                if self._window is not None:
                    self._release(f"it cannot be read: {error.strerror or error}")
                return None

    def sending(self, piece: int, head: Head, now_s: float) -> None:
        """This piece goes out under this name."""
        self._sent[head.session, head.seq] = piece, now_s

    def not_sent(self, head: Head) -> None:
        """The broker did not take it: it is due at once."""
        self._sent.pop((head.session, head.seq), None)

    def receipt(self, stored: _Ranges) -> None:
        """The cloud has these messages."""
        if not self.rests:
            self._receipts.append(stored)

    def _resume(self) -> None:
        """What an earlier process was sending; without one nothing need be held. OSError: nobody knows."""
        if self._known:
            return
        stored = self._kept.get(NAME)
        self._window = self._stored = None if not stored else _window_in(stored)
        self._known = True
        if self._window is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _held(self, command: str, order: SendJournal, now_epoch_s: float) -> Window | str:
        """The window, on disk; or why it is none, and nothing is held."""
        try:
            parts = self._parts(KeepWindow(order.from_epoch_s, order.to_epoch_s))
            if not isinstance(parts, str):
                window = Window(command, now_epoch_s + LONGEST_S, parts)
                if self._kept.put(NAME, _ADAPTER.dump_json(window)):
                    log.info("journal_window window=%s files=%d bytes=%d", command, len(parts), window.size)
                    self._window = self._stored = window
                    return window
                parts = "it cannot be stored here"
            return parts
        finally:
            if self._window is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _parts(self, wanted: KeepWindow) -> tuple[Part, ...] | str:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        sizes = {path: size for path in self._hold(wanted, self._folder) if (size := path.stat().st_size)}
        wrong = found_wrong(list(sizes.values()))
        return wrong or tuple(Part(path.name, size, _digest(path, size)) for path, size in sizes.items())

    def _keep_up(self, epoch_s: float | None) -> Window | None:
        """The window with what has arrived meanwhile, on disk; None where there is none any more."""
        window = self._window
        if window is None:
            return None
        while self._receipts:
            self._confirm(self._receipts.popleft())
        arrived = window.arrived
        while arrived in self._there:
            self._there.discard(arrived)
            arrived += 1
        window = self._window = replace(window, arrived=arrived)
        if arrived == window.pieces:
            self._release("")
        elif epoch_s is not None and epoch_s >= window.until_epoch_s:
            self._release(f"its time is over, {_progress(window)}")
        elif window != self._stored and self._kept.put(NAME, _ADAPTER.dump_json(window)):
            self._stored = window
        return self._window

    def _confirm(self, stored: _Ranges) -> None:
        for name in [*self._sent]:
            if any(session == name[0] and first <= name[1] <= last for session, first, last in stored):
                self._there.add(self._sent.pop(name)[0])

    def _release(self, why: str) -> None:
        """Hold nothing any more."""
        window, self._window = self._window, None
        if window is not None and why:
            log.warning("journal_window_given_up window=%s reason=%r", window.id, why)
        elif window is not None:
            log.info("journal_window_arrived window=%s bytes=%d", window.id, window.size)
        self._kept.put(NAME, b"")
        self._stored, self._sent, self._there = None, {}, set()
        self._receipts.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _due(self, window: Window, now_s: float, patience_s: float) -> int | None:
        self._sent = {name: sent for name, sent in self._sent.items() if now_s - sent[1] <= patience_s}
        if len(self._sent) >= MOST_SENT:
            return None
        under_way = self._there | {piece for piece, _ in self._sent.values()}
        return next((piece for piece in range(window.arrived, window.pieces) if piece not in under_way), None)

    def _read(self, window: Window, piece: int) -> JournalPiece:
        part, offset = window.place(piece)
        wanted = min(PIECE_BYTES, part.size - offset)
        with (self._folder / part.name).open("rb") as file:
            file.seek(offset)
            data = file.read(wanted)
        if len(data) != wanted:
            raise OSError(f"{part.name} ends at {offset + len(data)} instead of {part.size}")
        return JournalPiece(
            Head(0, 0, 0.0), window.id, len(window.parts), part.name, offset, part.size, part.digest,
            base64.b64encode(data).decode(),
        )  # fmt: skip


def _window_in(stored: bytes) -> Window | None:
    try:
        return _ADAPTER.validate_json(stored)
    except ValidationError:
        log.warning("journal_window_lost reason='what was kept of it cannot be read'")
        return None


def _digest(path: Path, size: int) -> str:
    """Of the first bytes of a file that may still grow."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while size and (data := file.read(min(size, 1 << 20))):
            found.update(data)
            size -= len(data)
    return found.hexdigest()


def _verdict(found: Window | str, order: SendJournal) -> Verdict:
    if isinstance(found, str):
        return AnswerCode.NOT_POSSIBLE, found
    begins = began_epoch_s(Path(found.parts[0].name))
    late = f"; nothing before {datetime.fromtimestamp(begins, UTC):%Y-%m-%d %H:%M:%S} UTC is left"
    text = f"{len(found.parts)} journal files with {found.size} bytes are sent in {found.pieces} pieces"
    return AnswerCode.DONE, text + (late if begins > order.from_epoch_s else "")


def _progress(window: Window) -> str:
    return f"{window.arrived} of {window.pieces} pieces have arrived"
