"""A real Mosquitto on loopback with the files of ``deploy/``, and links to it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from interfaces.drivers import broker_files, pki
from interfaces.drivers.broker_files import BrokerFiles
from interfaces.drivers.mqtt import Broker, Link, LinkState, Message, Subscription, Will
from tests.tools import needed_tool

LOCAL = "127.0.0.1"
PATIENCE_S = 20.0
"""For what takes well under a second; only a broken broker or link uses it up."""


class Mosquitto:
    """The broker as a process of ours. ``stop`` ends it and nothing else."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.program = needed_tool("mosquitto", "mosquitto")
        self.keys = keys
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.log = folder / "log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises when it does not come up; another process may have taken the port, so it tries a few."""
        for _ in range(5):
            self.port = self.port or free_port()
            user = getpass.getuser() if os.getuid() == 0 else None
            conf = broker_files.write(self.folder, BrokerFiles(LOCAL, self.port, self.keys, self.data, user))
            with self.log.open("ab") as log:
                self._process = subprocess.Popen([self.program, "-c", str(conf)], stderr=log, stdout=log)
            if self._answers():
                return
            self.port = 0
        raise AssertionError(self.log.read_text())

    def _answers(self) -> bool:
        assert self._process is not None
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((LOCAL, self.port), timeout=1):
                return True
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def reload(self) -> None:
        """SIGHUP: access rules, certificates and the revocation list are read again."""
        self.signal(signal.SIGHUP)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def broker(self, name: str, client_id: str | None = None) -> Broker:
        crt, key = self.keys / f"{name}.crt", self.keys / f"{name}.key"
        return Broker(LOCAL, self.port, self.keys / "ca.crt", crt, key, client_id or name)


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


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOCAL, 0))
        return int(found.getsockname()[1])


class Watched:
    """A link with every state it went through."""

    def __init__(
        self,
        broker: Broker,
        subscriptions: Sequence[Subscription] = (),
        will: Will | None = None,
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
    broker: Broker, *filters: str | Subscription, will: Will | None = None, up: bool = True
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
