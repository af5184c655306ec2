"""A controller asks the enrolment service, over HTTPS that believes one authority and no other.

The authority's certificate is fetched first, over a connection that proves nothing, and believed only when its
fingerprint is the one inside the activation code (as RFC 7030 section 4.1.1 does it). Nothing of ours is sent before.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from interfaces.domain.activation import ActivationCode
from interfaces.domain.codec import CodecError
from interfaces.domain.codec_json import from_json, to_json
from interfaces.domain.enrolment import (
    AUTHORITY_PATH,
    LATER,
    MAX_ANSWER_BYTES,
    SENTENCES,
    Denied,
    Enrolled,
    EnrolRequest,
    RenewRequest,
    Why,
)
from interfaces.drivers import pki

TIMEOUT_S: Final = 20.0
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL's x509_vfy.h."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where the enrolment service is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer that helps; ``final``: asking again with the same code would not."""

    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Our present certificate and its key (PEM files), to show."""

    cert_file: Path
    key_file: Path


def fetch_authority(service: Service, code: ActivationCode, clock: Callable[[], float]) -> str | Trouble:
    """The certificate (PEM) of the authority that the code speaks of. ``clock`` is UTC."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Who answers is proven by the fingerprint of what he sends, which anybody may know.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    found = _exchange(service, context, "GET", AUTHORITY_PATH, b"", clock)
    if isinstance(found, Trouble):
        return found
    status, body = found
    try:
        certificate = x509.load_pem_x509_certificate(body)
        text = body.decode("ascii")
    except ValueError:
        return Trouble(f"{service} is no enrolment service (it answers with status {status})")
    if not code.fits(pki.fingerprint(certificate)):
        return Trouble(f"{service} is not the service this code is for, or somebody stands in between")
    now = _utc(clock)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return _clock_trouble(service, now)
    return text


def ask(
    service: Service,
    path: str,
    question: EnrolRequest | RenewRequest,
    authority: str,
    shown: Pair | None,
    clock: Callable[[], float],
) -> Enrolled | Trouble:
    """One question to the service that the authority vouches for."""
    context = ssl.create_default_context(cadata=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if shown is not None:
        try:
            context.load_cert_chain(shown.cert_file, shown.key_file)
        except OSError as error:
            return Trouble(f"our certificate cannot be used: {error.strerror or error}")
    found = _exchange(service, context, "POST", path, to_json(question).encode(), clock)
    if isinstance(found, Trouble):
        return found
    status, body = found
    if status == http.client.OK:
        answer = from_json(body, Enrolled, max_bytes=MAX_ANSWER_BYTES)
        return (
            Trouble(f"{service} answers what we do not understand: {answer}")
            if isinstance(answer, CodecError)
            else answer
        )
    return _denied(service, status, body)


def _denied(service: Service, status: int, body: bytes) -> Trouble:
    answer = from_json(body, Denied, max_bytes=MAX_ANSWER_BYTES)
    if isinstance(answer, CodecError) or answer.why not in set(Why):
        return Trouble(f"{service} answers with status {status}")
    why = Why(answer.why)
    return Trouble(SENTENCES[why], final=why not in LATER)


def _exchange(
    service: Service, context: ssl.SSLContext, method: str, path: str, body: bytes, clock: Callable[[], float]
) -> tuple[int, bytes] | Trouble:
    connection = http.client.HTTPSConnection(service.host, service.port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in {_NOT_YET_VALID, _EXPIRED}:
            return _clock_trouble(service, _utc(clock))
        return Trouble(f"{service} is not believed: {error.verify_message}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = (str(getattr(error, "strerror", None) or ""), str(error), type(error).__name__)
        return Trouble(f"{service} does not answer: {next(word for word in words if word)}")
    finally:
        connection.close()
    return answer.status, content


def _clock_trouble(service: Service, now: datetime) -> Trouble:
    return Trouble(
        f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, when the certificate of {service} is not valid: "
        f"set the clock or connect a time server; it is tried again"
    )


def _utc(clock: Callable[[], float]) -> datetime:
    return datetime.fromtimestamp(clock(), UTC)
