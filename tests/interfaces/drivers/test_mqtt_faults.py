"""Who may not connect, what is not taken and who else uses our name: told in words, against a real Mosquitto.

Rows are those of the fault catalogue.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interfaces.drivers import mqtt_session, pki
from interfaces.drivers.mqtt import Broker, Condition, Link, LinkState, Message, Published, Refused
from interfaces.drivers.mqtt_state import Takeovers
from simulations.broker import LOCALHOST
from tests.interfaces.drivers.mosquitto import Mosquitto, Watched, linked, make_keys, running


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    folder = tmp_path_factory.mktemp("broker")
    yield from running(folder, make_keys(folder / "keys", "box-1", "box-2"))


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("other") / "keys", "box-1")


async def failing(broker: Broker) -> LinkState:
    """The state after the first attempt, which must not succeed."""
    async with linked(broker, up=False) as box:
        return await box.until(lambda state: state.condition is not Condition.CONNECTING)


class HastyServer:
    """A broker of another authority that judges our certificate while we are about to write, and then resets."""

    def __init__(self, keys: Path, other_keys: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(keys / "broker.crt", keys / "broker.key")
        self._context.load_verify_locations(other_keys / "ca.crt")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self.judge, self.gone = threading.Event(), threading.Event()

    def serve(self, listening: socket.socket) -> None:
        """Answer one client."""
        sock, _ = listening.accept()
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = self._context.wrap_bio(heard, said, server_side=True)
            with suppress(ssl.SSLCertVerificationError):
                while True:
                    heard.write(sock.recv(1 << 16))
                    with suppress(ssl.SSLWantReadError):
                        tls.do_handshake()
                    sock.sendall(said.read())
                    self.judge.wait(10.0)
            sock.sendall(said.read())
        self.gone.set()


async def test_row_07_a_broker_of_another_authority_is_refused(broker, other_keys, figure):
    state = await failing(replace(broker.broker("box-1"), ca_file=other_keys / "ca.crt"))
    assert state.condition is Condition.WRONG_CA
    assert "not of our authority" in state.reason
    figure("wrong CA", state.reason)


async def test_row_07_a_certificate_of_another_authority_is_refused_by_the_broker(broker, other_keys):
    own = broker.broker("box-1")
    stranger = replace(own, cert_file=other_keys / "box-1.crt", key_file=other_keys / "box-1.key")
    state = await failing(stranger)
    assert state.condition is Condition.WRONG_CA
    assert state.reason == "the broker does not know the authority of this certificate"


async def test_row_07_a_broker_with_another_name_is_refused(broker, figure):
    # The certificate holds 127.0.0.1 and not 127.0.0.2; a proxy in front of the broker is reached by the latter.
    async with forwarded("127.0.0.2", broker.port) as port:
        state = await failing(replace(broker.broker("box-1"), host="127.0.0.2", port=port))
    assert state.condition is Condition.HOST_NAME
    figure("host name", state.reason)


async def test_row_07_a_client_with_tls_1_1_is_refused(broker, figure):
    old = await asyncio.to_thread(handshake_up_to, ssl.TLSVersion.TLSv1_1, broker)
    assert "PROTOCOL_VERSION" in old
    new = await asyncio.to_thread(handshake_up_to, ssl.TLSVersion.TLSv1_2, broker)
    assert new == "TLSv1.2"
    figure("TLS 1.1 client", old)


async def test_row_07_a_broker_with_nothing_newer_than_tls_1_1_is_refused(broker):
    with old_server(broker.keys) as port:
        state = await failing(replace(broker.broker("box-1"), port=port))
    assert state.condition is Condition.TLS_TOO_OLD


async def test_row_07_plain_text_is_not_fallen_back_to(broker):
    said = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.extend(await reader.read(1))
        writer.write(b"\x20\x03\x00\x00\x00" * 4)  # a CONNACK that accepts everybody
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOCALHOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        state = await failing(replace(broker.broker("box-1"), port=port))
    assert state.condition is Condition.NO_TLS
    assert set(said) == {0x16}, "something else than a TLS handshake was sent"


async def test_row_06_an_expired_certificate_is_named(broker):
    late = datetime.now(UTC) - timedelta(days=pki.LEAF_DAYS + 5)
    pki.issue(broker.keys, "box-late", late)
    state = await failing(broker.broker("box-late"))
    assert state.condition is Condition.CERTIFICATE_EXPIRED
    assert state.reason == "the broker says that this certificate has expired"


async def test_row_08_a_revoked_controller_is_refused(tmp_path, figure):
    keys = make_keys(tmp_path / "keys", "box-1", "box-2")
    for own in running(tmp_path, keys):
        async with linked(own.broker("box-1")) as box:
            seen = len(box.states)
            pki.revoke(keys, "box-1", datetime.now(UTC))
            await asyncio.to_thread(own.stop)
            await asyncio.to_thread(own.start)
            state = await box.until(lambda state: state.condition is Condition.CERTIFICATE_REVOKED, seen)
            assert state.reason == "the broker says that this certificate is revoked"
            assert not any(later.connected for later in box.states[seen:])
        async with linked(own.broker("box-2")) as other:
            assert other.link.state.connected
        figure("revoked, broker restarted", state.reason)


async def test_row_08_a_reload_refuses_the_next_connection_of_the_revoked_controller(tmp_path):
    keys = make_keys(tmp_path / "keys", "box-1")
    for own in running(tmp_path, keys):
        async with linked(own.broker("box-1")):
            pass
        pki.revoke(keys, "box-1", datetime.now(UTC))
        own.reload()
        async with linked(own.broker("optimizer")):  # answered after the reload
            pass
        state = await failing(own.broker("box-1"))
        assert state.condition is Condition.CERTIFICATE_REVOKED


async def test_row_08_the_reason_is_read_also_when_the_broker_hung_up_before_our_first_word(tmp_path, monkeypatch):
    def slow(self: ssl.SSLSocket, block: bool = False) -> None:
        ssl.SSLSocket.do_handshake(self, block)
        time.sleep(0.3)  # in the thread that connects: the broker has judged us and gone by then

    monkeypatch.setattr(mqtt_session._TlsSocket, "do_handshake", slow)
    keys = make_keys(tmp_path / "keys", "box-1")
    pki.revoke(keys, "box-1", datetime.now(UTC))
    for own in running(tmp_path, keys):
        state = await failing(own.broker("box-1"))
        assert state.condition is Condition.CERTIFICATE_REVOKED


async def test_row_08_the_reason_is_read_also_when_our_first_word_breaks_the_connection(
    broker, other_keys, monkeypatch
):
    hasty, send = HastyServer(broker.keys, other_keys), ssl.SSLSocket.send

    def late(self: ssl.SSLSocket, data: bytes, flags: int = 0) -> int:
        hasty.judge.set()  # nothing was there to read when we looked; now there is, and the line is reset
        hasty.gone.wait(10.0)
        return send(self, data, flags)

    monkeypatch.setattr(ssl.SSLSocket, "send", late)
    with socket.create_server((LOCALHOST, 0)) as listening:
        threading.Thread(target=hasty.serve, args=(listening,), daemon=True).start()
        state = await failing(replace(broker.broker("box-1"), port=listening.getsockname()[1]))
    assert state.condition is Condition.WRONG_CA
    assert state.reason == "the broker does not know the authority of this certificate"


async def test_row_09_a_denied_publish_is_told(broker, figure):
    async with linked(broker.broker("box-1")) as box:
        denied = await box.link.publish(Message("sw/1/box-2/telemetry", b"1"))
        assert denied == Refused("not authorized", "rules")
        assert await box.link.publish(Message("sw/1/box-1/telemetry", b"1")) == Published()
        figure("denied publish", denied.reason)


async def test_row_10_two_boxes_with_one_client_id_are_named(broker, figure):
    shared = broker.broker("box-1")
    async with linked(shared) as one, linked(shared, up=False) as two:
        named = await one.until(lambda state: state.condition is Condition.CONTESTED)
        await two.until(lambda state: state.condition is Condition.CONTESTED)
        assert "'box-1'" in named.reason
        before = one.states[: one.states.index(named)]
        assert {s.condition for s in before} <= {Condition.HUNG_UP, Condition.CONNECTED}
        lost = len([s for s in before if s.condition is Condition.HUNG_UP])
        assert lost == 4
        # From here on the waits grow; until then they were as short as after a first failure.
        for _ in range(6):
            await one.until(lambda state: not state.connected, len(one.states))
        assert max(one.slept[:lost]) <= 2.0
        assert max(one.slept[lost:]) > 4.0
    figure("times thrown out until named", lost)


def test_row_10_three_takeovers_a_minute_are_no_contest_and_a_quiet_minute_ends_one():
    takeovers = Takeovers()
    for at_s in (0.0, 30.0, 50.0, 70.0, 95.0):
        takeovers.happened(at_s)
        assert not takeovers.contested
    takeovers.happened(100.0)
    takeovers.happened(101.0)
    assert takeovers.contested
    assert not takeovers.over(59.0)
    assert takeovers.over(60.0)
    takeovers.happened(300.0)
    assert not takeovers.contested


async def test_row_10_a_contest_is_over_when_a_connection_has_lasted_a_minute(broker):
    now_s = 0.0
    watched = Watched(broker.broker("box-1"), now_s=lambda: now_s)
    task = asyncio.create_task(watched.link.run())
    await watched.up()
    for count in range(4):
        seen = len(watched.states)
        thief = Link(broker.broker("box-1"), (), rng=random.Random(0))
        stealing = asyncio.create_task(thief.run())
        await watched.until(lambda state: not state.connected, seen)
        stealing.cancel()
        await asyncio.wait({stealing})
        await watched.until(lambda state: state.connected, seen)
        assert (watched.link.state.condition is Condition.CONTESTED) == (count == 3)
    now_s = 59.0
    assert watched.link.state.condition is Condition.CONTESTED
    now_s = 60.0
    assert watched.link.state == LinkState(connected=True, condition=Condition.CONNECTED)
    task.cancel()
    await asyncio.wait({task})


def handshake_up_to(version: ssl.TLSVersion, broker: Mosquitto) -> str:
    """The version agreed on, or the broker's alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(broker.keys / "ca.crt")
    context.load_cert_chain(broker.keys / "box-1.crt", broker.keys / "box-1.key")
    set_versions(context, version)
    try:
        with (
            socket.create_connection((LOCALHOST, broker.port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname=LOCALHOST) as wrapped,
        ):
            return str(wrapped.version())
    except ssl.SSLError as error:
        return str(error.reason)


def set_versions(context: ssl.SSLContext, most: ssl.TLSVersion) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side's own library would be what refuses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = most


class old_server:  # noqa: N801  used as a context manager
    """Something that speaks TLS 1.1 at most, for one connection."""

    def __init__(self, keys: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(keys / "broker.crt", keys / "broker.key")
        set_versions(self._context, ssl.TLSVersion.TLSv1_1)
        self._socket = socket.create_server((LOCALHOST, 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            try:
                self._context.wrap_socket(plain, server_side=True).close()
            except OSError:
                plain.close()

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


class forwarded:  # noqa: N801
    """A listener on ``address`` that passes everything on to the broker."""

    def __init__(self, address: str, port: int) -> None:
        self._address, self._port = address, port
        self._server: asyncio.Server | None = None

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(LOCALHOST, self._port)
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        except ConnectionError:
            pass
        finally:
            far_writer.close()
            writer.close()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._pass_on, self._address, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()
