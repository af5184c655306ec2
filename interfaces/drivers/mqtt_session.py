"""One connection to the broker: aiomqtt, with what it leaves out.

aiomqtt 2.5 calls a publish a success whatever the broker answered, waits its whole time-out when the broker hangs up
before it said hello, and leaves the reason of a broken TLS connection in paho's log. Callbacks of paho are overridden
here for that; the version is pinned to 2.5 for the same reason.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interfaces.drivers.mqtt_inbox import Message

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

KEEPALIVE_S: Final = 10
"""A dead broker is noticed after twice this."""
ACK_TIMEOUT_S: Final = 10.0
SESSION_EXPIRY_S: Final = 0
"""The broker's queue for an absent client keeps the oldest and drops the newest: old plans. So it keeps none."""
MAX_PACKET_BYTES: Final = 256 * 1024 + 8 * 1024
"""The largest payload of the contract and room for topic and properties."""
HEADER_BYTES: Final = 32
"""More than the fixed header and the properties of a publish take."""
MAX_UNACKED: Final = 20
WILL_DELAY_S: Final = 15
"""A short break of the line is no reason to report a site as gone."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and who we are. The files are PEM and are read again at every connection, so that a renewed
    certificate is taken up without a restart.
    """

    host: str
    port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    client_id: str
    keepalive_s: int = KEEPALIVE_S


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we are gone for longer than ``delay_s``."""

    message: Message
    delay_s: int = WILL_DELAY_S


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has taken the message (QoS 1), or the line has (QoS 0)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The message is not with the broker, as far as we know; ``reason`` in words. ``fault``: of the line (it may go
    later), of the broker's rules (somebody has to change them), or of the message (no broker will ever take it).
    """

    reason: str
    fault: Literal["line", "rules", "message"] = "line"


class _TlsSocket(ssl.SSLSocket):
    """What paho leaves out: it forgets a socket whose handshake failed, open until Python collects it, and it never
    looks for the far side's last word once a write has failed.
    """

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            # With TLS 1.3 the broker's verdict may arrive, and the line be reset behind it, while we write.
            with suppress(ssl.SSLWantReadError, ssl.SSLEOFError, ConnectionError):
                self.recv(1)
            raise


