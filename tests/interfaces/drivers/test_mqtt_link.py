"""The link to a real Mosquitto over TLS: messages, expiry, the will, restarts, what it refuses."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from interfaces.drivers.mqtt import Condition, Link, Message, Published, Refused, Subscription, Will, retry_s
from interfaces.drivers.mqtt_inbox import Inbox
from tests.interfaces.drivers.mosquitto import PATIENCE_S, Mosquitto, linked, make_keys, running

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("broker")
    yield from running(folder, make_keys(folder / "keys", "box-1", "box-2"))


async def test_a_message_arrives_as_it_was_sent(broker):
    plan = Message("sw/1/box-1/plan", b"\x00\xff{}", retain=True, content_type="plan/1", expiry_s=100)
    async with linked(broker.broker("optimizer")) as cloud, linked(broker.broker("box-1"), "sw/1/box-1/plan/#") as box:
        assert await cloud.link.publish(plan) == Published()
        # To who is subscribed already a retained message comes as a live one.
        assert await box.next() == replace(plan, retain=False)
        once = Message("sw/1/box-1/plan/x", b"once", qos=0)
        assert await cloud.link.publish(once) == Published()
        assert await box.next() == once


async def test_a_retained_message_waits_and_is_gone_once_it_expired(broker):
    short = Message("sw/1/box-2/plan", b"short", retain=True, expiry_s=1)
    long = Message("sw/1/box-2/targets", b"long", retain=True, expiry_s=1000)
    async with linked(broker.broker("optimizer")) as cloud:
        assert await cloud.link.publish(short) == Published()
        assert await cloud.link.publish(long) == Published()
        await asyncio.sleep(2.1)
        async with linked(broker.broker("box-2"), "sw/1/box-2/plan", "sw/1/box-2/targets") as box:
            got = await box.next()
            assert got.payload == b"long"
            assert got.retain
            assert got.expiry_s is not None
            assert 900 < got.expiry_s < 1000
            # The plan's subscription came first: had there been a plan, it would be here by now.
            await cloud.link.publish(Message("sw/1/box-2/plan", b"new"))
            assert (await box.next()).payload == b"new"


DYING = """
import asyncio, random, sys
from pathlib import Path
from interfaces.drivers.mqtt import Broker, Link, Message, Will

async def main():
    port, keys = int(sys.argv[1]), Path(sys.argv[2])
    broker = Broker("127.0.0.1", port, keys / "ca.crt", keys / "box-1.crt", keys / "box-1.key", "box-1")
    will = Will(Message("sw/1/box-1/state", b"gone"), delay_s=1)
    link = Link(broker, (), rng=random.Random(0), will=will, on_state=lambda s: print(s.condition, flush=True))
    await link.run()

