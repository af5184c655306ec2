"""Controller A can neither read nor write anything of B: a real Mosquitto with the access rules of ``deploy/acl``.

That nothing arrives is seen by what arrives next: the broker delivers in order to one connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

import pytest

from interfaces.drivers import broker_files
from interfaces.drivers.broker_files import BrokerFiles
from interfaces.drivers.mqtt import Message, Published, Refused, Will
from interfaces.errors import UserError
from simulations.broker import LOCALHOST
from tests.interfaces.drivers.mosquitto import Mosquitto, linked, make_keys, running

UP = ("state", "telemetry", "telemetry/live", "events", "ack")
"""What a controller writes and the cloud side reads."""
DOWN = ("plan", "targets", "targets/prices", "command")
"""The other way."""
DENIED = Refused("not authorized", "rules")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("broker")
    yield from running(folder, make_keys(folder / "keys", "a", "b"))


async def test_each_side_writes_its_own_topics_and_no_others(broker):
    async with linked(broker.broker("a")) as a, linked(broker.broker("optimizer")) as cloud:
        outcome = {}
        for topic in (*UP, *DOWN):
            message = Message(f"sw/1/a/{topic}", b"x")
            outcome[topic] = (await a.link.publish(message), await cloud.link.publish(message))
    assert outcome == {**dict.fromkeys(UP, (Published(), DENIED)), **dict.fromkeys(DOWN, (DENIED, Published()))}


@pytest.mark.parametrize("retain", [False, True])
async def test_a_writes_nothing_of_b(broker, retain):
    strange = ("sw/1/b", "sw/1", "sw/2/a/state", "sw/1/a", "sw/1/a/other", "state", "$SYS/broker/x", "sw/1/ab/state")
    tried = [f"sw/1/b/{topic}" for topic in (*UP, *DOWN)] + list(strange)
    async with linked(broker.broker("a")) as a:
        outcome = {topic: await a.link.publish(Message(topic, b"x", retain=retain)) for topic in tried}
    # A topic below $SYS is no error to Mosquitto, and goes nowhere.
    assert {topic for topic, said in outcome.items() if said != DENIED} <= {"$SYS/broker/x"}


@pytest.mark.parametrize(
    "filter_",
    [
        *(f"sw/1/b/{topic}" for topic in (*UP, *DOWN)),
        "sw/1/b/#", "sw/1/+/#", "sw/#", "#", "+/+/b/#", "+/1/+/plan", "sw/1/+/command", "sw/+/b/+",
        "$share/g/sw/1/b/#", "$share/g/#", "$share/ingest/sw/1/+/telemetry/#", "$SYS/#",
    ],
)  # fmt: skip
async def test_a_reads_nothing_of_b(broker, filter_):
    async with (
        linked(broker.broker("optimizer")) as cloud,
        linked(broker.broker("b")) as b,
    ):
        for topic in DOWN:
            # Retained: read at once by whoever may subscribe.
            assert await cloud.link.publish(Message(f"sw/1/b/{topic}", b"secret", retain=True)) == Published()
        async with linked(broker.broker("a"), filter_, "sw/1/a/command/marker") as a:
            for topic in UP:
                assert await b.link.publish(Message(f"sw/1/b/{topic}", b"secret")) == Published()
            for topic in DOWN:
                assert await cloud.link.publish(Message(f"sw/1/b/{topic}", b"secret")) == Published()
            assert await cloud.link.publish(Message("sw/1/a/command/marker", b"end")) == Published()
            got = await a.next()
    assert (got.topic, got.payload) == ("sw/1/a/command/marker", b"end")


async def test_each_reads_what_is_meant_for_it(broker):
    async with (
        linked(broker.broker("optimizer"), "sw/1/+/#") as cloud,
        linked(broker.broker("a"), "sw/1/a/#") as a,
    ):
        for topic in UP:
            await a.link.publish(Message(f"sw/1/a/{topic}", b"up"))
        for topic in DOWN:
            await cloud.link.publish(Message(f"sw/1/a/{topic}", b"down"))
        # Neither hears itself, nor what the other may not say.
        assert [(await cloud.next()).topic for _ in UP] == [f"sw/1/a/{topic}" for topic in UP]
        assert [(await a.next()).topic for _ in DOWN] == [f"sw/1/a/{topic}" for topic in DOWN]


async def test_a_will_in_the_name_of_b_is_not_told(broker):
    async with linked(broker.broker("optimizer"), "sw/1/#") as cloud:
        for name in ("a", "b"):  # the first shows that the same way of ending does tell a will
            will = Will(Message(f"sw/1/{name}/state", f"offline {name}".encode()), delay_s=0)
            async with linked(broker.broker("a"), will=will) as a:
                seen = len(a.states)
                session = a.link._session
                assert session is not None
                line = session._client.socket()
                assert isinstance(line, socket.socket)
                line.shutdown(socket.SHUT_RDWR)  # the connection ends without a leave taken
                await a.until(lambda state: state.connected, seen)
                assert await a.link.publish(Message("sw/1/a/events", b"back")) == Published()
        assert [(await cloud.next()).payload for _ in range(3)] == [b"offline a", b"back", b"back"]


async def test_without_tls_or_without_a_certificate_nobody_connects(broker):
    assert not (await asyncio.to_thread(first_answer, broker, tls=False)).startswith("20")  # no CONNACK
    assert "CERTIFICATE_REQUIRED" in await asyncio.to_thread(first_answer, broker, tls=True)


def first_answer(broker: Mosquitto, *, tls: bool) -> str:
    """What the broker says to a CONNECT: what it sent, or its alert."""
    hello = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x03abc"
    with socket.create_connection((LOCALHOST, broker.port), timeout=60) as line:
        try:
            if tls:
                context = ssl.create_default_context(cafile=str(broker.keys / "ca.crt"))
                with context.wrap_socket(line, server_hostname=LOCALHOST) as wrapped:
                    return wrapped.recv(100).hex()
            line.sendall(hello)
            return line.recv(100).hex()
        except ssl.SSLError as error:
            return str(error.reason)
        except ConnectionError:
            return ""


def files(tmp_path) -> BrokerFiles:
    return BrokerFiles(LOCALHOST, 1234, tmp_path / "keys", tmp_path / "data")


def test_the_paths_are_filled_in_and_nothing_else_changes(tmp_path):
    template = (broker_files.TEMPLATES / "mosquitto.conf").read_text()
    filled = broker_files.render(template, files(tmp_path), tmp_path / "acl").splitlines()
    changed = [new for old, new in zip(template.splitlines(), filled, strict=True) if old != new]
    assert changed == [
        f"acl_file {tmp_path}/acl",
        f"persistence_location {tmp_path}/data/",
        f"listener 1234 {LOCALHOST}",
        f"cafile {tmp_path}/keys/ca.crt",
        f"certfile {tmp_path}/keys/broker.crt",
        f"keyfile {tmp_path}/keys/broker.key",
        f"crlfile {tmp_path}/keys/ca.crl",
    ]


def test_the_tls_listener_comes_first_and_is_the_only_one():
    lines = (broker_files.TEMPLATES / "mosquitto.conf").read_text().splitlines()
    listener = [i for i, line in enumerate(lines) if line.startswith("listener ")]
    assert len(listener) == 1
    below = {line.split(" ")[0] for line in lines[listener[0] :]}
    assert {"cafile", "certfile", "keyfile", "crlfile", "require_certificate", "tls_version"} <= below


def test_a_configuration_without_revocation_list_or_with_a_line_break_is_not_written(tmp_path):
    template = (broker_files.TEMPLATES / "mosquitto.conf").read_text()
    with pytest.raises(UserError, match="no line for crlfile"):
        broker_files.render(template.replace("crlfile ", "#crlfile "), files(tmp_path), tmp_path / "acl")
    with pytest.raises(UserError, match="line break"):
        broker_files.render(template, files(tmp_path), tmp_path / "a\nallow_anonymous true")
