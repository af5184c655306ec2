"""The proxy spoils by its switches and by its seed alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.devices.proxy import Proxy, Spoil, fate_of

MESSAGES = [bytes([k]) * (8 + k % 5) for k in range(60)]


def outcome(seed: int, spoil: Spoil, chunks: list[bytes]) -> list[tuple[bytes, ...]]:
    rng, held, found = np.random.default_rng(seed), b"", []
    for chunk in chunks:
        fate = fate_of(chunk, held, spoil, rng)
        held = fate.hold
        found.append(fate.pieces)
        if fate.cut:
            break
    return found


@given(seed=st.integers(0, 10_000), chunks=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=30))
def test_a_run_repeats_itself(seed: int, chunks: list[bytes]) -> None:
    def spoil() -> Spoil:
        return Spoil(drop=0.2, drop_byte=0.2, flip=0.2, duplicate=0.2, reorder=0.2, cut=0.02)

    assert outcome(seed, spoil(), chunks) == outcome(seed, spoil(), chunks)
    assert outcome(seed, Spoil(), chunks) == [(chunk,) for chunk in chunks]


@given(seed=st.integers(0, 10_000), chunk=st.binary(min_size=1, max_size=40))
def test_each_switch_does_what_it_says(seed: int, chunk: bytes) -> None:
    def one(spoil: Spoil) -> bytes:
        return b"".join(fate_of(chunk, b"", spoil, np.random.default_rng(seed)).pieces)

    flipped = one(Spoil(flip=1.0))
    assert len(flipped) == len(chunk)
    assert sum((a ^ b).bit_count() for a, b in zip(flipped, chunk, strict=True)) == 1
    assert len(one(Spoil(drop_byte=1.0))) == len(chunk) - 1
    assert one(Spoil(drop=1.0)) == b""
    assert one(Spoil(duplicate=1.0)) == chunk + chunk
    assert fate_of(chunk, b"", Spoil(cut=1.0), np.random.default_rng(seed)).cut
    assert one(Spoil(flip=1.0, only_next=0)) == chunk
    assert one(Spoil(flip=1.0, skip=1)) == chunk


def test_reordering_swaps_neighbours_and_loses_nothing() -> None:
    pieces = outcome(5, Spoil(reorder=0.5), MESSAGES)
    sent = [piece for group in pieces for piece in group]
    assert sent != MESSAGES
    assert len(sent) >= len(MESSAGES) - 1
    assert all(abs(MESSAGES.index(piece) - k) <= 1 for k, piece in enumerate(sent))


@asynccontextmanager
async def echo_behind(seed: int) -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with Proxy("127.0.0.1", server.sockets[0].getsockname()[1], seed=seed) as proxy:
        yield proxy
    server.close()


async def exchange(proxy: Proxy, messages: list[bytes], wait_s: float = 0.2) -> list[bytes]:
    """Send one message at a time; what came back for each, empty when nothing did."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    got = []
    for message in messages:
        writer.write(message)
        await writer.drain()
        try:
            got.append(await asyncio.wait_for(reader.read(4096), wait_s))
        except TimeoutError:
            got.append(b"")
    writer.close()
    return got


async def test_it_forwards_and_counts() -> None:
    async with echo_behind(1) as proxy:
        assert await exchange(proxy, MESSAGES[:5]) == MESSAGES[:5]
        assert proxy.counts.chunks == {"to_server": 5, "to_client": 5}
        assert proxy.counts.connections == 1


async def test_the_same_seed_flips_the_same_bits_on_the_wire() -> None:
    seen = []
    for seed in (7, 7, 8):
        async with echo_behind(seed) as proxy:
            proxy.spoil["to_client"] = Spoil(flip=0.5)
            seen.append(await exchange(proxy, MESSAGES[:20]))
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert seen[0] != MESSAGES[:20]


async def test_half_open_keeps_the_connection_and_says_nothing_until_mended() -> None:
    async with echo_behind(1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.spoil["to_server"].half_open = True
        writer.write(b"anybody?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert not reader.at_eof()
        proxy.mend()
        writer.write(b"again")
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"again"
        writer.close()


async def test_a_drip_delivers_everything_one_byte_at_a_time() -> None:
    async with echo_behind(1) as proxy:
        proxy.spoil["to_client"].drip_s = 0.001
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"0123456789")
        pieces: list[bytes] = []
        while sum(len(piece) for piece in pieces) < 10:
            pieces.append(await asyncio.wait_for(reader.read(100), 2))
        assert b"".join(pieces) == b"0123456789"
        assert len(pieces) > 3
        writer.close()


async def test_a_cut_resets_both_sides_and_a_new_connection_works() -> None:
    async with echo_behind(1) as proxy:
        proxy.spoil["to_server"] = Spoil(cut=1.0, only_next=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"x")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        assert proxy.counts.cuts == 1
        writer.close()
        assert await exchange(proxy, [b"y"]) == [b"y"]


async def test_nobody_behind_it_looks_like_a_closed_port() -> None:
    async with Proxy("127.0.0.1", 1, seed=1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        writer.close()