asyncio.run(main())
"""


async def test_the_will_is_told_after_a_kill(broker):
    async with linked(broker.broker("optimizer"), "sw/1/box-1/state") as cloud:
        arguments = [sys.executable, "-c", DYING, str(broker.port), str(broker.keys)]
        with subprocess.Popen(  # noqa: ASYNC220  starting it takes no time, and `with` ends it
            arguments, stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            try:
                assert process.stdout is not None
                line = await asyncio.to_thread(process.stdout.readline)
                assert line.strip() == b"connected"
            finally:
                process.kill()
        assert (await cloud.next()).payload == b"gone"


async def test_a_will_that_is_asked_for_is_another_one_at_each_connection(broker):
    numbers = itertools.count(1)

    def will() -> Will:
        return Will(Message("sw/1/box-1/state", f"gone {next(numbers)}".encode()), delay_s=0)

    cloud_side = linked(broker.broker("optimizer"), "sw/1/box-1/state")
    async with cloud_side as cloud, linked(broker.broker("box-1"), will=will) as box:
        for number in (1, 2):
            seen = len(box.states)
            line = box.link.line
            assert line is not None
            line.shutdown(socket.SHUT_RDWR)  # no word of goodbye
            assert (await cloud.next()).payload == f"gone {number}".encode()
            await box.until(lambda state: state.connected, since=seen)


async def test_who_takes_leave_leaves_no_will(broker):
    will = Will(Message("sw/1/box-1/state", b"gone"), delay_s=0)
    async with linked(broker.broker("optimizer"), "sw/1/box-1/state") as cloud:
        async with linked(broker.broker("box-1"), will=will) as box:
            pass
        assert box.states[-1].condition is Condition.ENDED
        async with linked(broker.broker("box-1")) as again:
            await again.link.publish(Message("sw/1/box-1/state", b"back"))
        assert (await cloud.next()).payload == b"back"


async def test_it_comes_back_after_a_restart_of_the_broker(tmp_path):
    for own in running(tmp_path, make_keys(tmp_path / "keys", "box-1")):
        plan = Subscription("sw/1/box-1/plan", "latest")
        async with linked(own.broker("optimizer")) as cloud, linked(own.broker("box-1"), plan) as box:
            assert await cloud.link.publish(Message("sw/1/box-1/plan", b"1", retain=True)) == Published()
            assert (await box.next()).payload == b"1"
            seen, cloud_seen = len(box.states), len(cloud.states)
            await asyncio.to_thread(own.stop)
            down = await box.until(lambda state: not state.connected)
            assert down.condition is Condition.HUNG_UP
            assert await box.link.publish(Message("sw/1/box-1/ack", b"x")) == Refused("not connected")
            gone = await box.until(lambda state: state.condition is Condition.UNREACHABLE, seen)
            assert gone.reason == "nothing listens at the broker's address"
            await asyncio.to_thread(own.start)
            await box.until(lambda state: state.connected, seen)
            # Subscribed again, and what was retained outlived the broker.
            assert (await box.next()).payload == b"1"
            await cloud.until(lambda state: state.connected, cloud_seen)
            assert await cloud.link.publish(Message("sw/1/box-1/plan", b"2", retain=True)) == Published()
            assert (await box.next()).payload == b"2"


async def test_row_02_a_frozen_broker_is_noticed_after_twice_the_keepalive(tmp_path, figure):
    for own in running(tmp_path, make_keys(tmp_path / "keys", "box-1")):
        async with linked(replace(own.broker("box-1"), keepalive_s=1)) as box:
            seen = len(box.states)
            own.signal(signal.SIGSTOP)
            try:
                lost = await box.link.publish(Message("sw/1/box-1/ack", b"x"))
                state = await box.until(lambda state: not state.connected, seen)
            finally:
                own.signal(signal.SIGCONT)
            assert lost == Refused("the connection broke before the broker acknowledged it")
            assert state.reason == "the connection broke: keep alive timeout"
            await box.until(lambda state: state.connected, seen)
            assert await box.link.publish(Message("sw/1/box-1/ack", b"x")) == Published()
            figure("frozen broker", state.reason)


async def test_what_the_broker_or_mqtt_cannot_take_is_refused_with_the_reason(broker):
    async with linked(broker.broker("box-1")) as box:
        large = await box.link.publish(Message("sw/1/box-1/telemetry", bytes(300_000)))
        assert isinstance(large, Refused)
        assert large.reason.startswith("larger than the broker takes")
        wild = await box.link.publish(Message("sw/1/box-1/telemetry/#", b""))
        assert isinstance(wild, Refused)
        assert wild.reason.startswith("no topic or payload")
        fits = await box.link.publish(Message("sw/1/box-1/telemetry", bytes(262_144)))
        assert fits == Published()
        assert box.link.state.connected


async def test_more_than_so_many_unacknowledged_messages_are_refused(broker):
    async with linked(broker.broker("box-1")) as box:
        sent = [box.link.publish(Message("sw/1/box-1/events", b"x")) for _ in range(150)]
        outcomes = await asyncio.gather(*sent)
        refused = {o.reason for o in outcomes if isinstance(o, Refused)}
        assert outcomes.count(Published()) >= 20
        assert refused
        assert await box.link.publish(Message("sw/1/box-1/events", b"y")) == Published()


async def test_a_missing_key_is_a_state_not_a_crash(broker):
    missing = replace(broker.broker("box-1"), key_file=broker.keys / "none.key")
    async with linked(missing, up=False) as box:
        state = await box.until(lambda state: state.condition is Condition.CERTIFICATE_FILES)
        assert "keys or certificates cannot be used" in state.reason


async def test_large_messages_that_wait_are_bounded_by_their_bytes(monkeypatch):
    monkeypatch.setattr("interfaces.drivers.mqtt_inbox.QUEUE_BYTES", 10)
    inbox = Inbox([Subscription("s/#", "order")])
    for payload in (b"1234567", b"8901", b"890", b"x"):
        inbox.put(Message("s/a", payload))
    assert inbox.dropped == {"s/#": 2}
    assert [(await inbox.take()).payload for _ in range(2)] == [b"1234567", b"890"]
    inbox.put(Message("s/a", b"0123456789"))
    assert (await inbox.take()).payload == b"0123456789"


async def test_what_waits_is_the_newest_plan_and_the_oldest_commands():
    inbox = Inbox([Subscription("s/plan/#", "latest", limit=2), Subscription("s/command", "order", limit=3)])
    for number in range(5):
        inbox.put(Message("s/plan/a", b"%d" % number))
        inbox.put(Message("s/command", b"%d" % number))
    inbox.put(Message("s/else", b"?"))
    got = [(m.topic, m.payload) for m in [await inbox.take() for _ in range(4)]]
    assert got.count(("s/plan/a", b"4")) == 1
    assert [p for t, p in got if t == "s/command"] == [b"0", b"1", b"2"]
    assert inbox.dropped == {"s/plan/#": 0, "s/command": 2}
    assert inbox.unasked == 1
    for topic in ("s/plan/a", "s/plan/b", "s/plan/c"):
        inbox.put(Message(topic, b"x"))
    assert [(await inbox.take()).topic, (await inbox.take()).topic] == ["s/plan/b", "s/plan/c"]


def test_a_shared_subscription_takes_what_its_filter_means():
    shared = Subscription("$share/ingest/sw/1/+/telemetry/#", "order")
    assert shared.matches("sw/1/box-1/telemetry/live")
    assert not shared.matches("sw/1/box-1/events")


def test_waits_are_spread_between_a_second_and_a_minute():
    rng = random.Random(3)
    waits = {attempt: [retry_s(attempt, rng) for _ in range(2000)] for attempt in (0, 2, 10, 1000)}
    for attempt, most_s in ((0, 2.0), (2, 8.0), (10, 60.0), (1000, 60.0)):
        assert min(waits[attempt]) >= 1.0
        assert max(waits[attempt]) <= most_s
        assert max(waits[attempt]) - min(waits[attempt]) > 0.95 * (most_s - 1.0)


async def test_attempts_that_fail_wait_longer_and_longer(broker):
    waits: list[float] = []
    enough = asyncio.Event()

    async def sleep(wanted_s: float) -> None:
        waits.append(wanted_s)
        if len(waits) >= 8:
            enough.set()
        await asyncio.sleep(0)

    class Largest(random.Random):
        def random(self) -> float:
            return 1.0

    link = Link(replace(broker.broker("box-1"), port=1), (), rng=Largest(), sleep=sleep)
    task = asyncio.create_task(link.run())
    await asyncio.wait_for(enough.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.wait({task})
    assert waits[:8] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
