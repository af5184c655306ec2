"""The field process from inside: its stream over a real socket, messages checked at the border, an end in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from controller.service.field import Field
from controller.service.messages import (
    LENGTH,
    MAX_IN_BYTES,
    OUT,
    Entry,
    Hello,
    Setup,
    SiteText,
    Snapshot,
    Verdict,
    framed,
)
from controller.service.process import owned_folder
from controller.service.retain import Disk, load
from controller.service.service_file import ServiceConfig
from interfaces.domain.codec import pack, unpack_any
from interfaces.drivers.clock import epoch_s
from tests.controller.service.kit import garage_setup, garage_text
from tests.controller.service.test_loop import plan

HELLO = Hello(1, "start", "0.1.0", 1e9, 0, "", ())
NOWHERE = {"192.168.1.20:502": "127.0.0.1:9", "192.168.1.21:502": "127.0.0.1:9", "/dev/ttyUSB0": "127.0.0.1:9"}
PATIENCE_S = 120


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Field, asyncio.Task[int]]]:
    """A field process whose devices are all unreachable."""
    config = ServiceConfig(state_dir=folder, realtime=False, addresses=NOWHERE)
    owned_folder(config.run_dir)
    owned_folder(config.retain_dir)
    field = Field(config, garage_setup(), HELLO)
    task = asyncio.create_task(field.run())
    try:
        while not config.stream_path.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield field, task
    finally:
        field.loop.stopping = True
        await asyncio.wait_for(task, PATIENCE_S)


class Gateway:
    """The other end of the stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def next(self) -> Any:
        (size,) = LENGTH.unpack(await asyncio.wait_for(self.reader.readexactly(LENGTH.size), PATIENCE_S))
        return unpack_any(await self.reader.readexactly(size), OUT)

    async def until(self, kind: type) -> Any:
        while not isinstance(message := await self.next(), kind):
            pass
        return message

    async def rest(self) -> list[Any]:
        found = []
        try:
            while True:
                found.append(await self.next())
        except (asyncio.IncompleteReadError, ConnectionError):
            return found


async def gateway_to(folder: Path) -> Gateway:
    return Gateway(*await asyncio.open_unix_connection(folder / "run" / "field.sock"))


async def test_a_gateway_is_greeted_and_reads_whole_groups(tmp_path):
    async with running(tmp_path), await gateway_to(tmp_path) as first:
        kinds = [type(await first.next()) for _ in range(4)]
        assert kinds == [Hello, Setup, Snapshot, Entry]
        async with await gateway_to(tmp_path) as second:
            kinds = [type(await second.next()) for _ in range(4)]
            assert kinds == [Hello, Setup, Snapshot, Entry], "the next gateway begins with a whole state as well"
            await first.rest()
            assert first.reader.at_eof(), "and the first one is hung up"


async def test_messages_are_checked_and_answered(tmp_path):
    async with running(tmp_path) as (field, _), await gateway_to(tmp_path) as gateway:
        gateway.writer.write(framed(b"noise"))
        refused = await gateway.until(Verdict)
        assert (refused.about, refused.accepted) == ("message", False)
        gateway.writer.write(framed(pack(plan(1, site="elsewhere"))))
        assert "elsewhere" in (await gateway.until(Verdict)).reason
        begins = epoch_s()  # the field process lives by the real clock
        ends = {"valid_until_epoch_s": begins + 1800, "lease_until_epoch_s": begins + 900}
        now = plan(1, issued_epoch_s=begins, start_epoch_s=begins, **ends)
        gateway.writer.write(framed(pack(now)))
        assert (await gateway.until(Verdict)).accepted
        assert field.loop.inputs.plan is not None
        gateway.writer.write(framed(pack(SiteText(garage_text(**{"margin_a: [10, 10, 10]": "margin_a: [10]"})))))
        refused = await gateway.until(Verdict)
        assert (refused.about, refused.accepted) == ("site", False)
        assert "margin_a" in refused.reason
        gateway.writer.write(framed(pack(SiteText(garage_text(**{"margin_a: [10, 10, 10]": "margin_a: [9, 9, 9]"})))))
        assert (await gateway.until(Verdict)).accepted
        assert field.loop.setup.params.topology.limit_ma[0].tolist() == [51_000] * 3


async def test_a_frame_beyond_all_bounds_ends_that_connection_and_nothing_else(tmp_path):
    async with running(tmp_path) as (field, task), await gateway_to(tmp_path) as gateway:
        gateway.writer.write(LENGTH.pack(MAX_IN_BYTES + 1) + b"x" * 1000)
        found = await gateway.rest()
        assert any(isinstance(one, Verdict) and "larger than" in one.reason for one in found)
        number = field.loop.number
        while field.loop.number < number + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert not task.done()
        assert field.loop.errors == 0


async def test_another_topology_ends_with_the_code_for_a_restart(tmp_path):
    async with running(tmp_path) as (_, task), await gateway_to(tmp_path) as gateway:
        text = garage_text(**{"rated_a: [40, 40, 40]": "rated_a: [35, 35, 35]"})
        gateway.writer.write(framed(pack(SiteText(text))))
        assert await asyncio.wait_for(task, PATIENCE_S) == 75
        assert (await gateway.rest())[-1] is not None


async def test_the_last_scan_reaches_the_gateway_and_the_memory_the_disk(tmp_path):
    async with running(tmp_path) as (field, task), await gateway_to(tmp_path) as gateway:
        await gateway.until(Entry)
        field.loop.stopping = True
        assert await asyncio.wait_for(task, PATIENCE_S) == 0
        entries = [one for one in await gateway.rest() if isinstance(one, Entry)]
        assert entries[-1].record.number == field.loop.number - 1
    assert load(tmp_path / "retain", Disk()).retained is not None
