"""The journal on disk: a ring of segments of bounded total size; what surrounds a fault is kept longest.

A segment that holds a fault, or lies within a minute of one, is pinned by its name. Old unpinned segments go first;
pinned ones only when they alone fill half of the ring. A disk that does not take the journal stops the journal, nothing
else: it is tried again at the next beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from controller.service.failing import STOPPED
from controller.service.journal import FORMAT, SUFFIX, SegmentHeader, SegmentWriter
from controller.service.messages import Entry, Hello, PlanInForce, Setup, Snapshot, TargetsInForce
from interfaces.domain.reasons import Reason

log = logging.getLogger(__name__)

PINNED: Final = ".pinned"
STAMP: Final = "%Y%m%dT%H%M%SZ"
NAME_LENGTH: Final = 25
"""Of number and stamp; the name may go on with what it is pinned for."""
PIN_WINDOW_S: Final = 60.0
SNAPSHOT_EVERY_S: Final = 60.0
RETRY_S: Final = 10.0
SEGMENTS_AT_LEAST: Final = 8
"""A segment is at most this part of the ring, so that making room never takes all of the past."""
PINNING: Final = frozenset(
    {
        int(Reason.ALARM_GUARD), int(Reason.ALARM_SCAN_ERROR), int(Reason.ALARM_PROTECTION), int(Reason.ALARM_OVERLOAD),
        int(Reason.ALARM_OVERDRAW_STOP), int(Reason.ALARM_WELDED), int(Reason.ALARM_NOT_APPLIED),
    }
)  # fmt: skip
"""Alarms somebody will ask about."""


@dataclass(frozen=True, slots=True)
class RingBounds:
    """Bytes of all segments together, and seconds one segment grows."""

    max_bytes: int
    segment_s: float


@dataclass(frozen=True, slots=True)
class KeepWindow:
    """Two moments (UTC): somebody asked for what was written between them."""

    from_epoch_s: float
    to_epoch_s: float


def covering(paths: Sequence[Path], window: KeepWindow) -> list[Path]:
    """The segments, given oldest first, that hold scans of a window: each lasts until the next one begins."""
    begins = [began_epoch_s(path) for path in paths]
    ends = [*begins[1:], float("inf")]
    found = zip(paths, begins, ends, strict=True)
    return [path for path, begin, end in found if begin <= window.to_epoch_s and window.from_epoch_s < end]


def began_epoch_s(path: Path) -> float:
    """When a segment began, by its name; never for a name that is none of ours."""
    try:
        return datetime.strptime(path.name[9:25], STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")


def segments(folder: Path) -> list[Path]:
    """The segments of a ring, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.name[:8].isdigit())


