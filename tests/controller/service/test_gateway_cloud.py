"""The real processes and a real broker: what a site tells, over the death of its gateway."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from controller.service.replay import files_of, replay
from interfaces.domain.wire import write
from interfaces.domain.wire_commands import AnswerCode, Command, CommandAnswer, SendJournal
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.signing import Signer
from simulations.demo.stage import Stage
from tests.controller.service.cloud_kit import ADDRESS, Cloud, clouded, until
from tests.controller.service.kit import garage_text
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "keys", "box-1"))


@asynccontextmanager
async def staged(broker: Mosquitto) -> AsyncIterator[tuple[Cloud, Stage]]:
    """A site's processes and a cloud side that stores nothing yet; the site takes leave in the end."""
    service = {
        "broker": {
            "host": broker.broker("box-1").host,
            "port": broker.port,
            "organisation": "acme",
            "controller": "box-1",
            "keys_dir": str(broker.keys),
        },
        "telemetry": {"live_s": 1},
    }
    stage = Stage(garage_text(), seed=3, service=service)
    async with clouded(broker, stores=False) as cloud:
        await asyncio.to_thread(stage.__enter__)
        try:
            yield cloud, stage
        finally:
            await asyncio.to_thread(stage.close)
        await until(lambda: not cloud.of(Kind.STATE)[-1].online, "it took leave, or the broker told its will")


async def test_a_killed_gateway_goes_on_where_it_was_and_the_scan_notices_nothing(broker):
    async with staged(broker) as (cloud, stage):
        await _killed(cloud, stage)


async def _killed(cloud: Cloud, stage: Stage) -> None:
    await until(lambda: len(cloud.live()) >= 3, "statuses")
    health = await asyncio.to_thread(stage.health)
    assert health["uplink"]["connected"] is True
    before, names = stage.processes(), set(cloud.names())
    os.kill(before["gateway"], signal.SIGKILL)
    await until(lambda: len(cloud.of(Kind.BIRTH)) >= 2, "the birth of another gateway")
    cloud.stores = True
    first, second = (birth.head.session for birth in cloud.of(Kind.BIRTH)[:2])
    assert second > first, "its memory of sessions outlived it"
    await until(lambda: unconfirmed(cloud, names, first) == set(), "what no receipt had named comes again")
    assert stage.processes()["field"] == before["field"]
    health = await asyncio.to_thread(stage.health)
    assert health["scan_errors"] == 0
    late = [message for message in cloud.late() if isinstance(message, Live)]
    assert all(message.whole is not None for message in late)


async def test_a_journal_window_outlives_the_gateway_that_was_sending_it(broker, tmp_path):
    async with staged(broker) as (cloud, stage):
        began_s = time.time()
        await until(lambda: len(cloud.live()) >= 3, "statuses")
        answer = await until_done(cloud, Signer.of_file(broker.keys / "signing.key"), began_s)
        await until(lambda: cloud.of(Kind.JOURNAL), "a piece")
        os.kill(stage.processes()["gateway"], signal.SIGKILL)
        cloud.stores = True
        await until(lambda: whole(cloud, answer.command, since=1), "all of it from the next gateway")
        sending = Path((await asyncio.to_thread(stage.health))["journal"]).parent / "sending"
        await until(lambda: not sending.exists(), "nothing is held any more")
    for name, content in whole(cloud, answer.command).items():
        (tmp_path / name).write_bytes(content)
    outcome = replay(files_of(tmp_path))
    assert outcome.scans > 0
    assert outcome.mismatches == 0


async def until_done(cloud: Cloud, signer: Signer, from_s: float) -> CommandAnswer:
    """Ask for the journal since then; at first the clock may not be trusted, or a scan not written yet."""
    for number in range(60):
        now_s = time.time()
        order = SendJournal(from_s, now_s - 1)
        name = f"c0ffee00-{number:04d}"
        command = Command(name, "box-1", ADDRESS.site, now_s, now_s + 60, "s.upport", "operator", order)
        await cloud.say(Kind.COMMAND, signer.sign("command", write(command).decode()))
        answer = await until(partial(answer_to, cloud, name), "its answer")
        assert isinstance(answer, CommandAnswer)
        if answer.code is AnswerCode.DONE:
            return answer
        assert answer.code in {AnswerCode.NOT_YET, AnswerCode.NOT_POSSIBLE}, answer
        await asyncio.sleep(1.0)
    raise AssertionError("it was never obeyed")


def answer_to(cloud: Cloud, command: str) -> CommandAnswer | None:
    return next((one for one in cloud.of(Kind.ANSWER) if one.command == command), None)


def whole(cloud: Cloud, window: str, since: int = 0) -> dict[str, bytes]:
    """The segments of a window by name, of the sessions since this birth; nothing while pieces are missing."""
    births = cloud.of(Kind.BIRTH)
    if len(births) <= since:
        return {}
    pieces: list[JournalPiece] = [
        one for one in cloud.of(Kind.JOURNAL) if one.window == window and one.head.session >= births[since].head.session
    ]
    found = {(one.segment, one.offset): one for one in pieces}
    segments: dict[str, bytes] = {}
    for name, offset in sorted(found):
        segments[name] = segments.get(name, b"") + base64.b64decode(found[name, offset].data)
    digests = {hashlib.sha256(content).hexdigest() for content in segments.values()}
    right = len(segments) == pieces[0].segments and digests == {one.digest for one in pieces} if pieces else False
    return segments if right else {}


def unconfirmed(cloud: Cloud, names: set[tuple[int, int]], session: int) -> set[tuple[int, int]]:
    """Statuses of the first gateway that have not come a second time, as historical."""
    told = {(one.head.session, one.head.seq) for one in cloud.live() if one.head.session == session}
    again = {(one.head.session, one.head.seq) for one in cloud.late()}
    return (told & names) - again