def tls_context(broker: Broker) -> ssl.SSLContext:
    """TLS of at least 1.2, our own authority and no other, both sides with a certificate.

    Raises:
        OSError: a file is missing or holds no key or certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(broker.ca_file)
    context.load_cert_chain(broker.cert_file, broker.key_file)
    return context


class Session(aiomqtt.Client):
    """One connection, used once as ``async with``; ``close`` afterwards, whatever happened."""

    def __init__(
        self, broker: Broker, context: ssl.SSLContext, will: Will | None, arrived: Callable[[Message], None]
    ) -> None:
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = SESSION_EXPIRY_S
        connect.MaximumPacketSize = MAX_PACKET_BYTES
        connect.ReceiveMaximum = MAX_UNACKED
        self.trouble: OSError | None = None
        """What broke the socket, as paho wrote it into its log."""
        self._given_up = False
        self._arrived = arrived
        self._unacked: dict[int, asyncio.Future[ReasonCode]] = {}
        self._largest_bytes: int | None = None
        super().__init__(
            broker.host,
            broker.port,
            identifier=broker.client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            properties=connect,
            keepalive=broker.keepalive_s,
            timeout=ACK_TIMEOUT_S,
            tls_context=context,
            will=None if will is None else _will(will),
            max_inflight_messages=MAX_UNACKED,
            max_queued_outgoing_messages=MAX_UNACKED,
            logger=self._listening_logger(),
        )

    @property
    def line(self) -> socket.socket | None:
        """The socket below."""
        found = self._client.socket()
        return found if isinstance(found, socket.socket) else None

    async def ended(self) -> None:
        """Waits for the end of the connection and raises its cause, an ``MqttError`` or ``OSError``."""
        await asyncio.wait({self._disconnected})  # not awaited itself: a cancellation would cancel it too
        self._disconnected.result()

    async def send(self, message: Message) -> Published | Refused:
        """Publish and wait for the broker's word. Never raises for anything the message or the line can do."""
        size = len(message.payload) + len(message.topic.encode()) + len(message.content_type.encode()) + HEADER_BYTES
        if self._largest_bytes is not None and size > self._largest_bytes:
            return Refused(f"larger than the broker takes ({self._largest_bytes} bytes)", "message")
        properties = _properties(message, PacketTypes.PUBLISH)
        try:
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        except ValueError as error:
            return Refused(f"no topic or payload for MQTT: {error}", "message")
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return Refused(paho.error_string(info.rc).rstrip(".").lower())
        # paho 2 counts no publish as a sign of life and pings besides: 50 MB a month on a line that speaks every 10 s.
        self._client._last_msg_out = time.monotonic()  # noqa: SLF001
        return Published() if info.is_published() else await self._acknowledged(info.mid)

    async def _acknowledged(self, mid: int) -> Published | Refused:
        acked = self._unacked[mid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                code = await acked
        except TimeoutError:
            return Refused(f"the broker did not acknowledge it within {ACK_TIMEOUT_S:.0f} s")
        except ConnectionError as error:
            return Refused(str(error))
        finally:
            self._unacked.pop(mid, None)
        return Refused(str(code).lower(), "rules") if code.is_failure else Published()

    def close(self) -> None:
        """Drop the socket if there still is one, and answer everybody who waits."""
        self._given_up = True
        for acked in self._unacked.values():
            if not acked.done():
                acked.set_exception(ConnectionError("the connection broke before the broker acknowledged it"))
        # paho keeps the socket when aiomqtt's own connect was cancelled or refused; there is no public way to drop it.
        self._client._sock_close()  # noqa: SLF001

    def _listening_logger(self) -> logging.Logger:
        # paho swallows the exception of a broken socket and only logs it; with TLS 1.3 the broker's verdict on our
        # certificate arrives exactly there. A logger of our own, outside the tree, hands it over.
        def heard(record: logging.LogRecord) -> bool:
            for value in record.args if isinstance(record.args, tuple) else ():
                if isinstance(value, OSError):
                    self.trouble = value
            return False

        logger = logging.Logger("mqtt", logging.ERROR)  # noqa: LOG001  one per connection, forgotten with it
        logger.addFilter(heard)
        return logger

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self._largest_bytes = getattr(properties, "MaximumPacketSize", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        # aiomqtt keeps silent about an end before the CONNACK. paho may call from the thread that connects.
        self._loop.call_soon_threadsafe(self._fail_connecting, reason_code)

    def _fail_connecting(self, reason_code: ReasonCode) -> None:
        if not self._connected.done() and not self._given_up:
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code, "hung up before it answered"))

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        # aiomqtt ignores the reason code of a PUBACK: a publish that the broker's rules deny would look like success.
        super()._on_publish(client, userdata, mid, reason_code, properties)
        acked = self._unacked.get(mid)
        if acked is not None and not acked.done():
            acked.set_result(reason_code)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        self._arrived(
            Message(
                topic=message.topic,
                payload=bytes(message.payload),
                retain=message.retain,
                qos=1 if message.qos else 0,
                content_type=getattr(properties, "ContentType", ""),
                expiry_s=getattr(properties, "MessageExpiryInterval", None),
            )
        )

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._given_up:  # cancelled while this thread was connecting
            self._client._sock_close()  # noqa: SLF001

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if not self._given_up:
            super()._on_socket_open(client, userdata, sock)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if not self._given_up:
            super()._on_socket_register_write(client, userdata, sock)


def _properties(message: Message, packet: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    if message.content_type:
        properties.ContentType = message.content_type
    if message.expiry_s is not None:
        properties.MessageExpiryInterval = message.expiry_s
    return properties


def _will(will: Will) -> aiomqtt.Will:
    properties = _properties(will.message, PacketTypes.WILLMESSAGE)
    properties.WillDelayInterval = will.delay_s
    said = will.message
    return aiomqtt.Will(said.topic, said.payload, said.qos, said.retain, properties)
