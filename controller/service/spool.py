"""What a site has to tell the cloud, kept until it has arrived.

A message is in memory at once and on disk within a moment, written by a thread of its own: a disk that is full, slow or
gone holds up neither the scan nor what is sent now. While it does not take anything, memory holds the newest messages
and every one that falls out is counted. After the death of the process a message may go out twice; its name tells.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from controller.service.spool_table import Bounds, Cause, Changes, Range, SpoolTable, Told, is_damaged, set_aside

log = logging.getLogger(__name__)

MEMORY_MESSAGES: Final = 1000
"""Not on disk yet: some seconds' worth, or hours of telemetry while there is no disk."""
BATCH_S: Final = 10.0
"""What has arrived leaves the disk together; killed in between, it is sent again."""
RETRY_S: Final = 5.0
CLOSE_S: Final = 2.0


@dataclass(slots=True, eq=False)
class Entry:
    """One message on its way. ``number`` 0: not on disk; ``held``: somebody is sending it now."""

    told: Told
    held: bool = False
    number: int = 0
    file: int = 0
    """In which file, where one was damaged and another begun."""
    settled: bool = False

    def within(self, arrived: Range) -> bool:
        """Whether its name lies in the range."""
        session, first, last = arrived
        return self.told.session == session and first <= self.told.seq <= last


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What waits: messages, bytes on disk, the time of the oldest (None: nothing waits); ``lost``: what was lost since
    the file was made, by cause; ``problem``: why the disk takes nothing, empty while it does.
    """

    waiting: int = 0
    bytes: int = 0
    oldest_epoch_s: float | None = None
    lost: Mapping[str, int] | None = None
    problem: str = ""

    @property
    def lost_in_all(self) -> int:
        """Messages that will never arrive."""
        return sum((self.lost or {}).values())


class Spool:
    """One file and what is not in it yet. All methods may be called from any thread; those that touch the disk say so.

    ``epoch_s`` tells the wall clock's time, None while it is not to be believed.
    """

    def __init__(
        self,
        path: Path,
        bounds: Bounds,
        epoch_s: Callable[[], float | None],
        *,
        synchronous: Literal["FULL", "NORMAL"],
        memory: int = MEMORY_MESSAGES,
    ) -> None:
        self._path = path
        self._bounds = bounds
        self._epoch_s = epoch_s
        self._synchronous: Literal["FULL", "NORMAL"] = synchronous
        self._memory = memory
        self._lock = threading.Lock()
        self._disk = threading.Lock()
        self._some = threading.Event()
        self._table: SpoolTable | None = None
        self._fresh: list[Entry] = []
        self._held: dict[int, Entry] = {}
        self._gone: set[int] = set()
        self._arrived: list[Range] = []
        self._lost: Counter[str] = Counter()
        self._file = 0
        self._state = SpoolState()

    @property
    def state(self) -> SpoolState:
        """How it stands, as of the last write."""
        with self._lock:
            known, fresh = self._state, [entry for entry in self._fresh if not entry.settled]
            lost = Counter(known.lost or {}) + self._lost
            oldest = known.oldest_epoch_s
            if oldest is None and fresh:
                oldest = fresh[0].told.at_epoch_s
            waiting = known.waiting + len(fresh) - len(self._gone)
            return SpoolState(max(0, waiting), known.bytes, oldest, lost, known.problem)

    @property
    def resting(self) -> int:
        """Messages that wait and that nobody is sending, as of the last write."""
        with self._lock:
            on_disk = self._state.waiting - len(self._gone) - len(self._held)
            return max(0, on_disk) + sum(not (entry.settled or entry.held) for entry in self._fresh)

    @property
    def unread(self) -> bool:
        """Whether nobody knows yet, or any more, what waits in the file: it could not be opened."""
        return self._table is None or bool(self._state.problem)

    def put(self, told: Told, *, held: bool = False) -> Entry:
        """Keep a message. ``held``: the caller sends it now, and settles or releases it."""
        entry = Entry(told, held)
        with self._lock:
            self._fresh.append(entry)
            self._forget_oldest()
        self._some.set()
        return entry

    def settle(self, entry: Entry, lost: Cause | None = None) -> None:
        """It has arrived (or is lost for this cause): it need not be kept."""
        with self._lock:
            if lost is not None and not entry.settled:
                self._lost[lost] += 1
            self._settled(entry)

    def arrived(self, arrived: Range) -> None:
        """Whatever has these names has arrived, also what an earlier process sent."""
        with self._lock:
            self._arrived.append(arrived)
            for entry in [*self._fresh, *self._held.values()]:
                if entry.within(arrived):
                    self._settled(entry)
        self._some.set()

    def release(self, entry: Entry) -> None:
        """It could not be sent: it waits for its turn."""
        with self._lock:
            entry.held = False
            if entry.file == self._file:
                self._held.pop(entry.number, None)

    def oldest(self, count: int) -> list[Entry]:
        """The first messages that wait and nobody is sending, on disk before those that are not. Reads the disk."""
        with self._lock:
            hidden = frozenset(self._gone | self._held.keys())
        with self._disk:
            rows = self._rows(count, hidden)
        found = [Entry(told, number=number, file=self._file) for number, told in rows]
        for entry in found:
            if not entry.told.payload:
                self.settle(entry, "damage")
        if found:
            return [entry for entry in found if entry.told.payload]
        with self._lock:
            return [entry for entry in self._fresh if not (entry.settled or entry.held)][:count]

    def hold(self, entry: Entry) -> bool:
        """Begin to send one that waited; False when it has arrived in the meantime."""
        with self._lock:
            if entry.settled or (entry.number and (entry.file != self._file or entry.number in self._gone)):
                return False
            entry.held = True
            if entry.number:
                self._held[entry.number] = entry
            return True

    def wait(self, most_s: float) -> None:
        """Until there is something to write, or so long."""
        self._some.wait(most_s)

    def wake(self) -> None:
        """End somebody's ``wait``."""
        self._some.set()

    def write(self) -> bool:
        """Bring everything to the disk; whether it took it. Writes the disk."""
        self._some.clear()
        with self._disk:
            with self._lock:
                fresh = [entry for entry in self._fresh if not entry.settled]
                gone, arrived, lost = sorted(self._gone), list(self._arrived), self._lost.copy()
                if not (fresh or gone or arrived or lost or self._is_due()):
                    return True
            changes = Changes([entry.told for entry in fresh], gone, arrived, lost)
            try:
                table = self._opened()
                places = table.store(changes, self._epoch_s())
                state = SpoolState(table.waiting, table.bytes, table.since_epoch_s(), dict(table.lost))
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                return False
            self._written(fresh, places, changes, state)
        return True

    def close(self) -> None:
        """Write what is left and close the file. Writes the disk."""
        self.write()
        with self._disk:
            if self._table is not None:
                self._table.close()
                self._table = None

    def _is_due(self) -> bool:
        """Whether the file has to be looked at although nothing changed."""
        if self._table is None or self._state.problem:
            return True
        oldest_s, now_s = self._state.oldest_epoch_s, self._epoch_s()
        return oldest_s is not None and now_s is not None and now_s - oldest_s > self._bounds.max_age_s

    def _settled(self, entry: Entry) -> None:
        entry.settled = True
        if entry.number and entry.file == self._file:
            self._held.pop(entry.number, None)
            self._gone.add(entry.number)

    def _written(self, fresh: list[Entry], places: list[int], done: Changes, state: SpoolState) -> None:
        with self._lock:
            for entry, number in zip(fresh, places, strict=True):
                entry.number, entry.file = number, self._file
                if entry.settled:  # it arrived while it was being written
                    self._gone.add(number)
                elif entry.held:
                    self._held[number] = entry
            self._fresh = [entry for entry in self._fresh if not (entry.number or entry.settled)]
            self._gone -= set(done.gone)
            self._arrived = self._arrived[len(done.arrived) :]
            self._lost -= done.lost
            if self._state.problem:
                log.warning("spool_recovered file=%s", self._path.name)
            self._state = state

    def _rows(self, count: int, hidden: frozenset[int]) -> list[tuple[int, Told]]:
        try:
            return self._opened().oldest(count, hidden)
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return []

    def _opened(self) -> SpoolTable:
        if self._table is None:
            try:
                self._table = SpoolTable(self._path, self._bounds, synchronous=self._synchronous)
            except sqlite3.Error as error:
                if not is_damaged(error):
                    raise
                self._begin_anew(error)
                self._table = SpoolTable(self._path, self._bounds, synchronous=self._synchronous)
        return self._table

    def _fail(self, error: sqlite3.Error | OSError) -> None:
        """The file is opened again next time; one that is damaged is replaced by an empty one."""
        table, self._table = self._table, None
        if table is not None:
            table.close()
        if isinstance(error, sqlite3.Error) and is_damaged(error):
            self._begin_anew(error)
        problem = f"what waits for the cloud cannot be stored in {self._path.name}: {error}"
        with self._lock:
            if not self._state.problem:
                log.warning("spool_failed reason=%r", problem)
            known = self._state
            self._state = SpoolState(known.waiting, known.bytes, known.oldest_epoch_s, known.lost, problem)

    def _begin_anew(self, error: sqlite3.Error) -> None:
        log.error("spool_damaged file=%s reason=%r: it is set aside and a new one begun", self._path.name, str(error))
        try:
            set_aside(self._path)
        except OSError as also:
            log.warning("spool_damaged file=%s cannot be set aside: %s", self._path.name, also.strerror or also)
            return
        with self._lock:
            self._lost += Counter(self._state.lost or {})
            self._lost["damage"] += max(1, self._state.waiting)
            self._held.clear()
            self._gone.clear()
            self._file += 1
            self._state = SpoolState(problem=self._state.problem)

    def _forget_oldest(self) -> None:
        """Memory is full because the disk takes nothing: the oldest that nobody is sending right now is lost."""
        self._fresh = [entry for entry in self._fresh if not entry.settled]
        if len(self._fresh) <= self._memory:
            return
        oldest = next((entry for entry in self._fresh if not entry.held), self._fresh[0])
        self._fresh.remove(oldest)
        oldest.settled = True
        self._lost["disk"] += 1


class SpoolThread:
    """Writes a spool beside everything else."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, within a bounded time."""
        self._closing.set()
        self._spool.wake()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            if not self._spool.write():
                self._closing.wait(RETRY_S)
            else:
                self._spool.wait(BATCH_S)
        self._spool.close()
