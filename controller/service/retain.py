"""Memory that survives power loss: two files, written in turn, each with version, sequence and checksum.

A record goes to the file that does not hold the newest one: written aside, synced, renamed over, the folder synced.
Wherever the power fails, the other file is whole. Writing happens in a thread of its own with room for one record, in
which the latest wins: a disk that is full, read-only or slow never holds up a scan.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from controller.core.state import Retained
from interfaces.domain.codec import CodecError, pack, unpack

log = logging.getLogger(__name__)

MAGIC: Final = b"SWRT"
FORMAT: Final = 1
HEAD: Final = struct.Struct("<4sHQII")
"""Magic, format, sequence, length of the payload, CRC-32 of everything before and behind it."""
SLOTS: Final = ("retain.a", "retain.b")
MAX_BYTES: Final = 4_000_000
RETRY_S: Final = 5.0


class FileOps(Protocol):
    """The five things a writer does to a disk; tests put a failing disk behind them."""

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file's content."""

    def sync(self, path: Path) -> None:
        """Wait until a file's content is on the disk."""

    def rename(self, old: Path, new: Path) -> None:
        """Replace one name by another, atomically."""

    def sync_folder(self, path: Path) -> None:
        """Wait until a folder's names are on the disk."""

    def read(self, path: Path, most: int) -> bytes:
        """At most ``most`` bytes of a file. OSError when it cannot be read."""


class Disk:
    """The real thing."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def sync(self, path: Path) -> None:
        _sync(path, os.O_RDWR)

    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def sync_folder(self, path: Path) -> None:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)

    def read(self, path: Path, most: int) -> bytes:
        with path.open("rb") as file:
            return file.read(most)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the memory held. ``retained`` None: cold start. ``sequence`` and ``slot`` are those of the newest valid file
    (-1 and 1: none, so that the next goes to the first). ``problems``: one sentence per file that could not be used.
    """

    retained: Retained | None
    sequence: int
    slot: int
    problems: tuple[str, ...]


def encode(retained: Retained, sequence: int) -> bytes:
    """One file's content."""
    payload = pack(retained)
    blank = HEAD.pack(MAGIC, FORMAT, sequence, len(payload), 0)
    return HEAD.pack(MAGIC, FORMAT, sequence, len(payload), zlib.crc32(blank + payload)) + payload


def decode(content: bytes) -> tuple[int, Retained] | str:
    """Sequence and record of a file's content, or why it is not usable."""
    if len(content) < HEAD.size:
        return "it is cut off"
    magic, version, sequence, length, checksum = HEAD.unpack_from(content)
    if magic != MAGIC:
        return "it is no retain file"
    if version != FORMAT:
        return f"its format is {version}, this version reads {FORMAT}"
    payload = content[HEAD.size :]
    if len(payload) != length:
        return "it is cut off"
    if checksum != zlib.crc32(HEAD.pack(magic, version, sequence, length, 0) + payload):
        return "its checksum is wrong"
    found = unpack(payload, Retained)
    return str(found) if isinstance(found, CodecError) else (sequence, found)


def load(folder: Path, disk: FileOps) -> Loaded:
    """The newest valid record, or a cold start with the reasons."""
    newest: tuple[int, int, Retained] | None = None
    problems = []
    for slot, name in enumerate(SLOTS):
        try:
            found = decode(disk.read(folder / name, MAX_BYTES))
        except FileNotFoundError:
            continue
        except OSError as error:
            found = f"it cannot be read: {error.strerror or error}"
        if isinstance(found, str):
            problems.append(f"{name} is not used: {found}")
        elif newest is None or found[0] > newest[0]:
            newest = (found[0], slot, found[1])
    if newest is None:
        return Loaded(None, -1, len(SLOTS) - 1, (*problems, "no retain memory: cold start, every asset at nameplate"))
    return Loaded(newest[2], newest[0], newest[1], tuple(problems))


def store(folder: Path, disk: FileOps, retained: Retained, sequence: int, slot: int) -> None:
    """Write one record to one file. OSError when the disk does not take it; the other file is untouched then."""
    target = folder / SLOTS[slot]
    aside = target.with_suffix(target.suffix + ".new")
    disk.write(aside, encode(retained, sequence))
    disk.sync(aside)
    disk.rename(aside, target)
    disk.sync_folder(folder)


@dataclass(frozen=True, slots=True)
class RetainStatus:
    """How writing goes: records on the disk, failures since start, the present trouble (empty: none)."""

    written: int = 0
    failed: int = 0
    problem: str = ""


class RetainWriter:
    """The thread that writes. ``put`` and ``status`` return at once; ``close`` gives the disk a bounded time."""

    def __init__(self, folder: Path, loaded: Loaded, disk: FileOps) -> None:
        self._folder = folder
        self._disk = disk
        self._sequence = loaded.sequence
        self._slot = loaded.slot
        self._latest: Retained | None = None
        self._closing = False
        self._status = RetainStatus()
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="retain", daemon=True)
        self._thread.start()

    @property
    def status(self) -> RetainStatus:
        return self._status

    def put(self, retained: Retained) -> None:
        """Write this as soon as the disk is free; an older record that still waits is dropped."""
        with self._wake:
            self._latest = retained
            self._wake.notify()

    def close(self, wait_s: float) -> None:
        """Write what waits, for at most ``wait_s`` seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._latest is not None or self._closing)
                retained, self._latest = self._latest, None
            if retained is None:
                return
            if not self._store(retained):
                with self._wake:
                    if self._latest is None:
                        self._latest = retained
                    if self._wake.wait_for(lambda: self._closing, RETRY_S):
                        return

    def _store(self, retained: Retained) -> bool:
        slot = (self._slot + 1) % len(SLOTS)
        try:
            store(self._folder, self._disk, retained, self._sequence + 1, slot)
        except OSError as error:
            problem = f"retain memory cannot be written: {error.strerror or error}"
            if not self._status.problem:
                log.warning("retain_failed reason=%r", problem)
            self._status = RetainStatus(self._status.written, self._status.failed + 1, problem)
            return False
        self._sequence, self._slot = self._sequence + 1, slot
        if self._status.problem:
            log.warning("retain_recovered")
        self._status = RetainStatus(self._status.written + 1, self._status.failed)
        return True
