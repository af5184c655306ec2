"""What a bad network and a full disk do to the link and its broker: rows of the fault catalogue."""

from __future__ import annotations

import asyncio
import heapq
import random
import shutil
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from interfaces.drivers.mqtt import Broker, Condition, Message, Published, Refused, retry_s
from simulations.broker import LOCALHOST
from simulations.devices.proxy import Proxy, Spoil
from tests.interfaces.drivers.mosquitto import PATIENCE_S, linked, make_keys, running

STORM = 5000
TAKEN_PER_S = 100
"""Handshakes of TLS with client certificates that a small broker manages."""
ALL_BACK_S = 300


async def test_row_03_a_half_open_connection_is_noticed_after_twice_the_keepalive(tmp_path, figure):
    for own in running(tmp_path, make_keys(tmp_path / "keys", "box-1")):
        async with Proxy(LOCALHOST, own.port, seed=1) as proxy:
            through = replace(own.broker("box-1"), port=proxy.port, keepalive_s=1)
            async with linked(through) as box:
                seen = len(box.states)
                proxy.spoil = {"to_server": Spoil(half_open=True), "to_client": Spoil(half_open=True)}
                lost = await box.link.publish(Message("sw/1/box-1/ack", b"x"))
                state = await box.until(lambda state: not state.connected, seen)
                assert isinstance(lost, Refused)
                assert state.condition is Condition.LOST
                assert state.reason == "the connection broke: keep alive timeout"
                proxy.mend()
                proxy.cut_all()
                await box.until(lambda state: state.connected, seen)
                assert await box.link.publish(Message("sw/1/box-1/ack", b"x")) == Published()
                figure("half-open connection", state.reason)


async def until(found: Callable[[], Any]) -> Any:
    """What is found in the end."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if what := found():
                return what
            await asyncio.sleep(0.01)


def said(log: Path, words: str) -> str:
    """What follows the words in the first line of the log that has them, empty while there is none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(words)[2] for line in lines if words in line), "")


class Resolver:
    """Names that are looked up and do not come, until they are said not to exist."""

    def __init__(self, name: str) -> None:
        self._name, self._real = name, socket.getaddrinfo
        self.answer = threading.Event()
        self.asking = self.most = 0

    def __call__(self, host: str, *rest: Any, **more: Any) -> Any:
        if host != self._name:
            return self._real(host, *rest, **more)
        self.asking += 1
        self.most = max(self.most, self.asking)
        self.answer.wait(PATIENCE_S)
        self.asking -= 1
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_row_04_names_that_are_not_resolved_hold_one_thread_and_nobody_else(tmp_path, monkeypatch, figure):
    keys = make_keys(tmp_path / "keys", "box-1")
    resolver = Resolver("broker.example")
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    crt, key = keys / "box-1.crt", keys / "box-1.key"
    async with linked(Broker("broker.example", 8883, keys / "ca.crt", crt, key, "box-1"), up=False) as box:
        await until(lambda: resolver.asking)
        # The loop goes on, and so does whatever else needs a thread.
        assert await box.link.publish(Message("sw/1/box-1/ack", b"x")) == Refused("not connected")
        assert await asyncio.to_thread(lambda: 7) == 7
        resolver.answer.set()
        state = await box.until(lambda state: state.condition is Condition.UNREACHABLE)
        await until(lambda: len(box.slept) >= 5)
    assert state.reason == "the broker's name is not known: Name or service not known"
    assert resolver.most == 1
    figure("threads that wait for names", resolver.most)


def test_row_05_five_thousand_clients_come_back_spread_out(figure):
    """A broker that restarts takes so many a second; who is not taken tries again as the link does."""
    rng = random.Random(1)
    due = [(retry_s(0, rng), client) for client in range(STORM)]
    heapq.heapify(due)
    attempts = Counter[int]()
    taken = Counter[int]()
    back_s = 0.0
    while due:
        at_s, client = heapq.heappop(due)
        if taken[int(at_s)] < TAKEN_PER_S:
            taken[int(at_s)] += 1
            back_s = max(back_s, at_s)
        else:
            attempts[client] += 1
            heapq.heappush(due, (at_s + retry_s(attempts[client], rng), client))
    assert back_s < ALL_BACK_S
    assert sum(attempts.values()) < 10 * STORM, "attempts that come to nothing"
    figure("all back", back_s, "s")


async def test_row_22_a_broker_that_cannot_write_says_so_and_goes_on(tmp_path, figure):
    for own in running(tmp_path, make_keys(tmp_path / "keys", "box-1")):
        async with linked(own.broker("optimizer"), "sw/1/box-1/ack/#") as cloud, linked(own.broker("box-1")) as box:
            shutil.rmtree(own.data)
            own.signal(signal.SIGUSR1)  # save now
            told = await until(partial(said, own.log, "Error: "))
            assert await box.link.publish(Message("sw/1/box-1/ack", b"still here")) == Published()
            assert (await cloud.next()).payload == b"still here"
            assert cloud.link.state.connected
            figure("told by the broker", told)


@pytest.mark.parametrize("attempt", [0, 3, 50])
def test_no_two_clients_wait_alike_and_nobody_longer_than_a_minute(attempt):
    waits = [retry_s(attempt, random.Random(seed)) for seed in range(200)]
    assert len(set(waits)) == 200
    assert 1.0 <= min(waits) <= max(waits) <= 60.0
