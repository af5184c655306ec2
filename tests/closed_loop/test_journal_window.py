"""A window of the journal from a site's disk to the cloud side's, over a real broker that goes away in between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from controller.service.command_inbox import CommandHere, CommandInbox
from controller.service.command_judge import CommandSite
from controller.service.journal_ring import JournalRing, segments
from controller.service.journal_window import JournalWindow
from controller.service.kept import Kept
from controller.service.replay import replay
from controller.service.uplink import Answer
from interfaces.domain.wire_commands import AnswerCode, CommandAnswer, SendJournal
from interfaces.domain.wire_journal import PIECE_BYTES, JournalPiece
from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.mqtt import Condition
from interfaces.drivers.signing import Signer, Verifier
from optimizer.service.folder_store import FolderStore
from optimizer.service.ingest import Arrival
from optimizer.service.local_link import LocalLink
from optimizer.service.mqtt_link import CloudLink
from optimizer.service.mqtt_site import MqttSite
from simulations.bench.box import Box
from tests.controller.service.cloud_kit import ADDRESS, LONG_S, Time, access_to, until, uplinked
from tests.controller.service.kit import EPOCH_S, Bench
from tests.controller.service.test_journal import WIDE, journal
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running

pytestmark = pytest.mark.xdist_group("broker")

NOW = EPOCH_S + 30.0
WINDOW = SendJournal(EPOCH_S - 3600, EPOCH_S + 20)
OLD = ("00000001-20260528T200000Z.swj", "00000002-20260528T201000Z.swj")
WAITED = 30
"""Statuses that wait while the line is down: several seconds of what may go out of it."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "keys", "box-1"))


@dataclass
class Gateway:
    """What decides on site, and its disk: two old segments of any content and one that can be replayed."""

    folder: Path
    keys: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for name in OLD:
            (self.folder / name).write_bytes(random.Random(name).randbytes(50 * PIECE_BYTES - 100))
        journal(self.folder, Bench(), 10)
        self.content = {path.name: path.read_bytes() for path in segments(self.folder)}
        self.again()

    def again(self) -> None:
        """As after a kill."""
        kept = Kept(self.folder / "state.db")
        self.window = JournalWindow(self.folder / "sending", kept, JournalRing(self.folder, WIDE).hold)
        self.commands = CommandInbox(kept, self.here, lambda _: None, self.window.begin, self.folder / "proposals")

    def here(self) -> CommandHere:
        site = CommandSite(ADDRESS.site, ADDRESS.controller, frozenset(), (), NOW, clock_trusted=True)
        return CommandHere(site, self.keys / "signing.pub")

    async def take(self, kind: Kind, payload: bytes) -> Sequence[Answer]:
        return await self.commands.decide(payload) if kind is Kind.COMMAND else ()

    async def look(self) -> Sequence[Answer]:
        return ()


@dataclass
class Support:
    """The cloud side and its folder, and what it heard."""

    cloud: CloudLink
    site: MqttSite
    folder: Path
    heard: list[Any] = field(default_factory=list)

    @property
    def pieces(self) -> list[JournalPiece]:
        return [message for message in self.heard if isinstance(message, JournalPiece)]

    def files(self, window: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "journal" / window).iterdir()}

    async def ask(self, order: SendJournal = WINDOW) -> CommandAnswer:
        future = self.site.command(order, actor="s.upport", role="operator")
        answer = await asyncio.wait_for(asyncio.wrap_future(future), LONG_S)
        assert isinstance(answer, CommandAnswer), answer
        return answer


@asynccontextmanager
async def supporting(broker: Mosquitto, folder: Path, clock: Time) -> AsyncIterator[Support]:
    heard: list[Any] = []

    def note(arrival: Arrival) -> None:
        heard.append(arrival.message)

    cloud = CloudLink(
        broker.broker("optimizer"), FolderStore({ADDRESS: folder}), rng=random.Random(1), now_s=clock.now_s,
        now_epoch_s=lambda: NOW, on_arrival=note, flush_s=0.05,
    )  # fmt: skip
    signer = Signer.of_file(broker.keys / "signing.key")
    site = MqttSite(cloud, ADDRESS, LocalLink(folder, ADDRESS.site, signer), signer, lambda: NOW)
    task = asyncio.create_task(cloud.run())
    try:
        await until(lambda: cloud.link.state.connected, "the cloud side is connected")
        yield Support(cloud, site, folder, heard)
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.exception() is None, task.exception()


