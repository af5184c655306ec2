"""What a box and the enrolment service say to each other: JSON over HTTPS, one question and one answer.

``GET /v1/authority`` gives the authority's certificate (PEM) to whoever asks; the asker compares its fingerprint.
``POST /v1/enrol`` takes ``EnrolRequest``. ``POST /v1/renew`` takes ``RenewRequest`` on a connection with the present
certificate. Both answer ``Enrolled``, or ``Denied`` with a status of 400 and above. PEM texts end with a line break.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from interfaces.domain.site_types import ID_PATTERN
from interfaces.domain.wire_topics import CONTROLLER_PATTERN

SERIAL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{2,38})[A-Za-z0-9]")
"""What stands on a type plate: 4 to 40 letters, digits and hyphens. It is no secret."""
HOST: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?")
"""A host name, an IPv4 or an IPv6 address."""
NAME: Final = re.compile(CONTROLLER_PATTERN)
"""Of a controller, which stands in topics and in its certificate."""
_ID: Final = re.compile(ID_PATTERN)
PORTS: Final = range(1, 65536)
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024
AUTHORITY_PATH: Final = "/v1/authority"
ENROL_PATH: Final = "/v1/enrol"
RENEW_PATH: Final = "/v1/renew"


class Why(StrEnum):
    """Why there is no certificate. All but ``WRONG`` and ``BUSY`` are told only to who has the right code."""

    WRONG = "wrong"
    EXPIRED = "expired"
    USED = "used"
    BLOCKED = "blocked"
    BUSY = "busy"
    MALFORMED = "malformed"
    NO_CERTIFICATE = "no_certificate"
    REVOKED = "revoked"
    EARLY = "early"
    BROKEN = "broken"


SENTENCES: Final[dict[Why, str]] = {
    Why.WRONG: "the serial number or the activation code is not right",
    Why.EXPIRED: "the activation code has expired: ask for a new one",
    Why.USED: "the activation code was used by another device: ask for a new one",
    Why.BLOCKED: "the activation code was tried wrongly too often: ask for a new one",
    Why.BUSY: "too many attempts, try again later",
    Why.MALFORMED: "the request is damaged",
    Why.NO_CERTIFICATE: "the certificate of this device is not known here: ask for an activation code",
    Why.REVOKED: "the certificate of this device is revoked: ask for an activation code",
    Why.EARLY: "the certificate of this device is good for long yet",
    Why.BROKEN: "the enrolment service has a fault, its log says more",
}
LATER: Final = frozenset({Why.BUSY, Why.BROKEN})
"""Answers after which the same question may succeed later."""


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """``secret``: the code's, in hexadecimal. ``request``: a certificate request in PEM of any subject."""

    serial: str
    secret: str
    request: str


@dataclass(frozen=True, slots=True)
class RenewRequest:
    """``request``: a certificate request in PEM for a new key."""

    request: str


@dataclass(frozen=True, slots=True)
class Denied:
    """No certificate, and why in a word and a sentence."""

    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Everything a box needs. ``certificate``, ``authority``, ``signing_keys`` are PEM; ``server_epoch_s`` is the
    service's clock (UTC), for a box whose own is wrong.
    """

    controller: str
    organisation: str
    site: str
    certificate: str
    authority: str
    signing_keys: str
    broker_host: str
    broker_port: int
    server_epoch_s: float


def is_serial(text: str) -> bool:
    """Whether a text can be a serial number."""
    return SERIAL.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether a text can name an organisation or a site, which stand in topics."""
    return _ID.fullmatch(text) is not None


def fault_of(answer: Enrolled) -> str | None:
    """What is wrong with the plain fields of an answer; certificates are judged by who knows TLS."""
    if NAME.fullmatch(answer.controller) is None:
        return f"'{answer.controller[:80]}' is no name for a controller"
    for what, text in (("an organisation", answer.organisation), ("a site", answer.site)):
        if not is_id(text):
            return f"'{text[:80]}' is no name for {what}"
    if HOST.fullmatch(answer.broker_host) is None:
        return "the broker's host is none"
    return None if answer.broker_port in PORTS else "the broker's port is none"
