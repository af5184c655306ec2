"""The stream to the gateway: never blocks, holds about a minute, counts what it drops, and starts anew after a gap.

Frames come in groups that can be read on their own. When the reader is away or slow the newest groups are kept; when it
returns it is given a group's beginning first, so that what it reads next always has a state to start from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

MAX_GROUPS: Final = 7
MAX_BYTES: Final = 64 * 1024 * 1024
HIGH_WATER: Final = 1024 * 1024
"""Bytes handed to the socket at most; the rest waits here, where it can be dropped whole."""


@dataclass(slots=True)
class _Group:
    """Frames that follow one beginning, each with whether it is a scan; ``size`` in bytes."""

    frames: deque[tuple[bytes, bool]] = field(default_factory=deque)
    size: int = 0

    def add(self, frame: bytes, *, is_record: bool) -> None:
        self.frames.append((frame, is_record))
        self.size += len(frame)


class OutStream:
    """The ring and, while there is one, the reader's transport. All calls return at once."""

    def __init__(self, greeting: bytes) -> None:
        self.dropped = 0
        """Scans that no reader will ever see."""
        self._greeting = greeting
        self._groups: deque[_Group] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self.wants_group = True

    @property
    def has_reader(self) -> bool:
        return self._transport is not None

    def begin_group(self, frames: list[bytes]) -> None:
        """A new beginning: everything a reader needs to understand the records that follow."""
        group = _Group()
        for frame in frames:
            group.add(frame, is_record=False)
        self._groups.append(group)
        self.wants_group = False
        while len(self._groups) > MAX_GROUPS or self._size() > MAX_BYTES:
            self._drop(self._groups.popleft())
        self.flush()

    def put(self, frame: bytes, *, is_record: bool = False) -> None:
        """One more frame of the present group. Before the first group there is nobody it could be meant for."""
        if self._groups:
            self._groups[-1].add(frame, is_record=is_record)
            self.flush()

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """A reader has come; the one before is hung up."""
        before = self._transport
        if before is not None:
            self.detach(before)
            before.abort()
        self._transport = transport
        transport.write(self._greeting)
        self.flush()

    def detach(self, transport: asyncio.WriteTransport) -> None:
        """A reader has gone, perhaps with frames it never looked at: the next one gets a new beginning."""
        if transport is not self._transport:
            return
        self._transport = None
        while self._groups:
            self._drop(self._groups.popleft())
        self.wants_group = True

    def finish(self) -> None:
        """The last frames were put: hand them all over and hang up once they are gone."""
        transport = self._transport
        if transport is None:
            return
        for group in self._groups:
            for frame, _ in group.frames:
                transport.write(frame)
        self._groups.clear()
        transport.close()

    def flush(self) -> None:
        """Hand the socket what it takes."""
        transport = self._transport
        if transport is None:
            return
        while self._groups and transport.get_write_buffer_size() < HIGH_WATER:
            group = self._groups[0]
            if group.frames:
                frame, _ = group.frames.popleft()
                group.size -= len(frame)
                transport.write(frame)
            elif len(self._groups) > 1:
                self._groups.popleft()
            else:
                return

    def _size(self) -> int:
        return sum(group.size for group in self._groups)

    def _drop(self, group: _Group) -> None:
        self.dropped += sum(is_record for _, is_record in group.frames)