class JournalRing:
    """Takes messages of the field process, in their order, and keeps them on disk."""

    def __init__(self, folder: Path, bounds: RingBounds) -> None:
        self.lost = 0
        """Scans that are not in the journal."""
        self.problem = ""
        self._folder = folder
        self._bounds = bounds
        self._hello: Hello | None = None
        self._beginning: dict[type[Any], tuple[Any, bytes]] = {}
        self._writer: SegmentWriter | None = None
        self._began_s = 0.0
        self._snapshot_s = 0.0
        self._next_number = -1
        self._written: set[str] = set()
        self._pin_until_s = float("-inf")
        self._failed_s = float("-inf")
        self._previous: Path | None = None

    @property
    def current(self) -> Path | None:
        """The segment being written."""
        return None if self._writer is None else self._writer.path

    def take(self, message: Any, packed: bytes) -> None:
        """Keep one message; never raises for what the disk does."""
        try:
            self._take(message, packed)
        except OSError as error:
            self._fail(error, message)

    def close(self) -> None:
        """End the segment."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                log.warning("journal_close reason=%r", error.strerror or str(error))
            self._previous = writer.path

    def _take(self, message: Any, packed: bytes) -> None:
        match message:
            case Hello():
                self.close()
                self._hello, self._beginning = message, {}
            case Setup():
                before = self._beginning.get(Setup)
                if before is not None and before[1] != packed:
                    self.close()
                self._beginning = {Setup: (message, packed)}
            case PlanInForce() | TargetsInForce():
                self._beginning[type(message)] = (message, packed)
                if self._writer is not None and message.digest not in self._written:
                    self._written.add(message.digest)
                    self._writer.message(packed)
            case Snapshot():
                self._snapshot(message, packed)
            case Entry():
                self._entry(message, packed)

    def hold(self, window: KeepWindow, folder: Path) -> list[Path]:
        """Give each segment that holds scans of a window a second name in ``folder``, which outlives the first; oldest
        first. What was taken so far is in them. Raises OSError.
        """
        if self._writer is not None:
            self._writer.flush()
        held = []
        for path in covering(segments(self._folder), window):
            held.append(folder / f"{path.name[:NAME_LENGTH]}{SUFFIX}")
            held[-1].hardlink_to(path)
        return held

    def _snapshot(self, message: Snapshot, packed: bytes) -> None:
        """A place to begin: a new segment where one is due, else a mark to find the way again."""
        now_s = message.epoch_s
        gap = message.number != self._next_number
        due = now_s - self._began_s >= self._bounds.segment_s or now_s < self._began_s
        due = due or (self._writer is not None and self._writer.size >= self._share())
        if self._writer is not None and not gap and not due:
            if now_s - self._snapshot_s >= SNAPSHOT_EVERY_S:
                self._snapshot_s = now_s
                self._writer.message(packed)
            return
        self.close()
        if self._hello is None or Setup not in self._beginning or abs(now_s - self._failed_s) < RETRY_S:
            return
        self._make_room()
        self._begin(message, packed)

    def _begin(self, message: Snapshot, packed: bytes) -> None:
        hello, now_s = self._hello, message.epoch_s
        if hello is None:
            return
        site = self._beginning[Setup][0].site_id
        header = SegmentHeader(FORMAT, hello.software, site, hello.start_id, now_s)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = SegmentWriter(self._folder / self._name(now_s), header)
        self._began_s = self._snapshot_s = now_s
        self._next_number = message.number
        self._written = {one.digest for one, _ in self._beginning.values() if not isinstance(one, Setup)}
        for _, raw in self._beginning.values():
            self._writer.message(raw)
        self._writer.message(packed)
        if now_s <= self._pin_until_s:
            self._pin(self._writer)
        if self.problem:
            log.warning("journal_recovered")
            self.problem = ""

    def _entry(self, message: Entry, packed: bytes) -> None:
        if self._writer is not None and message.record.number != self._next_number:
            log.warning("journal_gap from=%d to=%d", self._next_number, message.record.number)
            self.close()
        if self._writer is None:
            self.lost += 1
            return
        self._next_number += 1
        self._writer.entry(packed)
        if message.error not in {None, STOPPED} or any(alarm.code in PINNING for alarm in message.record.report.alarms):
            self._fault(message.record.epoch_s)

    def _fault(self, now_s: float) -> None:
        """Pin what is being written, what ended shortly before, and what begins shortly after."""
        fresh = now_s > self._pin_until_s - PIN_WINDOW_S / 2
        self._pin_until_s = now_s + PIN_WINDOW_S
        if self._writer is None or not fresh:
            return
        self._writer.flush()
        self._pin(self._writer)
        if self._previous is not None and now_s - self._began_s < PIN_WINDOW_S and self._previous.exists():
            self._previous = self._previous.rename(_pinned(self._previous))

    def _pin(self, writer: SegmentWriter) -> None:
        if PINNED not in writer.path.name:
            writer.renamed(_pinned(writer.path))

    def _make_room(self) -> None:
        """Delete old segments until a new one fits: unpinned first, pinned ones beyond half of the ring."""
        found = [(path, path.stat().st_size) for path in segments(self._folder)]
        total = sum(size for _, size in found)
        pinned = sum(size for path, size in found if PINNED in path.name)
        for path, size in found:
            if total + self._share() <= self._bounds.max_bytes:
                return
            is_pinned = PINNED in path.name
            if is_pinned and pinned * 2 <= self._bounds.max_bytes:
                continue
            path.unlink()
            total -= size
            pinned -= size if is_pinned else 0

    def _share(self) -> int:
        """Bytes one segment may have; it can exceed them by what comes within 10 s."""
        return self._bounds.max_bytes // SEGMENTS_AT_LEAST

    def _fail(self, error: OSError, message: Any) -> None:
        reason = f"journal cannot be written: {error.strerror or error}"
        if not self.problem:
            log.warning("journal_failed reason=%r", reason)
        self.problem = reason
        if isinstance(message, Entry):
            self.lost += 1
        if isinstance(message, Entry | Snapshot):
            self._failed_s = message.record.epoch_s if isinstance(message, Entry) else message.epoch_s
        self.close()

    def _name(self, now_s: float) -> str:
        numbers = [int(path.name[:8]) for path in segments(self._folder)]
        stamp = datetime.fromtimestamp(now_s, UTC).strftime(STAMP)
        return f"{max(numbers, default=0) + 1:08d}-{stamp}{SUFFIX}"


def _pinned(path: Path) -> Path:
    return path if PINNED in path.name else path.with_name(path.name.removesuffix(SUFFIX) + PINNED + SUFFIX)
