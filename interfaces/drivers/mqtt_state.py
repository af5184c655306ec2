"""What a connection to the broker is in, and why, in words for the person who has to repair it.

OpenSSL, paho and the broker each name the same trouble differently; here it becomes one condition and one sentence.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiomqtt.exceptions import MqttCodeError, MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

TAKEOVERS_PER_MINUTE: Final = 3
"""More than so many within a minute is no restart of the same box: two of them use one client id."""
MINUTE_S: Final = 60.0
TAKEN_OVER: Final = 0x8E
"""MQTT 5, section 3.14.2.1: another connection with the same client id was opened."""
UNSPECIFIED: Final = 0x80
"""What paho makes of a connection that the broker closed in order and without a word. Over TLS, Mosquitto 2.0 does so
also when another client takes the client id over, where the standard asks for the code above."""
X509_EXPIRED: Final = 10
X509_NOT_YET: Final = 9
X509_HOST: Final = frozenset({62, 64})
"""Codes of OpenSSL's ``x509_vfy.h``: expired, not yet valid, mismatch of the host name or address."""


class Condition(StrEnum):
    """How it is with the connection; alarms are raised by these names."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    ENDED = "ended"
    WRONG_CA = "wrong_ca"
    HOST_NAME = "host_name"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_REVOKED = "certificate_revoked"
    CERTIFICATE_REFUSED = "certificate_refused"
    CERTIFICATE_FILES = "certificate_files"
    TLS_TOO_OLD = "tls_too_old"
    NO_TLS = "no_tls"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    HUNG_UP = "hung_up"
    TAKEN_OVER = "taken_over"
    CONTESTED = "contested"


@dataclass(frozen=True, slots=True)
class LinkState:
    """``connected``: messages go both ways now. ``reason``: one sentence, empty while all is well.

    ``condition`` is ``CONTESTED`` also during the moments in which this side holds the contested client id.
    ``denied``: filters of subscriptions that the broker refused.
    """

    connected: bool
    condition: Condition
    reason: str = ""
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection ended or did not come about."""

    condition: Condition
    reason: str


_ALERTS: Final[tuple[tuple[str, Condition, str], ...]] = (
    ("CERTIFICATE_EXPIRED", Condition.CERTIFICATE_EXPIRED, "the broker says that this certificate has expired"),
    ("CERTIFICATE_REVOKED", Condition.CERTIFICATE_REVOKED, "the broker says that this certificate is revoked"),
    ("CERTIFICATE_REQUIRED", Condition.CERTIFICATE_REFUSED, "the broker wants a certificate and got none"),
    ("UNKNOWN_CA", Condition.WRONG_CA, "the broker does not know the authority of this certificate"),
    ("BAD_CERTIFICATE", Condition.CERTIFICATE_REFUSED, "the broker refuses this certificate"),
    ("CERTIFICATE_UNKNOWN", Condition.CERTIFICATE_REFUSED, "the broker refuses this certificate"),
    ("PROTOCOL_VERSION", Condition.TLS_TOO_OLD, "the two sides share no TLS version of at least 1.2"),
    ("UNSUPPORTED_PROTOCOL", Condition.TLS_TOO_OLD, "the broker offers only TLS older than 1.2"),
    ("WRONG_SSL_VERSION", Condition.TLS_TOO_OLD, "the broker offers only TLS older than 1.2"),
    ("WRONG_VERSION_NUMBER", Condition.NO_TLS, "what answers at this port does not speak TLS"),
    ("UNEXPECTED_MESSAGE", Condition.NO_TLS, "what answers at this port does not speak TLS"),
    ("RECORD_LAYER_FAILURE", Condition.NO_TLS, "what answers at this port does not speak TLS"),
    ("PACKET_LENGTH_TOO_LONG", Condition.NO_TLS, "what answers at this port does not speak TLS"),
)  # fmt: skip
"""Parts of OpenSSL's reason names: alerts of the far side, and what this side finds itself."""


def trouble_of(errors: Iterable[BaseException | None]) -> Trouble:
    """The first of these errors that says something; the most telling one stands first."""
    known = [error for error in errors if error is not None]
    for error in known:
        if (found := _named(error)) is not None:
            return found
    said = str(known[0]) if known else ""
    return Trouble(Condition.LOST, f"the connection broke: {said}" if said else "the connection broke")


def _named(error: BaseException) -> Trouble | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error)
    if isinstance(error, ssl.SSLError):
        return _broken_tls(error.reason or str(error))
    if isinstance(error, MqttCodeError):
        return _coded(error)
    return _unanswered(error)


def _unanswered(error: BaseException) -> Trouble | None:
    if isinstance(error, socket.gaierror):
        return Trouble(Condition.UNREACHABLE, f"the broker's name is not known: {error.strerror}")
    if isinstance(error, ConnectionRefusedError):
        return Trouble(Condition.UNREACHABLE, "nothing listens at the broker's address")
    if isinstance(error, TimeoutError):
        return Trouble(Condition.UNREACHABLE, "the broker does not answer")
    if isinstance(error, ConnectionError):
        return Trouble(Condition.LOST, f"the connection broke: {(error.strerror or str(error)).lower()}")
    return None


def _broken_tls(name: str) -> Trouble:
    for part, condition, words in _ALERTS:
        if part in name.upper():
            return Trouble(condition, words)
    return Trouble(Condition.REFUSED, f"TLS failed: {name.lower().replace('_', ' ')}")


def _unverified(error: ssl.SSLCertVerificationError) -> Trouble:
    if error.verify_code in X509_HOST:
        return Trouble(Condition.HOST_NAME, "the broker's certificate is for another host name")
    if error.verify_code == X509_EXPIRED:
        return Trouble(Condition.CERTIFICATE_EXPIRED, "the broker's certificate has expired, or our clock is wrong")
    if error.verify_code == X509_NOT_YET:
        return Trouble(
            Condition.CERTIFICATE_EXPIRED, "the broker's certificate is not valid yet, or our clock is wrong"
        )
    return Trouble(Condition.WRONG_CA, f"the broker's certificate is not of our authority: {error.verify_message}")


def _coded(error: MqttCodeError) -> Trouble | None:
    if not isinstance(error.rc, ReasonCode):
        return None
    if error.rc.value == TAKEN_OVER:
        return Trouble(Condition.TAKEN_OVER, "another client connected with the same client id")
    if error.rc.value == UNSPECIFIED and not isinstance(error, MqttConnectError):
        return Trouble(Condition.HUNG_UP, "the broker hung up without a word: it was stopped, or it gave up on us")
    words = str(error.rc).lower()
    if isinstance(error, MqttConnectError):
        return Trouble(Condition.REFUSED, f"the broker refuses the connection: {words}")
    return Trouble(Condition.LOST, f"the connection broke: {words}")


class Takeovers:
    """How often the client id was taken away lately, by the monotonic clock.

    A broker that hangs up and takes us back at the next attempt counts like one that names the takeover.
    """

    def __init__(self) -> None:
        self._at_s: deque[float] = deque(maxlen=TAKEOVERS_PER_MINUTE + 1)
        self.contested = False

    def happened(self, now_s: float) -> None:
        self._at_s.append(now_s)
        if len(self._at_s) > TAKEOVERS_PER_MINUTE and now_s - self._at_s[0] <= MINUTE_S:
            self.contested = True

    def over(self, lasted_s: float) -> bool:
        """Whether nobody contests the client id any more, now that a connection has lasted so long."""
        if lasted_s >= MINUTE_S:
            self.contested = False
            self._at_s.clear()
        return not self.contested