async def test_a_window_arrives_whole_over_a_broken_line_and_a_killed_process(tmp_path, broker, caplog):
    caplog.set_level(logging.INFO)
    gateway, clock = Gateway(tmp_path / "site", broker.keys), Time()
    spools = tmp_path / "spools"
    spools.mkdir()
    known = True

    def gone_on() -> Any:
        return uplinked(
            spools,
            lambda: access_to(broker) if known else None,
            clock=clock,
            live_s=2.0,
            inbound=gateway,
            window=gateway.window,
        )

    async with supporting(broker, tmp_path / "cloud", clock) as support:
        async with gone_on() as box:
            await until(lambda: any(isinstance(one, Live) for one in support.heard), "a status")
            answer = await support.ask()
            size = sum(map(len, gateway.content.values()))
            assert answer.code is AnswerCode.DONE
            assert answer.text.startswith(f"3 journal files with {size} bytes are sent in 101 pieces; nothing before")
            refused = await support.ask()
            assert (refused.code, refused.text[:23]) == (AnswerCode.NOT_POSSIBLE, "one window at a time: t")
            (window,) = [path.name for path in (tmp_path / "cloud" / "journal").iterdir()]
            assert window == answer.command, "nobody waits for the one that was refused"
            for path in segments(gateway.folder):
                path.unlink()  # the ring needs the room
            await until(lambda: len(support.pieces) >= 5, "the first pieces")
            await asyncio.to_thread(broker.stop)
            before = box.uplink.state.telemetry.waiting
            await until(lambda: box.uplink.state.telemetry.waiting >= before + WAITED, "statuses that wait")
            known = False
            await until(lambda: box.uplink.state.link.condition is Condition.ENDED, "nothing is sent to nobody")
            cut, pieces = len(support.heard), len(support.pieces)
            await asyncio.to_thread(broker.start)
            await until(lambda: support.cloud.link.state.connected, "the cloud side listens again")
            known = True
            await until(lambda: len(support.pieces) >= pieces + 10, "pieces after the cut")
            after = support.heard[cut:]
            first = next(k for k, one in enumerate(after) if isinstance(one, JournalPiece))
            assert sum(one.head.historical for one in after[:first]) >= WAITED // 2, "what was measured goes first"
        assert set(support.files(window)) != set(gateway.content), "it is not whole yet"
        gateway.again()
        killed = len(support.heard)
        async with gone_on():
            await until(lambda: "journal_window_complete" in caplog.text, "all of it")
            await until(lambda: gateway.window.rests, "all receipts")
            assert any(isinstance(one, Live) and not one.head.historical for one in support.heard[killed:])
    assert support.files(window) == gateway.content
    assert not (gateway.folder / "sending").exists(), "nothing is held any more"
    (replayed,) = [path for path in segments(support.folder / "journal" / window) if path.name not in OLD]
    outcome = replay([replayed])
    assert outcome.scans >= 50
    assert outcome.mismatches == 0


async def test_what_is_no_piece_of_a_window_that_was_asked_for_is_not_stored(tmp_path, broker, caplog):
    content = random.Random(3).randbytes(1000)
    good = JournalPiece(
        None, "c0ffee00-0001", 1, OLD[0], 0, len(content), hashlib.sha256(content).hexdigest(),  # type: ignore[arg-type]
        base64.b64encode(content).decode(),
    )  # fmt: skip
    bad = {
        "nobody here asked for this window": replace(good, window="c0ffee00-0002"),
        f"the digest of {OLD[0]} is wrong": replace(good, digest="0" * 64),
        "a piece is not as long as it has to be": replace(good, total=64 * 1024 * 1024),
    }
    verifier = Verifier.of_file(broker.keys / "signing.pub")
    box = Box(broker.broker("box-1"), ADDRESS, verifier, random.Random(2), now_epoch_s=lambda: NOW)
    async with supporting(broker, tmp_path, Time(speed=100.0)) as support:
        LocalLink(tmp_path, ADDRESS.site).expect_window(good.window)
        task = asyncio.create_task(box.run())
        await until(box.open.is_set, "a session")
        for piece in (*bad.values(), good, replace(good, data=base64.b64encode(bytes(1000)).decode())):
            await box.say(replace(piece, head=box.head()))
        await until(lambda: box.told <= box.heard.stored, "a receipt for each, so that no site sends it for ever")
        task.cancel()
        await asyncio.wait({task})
        assert support.files(good.window) == {OLD[0]: content}
    assert [path.name for path in (tmp_path / "journal").iterdir()] == [good.window]
    for reason in bad:
        assert f"reason={reason!r}" in caplog.text
