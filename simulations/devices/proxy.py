"""A TCP proxy that spoils what passes through it: seeded, per direction, switchable while it runs.

It works everywhere Python does, which network emulation in the kernel does not. What it does to the n-th chunk of a
connection depends on the seed, the connection's number and n alone, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

CHUNK: Final[int] = 4096
LOCALHOST: Final[str] = "127.0.0.1"

Direction = Literal["to_server", "to_client"]
DIRECTIONS: Final[tuple[Direction, Direction]] = ("to_server", "to_client")


@dataclass(slots=True)
class Spoil:
    """What happens to the chunks of one direction; change the fields while it runs. Probabilities are per chunk.

    ``delay_s`` and ``jitter_s``: every chunk is late by the first and up to the second more, order kept. ``drop``: the
    chunk vanishes. ``drop_byte``: one byte of it vanishes. ``flip``: one bit of it turns. ``duplicate``: it comes
    twice. ``reorder``: it is held back and follows the next one. ``cut``: the connection is reset. ``drip_s``: bytes
    come one by one with this pause. ``half_open``: nothing is forwarded and nobody is told. ``skip``: this many chunks
    pass untouched first. ``only_next``: how many chunks are still spoiled (None: all).
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    drop_byte: float = 0.0
    flip: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    cut: float = 0.0
    drip_s: float = 0.0
    half_open: bool = False
    skip: int = 0
    only_next: int | None = None

    def applies(self) -> bool:
        """Whether the chunk at hand is to be spoiled; counts ``skip`` and ``only_next`` down."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.only_next is None:
            return True
        if self.only_next <= 0:
            return False
        self.only_next -= 1
        return True


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one chunk: pieces to send in order, or the end of the connection. ``hold``: kept for later."""

    pieces: tuple[bytes, ...] = ()
    hold: bytes = b""
    cut: bool = False
    delay_s: float = 0.0


def fate_of(chunk: bytes, held: bytes, spoil: Spoil, rng: np.random.Generator) -> Fate:
    """Decide one chunk's fate. Always takes the same number of draws, so that switches do not shift later ones."""
    dice = rng.random(8)
    place = int(dice[6] * len(chunk))
    mask = 1 << int(dice[7] * 8)
    if not spoil.applies():
        return Fate(pieces=(held + chunk,) if held else (chunk,))
    if dice[0] < spoil.cut:
        return Fate(cut=True)
    delay_s = spoil.delay_s + spoil.jitter_s * float(dice[1])
    if dice[2] < spoil.drop:
        return Fate(pieces=(held,) if held else (), delay_s=delay_s)
    if dice[3] < spoil.drop_byte:
        chunk = chunk[:place] + chunk[place + 1 :]
    elif dice[3] < spoil.drop_byte + spoil.flip:
        chunk = chunk[:place] + bytes([chunk[place] ^ mask]) + chunk[place + 1 :]
    pieces = (chunk, chunk) if dice[4] < spoil.duplicate else (chunk,)
    if not held and dice[5] < spoil.reorder:
        return Fate(hold=b"".join(pieces), delay_s=delay_s)
    return Fate(pieces=(*pieces, held) if held else pieces, delay_s=delay_s)


@dataclass(slots=True)
class Counts:
    """Chunks that came in and bytes that went out, per direction."""

    chunks: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    bytes_out: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    connections: int = 0
    cuts: int = 0


class Proxy:
    """Listens on 127.0.0.1 and forwards to one server. ``spoil`` holds the two directions' switches."""

    def __init__(self, host: str, port: int, *, seed: int) -> None:
        self._target = (host, port)
        self._seed = seed
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.counts = Counts()
        self.spoil: dict[Direction, Spoil] = {direction: Spoil() for direction in DIRECTIONS}

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, LOCALHOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def mend(self) -> None:
        """Forward everything untouched from now on."""
        self.spoil = {direction: Spoil() for direction in DIRECTIONS}

    def cut_all(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.counts.connections
        self.counts.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._writers |= set(pair)
        ways: tuple[tuple[Direction, asyncio.StreamReader, asyncio.StreamWriter], ...] = (
            ("to_server", reader, far_writer),
            ("to_client", far_reader, writer),
        )
        tasks = [asyncio.create_task(self._pump(way, number, index)) for index, way in enumerate(ways)]
        self._tasks |= set(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                self._tasks.discard(task)
            for one in pair:
                one.transport.abort()
                self._writers.discard(one)

    async def _pump(
        self, way: tuple[Direction, asyncio.StreamReader, asyncio.StreamWriter], number: int, index: int
    ) -> None:
        direction, reader, writer = way
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, number, index)))
        held = b""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                self.counts.chunks[direction] += 1
                spoil = self.spoil[direction]
                if spoil.half_open:
                    continue
                fate = fate_of(chunk, held, spoil, rng)
                held = fate.hold
                if fate.cut:
                    self.counts.cuts += 1
                    return
                if fate.delay_s:
                    await asyncio.sleep(fate.delay_s)
                for piece in fate.pieces:
                    await self._send(direction, writer, piece)

    async def _send(self, direction: Direction, writer: asyncio.StreamWriter, piece: bytes) -> None:
        drip_s = self.spoil[direction].drip_s
        self.counts.bytes_out[direction] += len(piece)
        if not drip_s:
            writer.write(piece)
            await writer.drain()
            return
        for k in range(len(piece)):
            writer.write(piece[k : k + 1])
            await writer.drain()
            await asyncio.sleep(drip_s)
