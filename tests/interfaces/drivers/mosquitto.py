"""A real Mosquitto on loopback with the files of ``deploy/``, and links to it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from interfaces.drivers import pki
from interfaces.drivers.mqtt import Broker, Link, LinkState, Message, Subscription, Will
from simulations.broker import LOCALHOST, LocalBroker
from tests.tools import needed_tool

PATIENCE_S = 120.0
"""For what takes well under a second; only a broken broker or link uses it up."""


class Mosquitto(LocalBroker):
    """The broker, skipped or failed where it is not installed, and how its clients reach it."""

    def __init__(self, folder: Path, keys: Path) -> None:
        super().__init__(needed_tool("mosquitto", "mosquitto"), folder, keys)

    def reload(self) -> None:
        """SIGHUP: access rules, certificates and the revocation list are read again."""
        self.signal(signal.SIGHUP)

    def broker(self, name: str, client_id: str | None = None) -> Broker:
        crt, key = self.keys / f"{name}.crt", self.keys / f"{name}.key"
        return Broker(LOCALHOST, self.port, self.keys / "ca.crt", crt, key, client_id or name)


def make_keys(folder: Path, *controllers: str) -> Path:
    now = datetime.now(UTC)
    pki.init(folder, [], now)
    for controller in controllers:
        pki.issue(folder, controller, now)
    return folder


def running(folder: Path, keys: Path) -> Iterator[Mosquitto]:
    """For fixtures: a started broker, stopped afterwards."""
    broker = Mosquitto(folder, keys)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


class Watched:
    """A link with every state it went through."""

    def __init__(
        self,
        broker: Broker,
        subscriptions: Sequence[Subscription] = (),
        will: Will | Callable[[], Will] | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states: list[LinkState] = []
        self.slept: list[float] = []
        self._changed = asyncio.Event()
        self.link = Link(
            broker, subscriptions, rng=random.Random(1), will=will, sleep=self._sleep, now_s=now_s, on_state=self._see
        )

    async def _sleep(self, wanted_s: float) -> None:
        self.slept.append(wanted_s)
        await asyncio.sleep(0.05)

    def _see(self, state: LinkState) -> None:
        self.states.append(state)
        self._changed.set()

    async def until(self, wanted: Callable[[LinkState], bool], since: int = 0) -> LinkState:
        """The first state from number ``since`` on that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._changed.clear()
                for state in self.states[since:]:
                    if wanted(state):
                        return state
                await self._changed.wait()

    async def up(self) -> None:
        await self.until(lambda state: state.connected)

    async def next(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            return await self.link.receive()


@asynccontextmanager
async def linked(
    broker: Broker, *filters: str | Subscription, will: Will | Callable[[], Will] | None = None, up: bool = True
) -> AsyncIterator[Watched]:
    """A running link, connected unless ``up`` is false; a plain filter keeps messages in order."""
    wanted = [Subscription(f, "order") if isinstance(f, str) else f for f in filters]
    watched = Watched(broker, wanted, will)
    task = asyncio.create_task(watched.link.run())
    try:
        if up:
            await watched.up()
        yield watched
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or task.exception() is None, task.exception()


def other_id(broker: Broker, client_id: str) -> Broker:
    return replace(broker, client_id=client_id)
