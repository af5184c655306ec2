"""A cloud side that is easy to look into, and an uplink whose minutes pass in seconds; between them a real broker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from controller.service.health import Known
from controller.service.journal_window import JournalWindow
from controller.service.messages import Hello, Status
from controller.service.spool_table import Bounds
from controller.service.uplink import Answer, Inbound, Times, Uplink, UplinkConfig
from controller.service.uplink_access import Access
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.wire import CONTENT_TYPE, TYPES, RebirthRequest, Receipt, read, write
from interfaces.domain.wire_head import WireRefusal
from interfaces.domain.wire_topics import Address, Kind, cloud_filters, place_of
from interfaces.drivers.mqtt import Message, Published, Subscription
from tests.controller.service.kit import EPOCH_S, Bench, garage_setup
from tests.interfaces.drivers.mosquitto import Mosquitto, Watched, linked

LONG_S = 180.0
"""Until something that must come is given up, on a computer that does much else; how long it takes decides nothing."""
SPEED = 20.0
"""So much faster than the wall clock passes the time of an uplink under test."""
WIDE = Bounds(1 << 28, 1e9)
ADDRESS = Address("acme", garage_setup().site.id, "box-1")
HELLO = Hello(1, "start", "0.5.0", EPOCH_S - 60, 0, "", ())
STATUS = Status(1, 0, 0, 0, (0.0,) * 4, (0.0,) * 4, 0, 0, 0, "", "good", 0, ())


@dataclass
class Time:
    """The two clocks of an uplink. ``speed`` 0: they stand still until moved."""

    speed: float = SPEED
    began_s: float = field(default_factory=time.monotonic)
    ahead_s: float = 0.0

    def now_s(self) -> float:
        return (time.monotonic() - self.began_s) * self.speed + self.ahead_s

    def epoch_s(self) -> float:
        return EPOCH_S + self.now_s()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed if self.speed else 0.0)

    @property
    def times(self) -> Times:
        return Times(self.now_s, self.epoch_s, self.sleep)


class Deciding:
    """Who decides about plans and the like: writes down what comes, and answers what it was given."""

    def __init__(self) -> None:
        self.taken: list[tuple[Kind, bytes]] = []
        self.answers: list[Answer] = []

    async def take(self, kind: Kind, payload: bytes) -> Sequence[Answer]:
        self.taken.append((kind, payload))
        answers, self.answers = self.answers, []
        return answers

    async def look(self) -> Sequence[Answer]:
        return ()


class Site:
    """What the gateway knows: a garage that was scanned, always just now."""

    def __init__(self, clock: Time) -> None:
        self.bench = Bench()
        self.bench.advance(10)
        setup = self.bench.setup
        self.clock = clock
        self.known_now = Known(hello=HELLO, setup=setup, status=STATUS)
        self.scans = True

    def known(self) -> Known:
        last = self.bench.loop.last
        assert last is not None
        now_s = self.clock.now_s()
        image, commands, report = last
        record = None
        if self.scans:
            record = ScanRecord(1, self.bench.now_s, self.clock.epoch_s(), image, commands, report, "")
        return replace(self.known_now, record=record, record_s=now_s)


@dataclass
class Box:
    """An uplink under test and what surrounds it."""

    uplink: Uplink
    site: Site
    deciding: Deciding
    time: Time

    async def until(self, what: Callable[[], Any], why: str) -> Any:
        return await until(what, why)


async def until(what: Callable[[], Any], why: str) -> Any:
    """What is true at last; how long it takes decides nothing."""
    end_s = time.monotonic() + LONG_S
    while time.monotonic() < end_s:
        if found := what():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(why)


def access_to(broker: Mosquitto, name: str = "box-1") -> Access:
    own = broker.broker(name)
    signing = broker.keys / "signing.pub"
    return Access(own.host, broker.port, "acme", name, own.ca_file, own.cert_file, own.key_file, signing)


@asynccontextmanager
async def uplinked(
    folder: Path,
    access: Callable[[], Access | None],
    *,
    clock: Time | None = None,
    bounds: Bounds = WIDE,
    live_s: float | None = None,
    inbound: Inbound | None = None,
    window: JournalWindow | None = None,
) -> AsyncIterator[Box]:
    """A running uplink; ended in order afterwards."""
    clock = Time() if clock is None else clock
    site, deciding = Site(clock), Deciding()
    config = UplinkConfig(folder, access, bounds, live_s=live_s)
    uplink = Uplink(config, site.known, inbound or deciding, random.Random(1), clock.times, window)
    task = asyncio.create_task(uplink.run())
    try:
        yield Box(uplink, site, deciding, clock)
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.exception() is None, task.exception()


class Cloud:
    """The cloud side by hand: everything it heard, and receipts for it while ``stores``."""

    def __init__(self, link: Watched, *, stores: bool = True) -> None:
        self.link = link
        self.stores = stores
        self.messages: list[Message] = []
        self.heard: list[tuple[Kind, Any]] = []

    async def listen(self) -> None:
        while True:
            message = await self.link.link.receive()
            self.messages.append(message)
            place = place_of(message.topic)
            assert place is not None, message.topic
            assert place.address == ADDRESS
            assert message.content_type == CONTENT_TYPE
            found = read(message.payload, TYPES[place.kind])
            assert not isinstance(found, WireRefusal), f"{place.kind}: {found}"
            self.heard.append((place.kind, found))
            if self.stores and place.kind is not Kind.STATE:
                head = found.head
                await self.say(Kind.RECEIPT, write(Receipt(EPOCH_S, ((head.session, head.seq, head.seq),))))

    async def say(self, kind: Kind, payload: bytes, *, retain: bool = False) -> None:
        topic = ADDRESS.topic(kind)
        assert await self.link.link.publish(Message(topic, payload, retain=retain)) == Published()

    async def ask(self) -> None:
        await self.say(Kind.REBIRTH, write(RebirthRequest(EPOCH_S, why="a test")))

    def of(self, kind: Kind) -> list[Any]:
        return [message for heard, message in self.heard if heard is kind]

    def live(self) -> list[Any]:
        """Statuses of the moment."""
        return [message for message in self.of(Kind.LIVE) if not message.head.historical]

    def late(self) -> list[Any]:
        """Everything that came from disk, in the order it came."""
        return [message for kind, message in self.heard if kind is not Kind.STATE and message.head.historical]

    def names(self) -> list[tuple[int, int]]:
        """(session, seq) of everything but states, in the order it came."""
        return [name for name, _ in self.named()]

    def named(self) -> list[tuple[tuple[int, int], Any]]:
        """The same with the messages."""
        found = [message for kind, message in self.heard if kind is not Kind.STATE]
        return [((message.head.session, message.head.seq), message) for message in found]


@asynccontextmanager
async def clouded(broker: Mosquitto, *, stores: bool = True) -> AsyncIterator[Cloud]:
    """A connected cloud side."""
    filters = [Subscription(topic, "order", limit=20_000) for topic in cloud_filters()]
    async with linked(broker.broker("optimizer"), *filters, up=False) as link:
        await until(lambda: any(state.connected for state in link.states), "the cloud side is connected")
        cloud = Cloud(link, stores=stores)
        task = asyncio.create_task(cloud.listen())
        try:
            yield cloud
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or task.exception() is None, task.exception()
