"""The enrolment service on the network: HTTPS of the authority's own making, three paths, bounded everywhere."""

from __future__ import annotations

import json
import logging
import math
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import timedelta
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final
from wsgiref.types import StartResponse, WSGIEnvironment

from cryptography import x509

from interfaces.domain.codec import CodecError
from interfaces.domain.codec_json import from_json, to_json
from interfaces.domain.enrolment import (
    AUTHORITY_PATH,
    ENROL_PATH,
    MAX_REQUEST_BYTES,
    RENEW_PATH,
    SENTENCES,
    Denied,
    Enrolled,
    EnrolRequest,
    RenewRequest,
    Why,
)
from interfaces.drivers import pki
from interfaces.errors import UserError
from interfaces.web.server import PEER_CERTIFICATE
from optimizer.service.enrolment import Desk

log = logging.getLogger(__name__)

SERVER: Final = "enrolment"
"""The service's certificate in the folder of the keys."""
LOOK_EVERY: Final = timedelta(hours=1)
"""How often the service looks whether its own certificate needs renewing."""
BURST: Final = 20
"""Attempts one address may make at once; a site with several boxes shares one."""
REFILL_S: Final = 10.0
"""After this one more."""
MAX_ADDRESSES: Final = 10_000
MAX_DIGITS: Final = 9
"""Of a length; Python refuses to read thousands of them, which would be logged as a fault."""
IPV6_SITE_BITS: Final = 64
"""One customer of a provider has at least a /64; each address of it is nobody of his own."""
STATUS: Final = {
    Why.MALFORMED: HTTPStatus.BAD_REQUEST,
    Why.BUSY: HTTPStatus.TOO_MANY_REQUESTS,
    Why.BROKEN: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Everything else is 403."""

Reply = tuple[HTTPStatus, str, bytes]


class Pace:
    """How often an address may ask. ``now_s`` is monotonic."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._free_from_s: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """0 when it may ask now, which counts as asked; else how long it has to wait."""
        place = _place(address)
        with self._lock:
            now_s = self._now_s()
            # The time at which everything asked so far would be refilled: at most BURST ahead of now.
            full_s = max(self._free_from_s.pop(place, now_s), now_s)
            ahead_s = full_s - now_s
            if ahead_s > (BURST - 1) * REFILL_S:
                self._free_from_s[place] = full_s
                return ahead_s - (BURST - 1) * REFILL_S
            self._free_from_s[place] = full_s + REFILL_S
            if len(self._free_from_s) > MAX_ADDRESSES:
                self._free_from_s.popitem(last=False)
            return 0.0


def _place(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, IPV6_SITE_BITS), strict=False))


class EnrolmentApp:
    """The WSGI application."""

    def __init__(self, desk: Desk, pace: Pace) -> None:
        self._desk = desk
        self._pace = pace

    def __call__(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._reply(environment)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        if status is HTTPStatus.TOO_MANY_REQUESTS:
            headers.append(("Retry-After", str(math.ceil(REFILL_S))))
        start(f"{status.value} {status.phrase}", headers)
        return [body]

    def _reply(self, environment: WSGIEnvironment) -> Reply:
        method, path = str(environment.get("REQUEST_METHOD")), str(environment.get("PATH_INFO"))
        address = str(environment.get("REMOTE_ADDR", ""))
        try:
            if (method, path) == ("GET", AUTHORITY_PATH):
                return HTTPStatus.OK, "application/x-pem-file", self._desk.authority()
            if method != "POST" or path not in {ENROL_PATH, RENEW_PATH}:
                return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"there is nothing here\n"
            return _json(self._decide(environment, path, address))
        except Exception:  # the one catcher of this loop: a full disk, a folder without an authority, a bug
            log.exception("enrolment kind=broken address=%s", address)
            return _json(Why.BROKEN)

    def _decide(self, environment: WSGIEnvironment, path: str, address: str) -> Enrolled | Why:
        if self._pace.wait_s(address) > 0:
            return Why.BUSY
        body = _body(environment)
        if body is None:
            return Why.MALFORMED
        if path == ENROL_PATH:
            first = from_json(body, EnrolRequest, max_bytes=MAX_REQUEST_BYTES)
            return Why.MALFORMED if isinstance(first, CodecError) else self._desk.enrol(first, address)
        next_one = from_json(body, RenewRequest, max_bytes=MAX_REQUEST_BYTES)
        shown = environment.get(PEER_CERTIFICATE)
        certificate = None if shown is None else x509.load_der_x509_certificate(shown)
        return Why.MALFORMED if isinstance(next_one, CodecError) else self._desk.renew(next_one, certificate, address)


def _body(environment: WSGIEnvironment) -> bytes | None:
    text = str(environment.get("CONTENT_LENGTH") or "")
    if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS or int(text) > MAX_REQUEST_BYTES:
        return None
    found: bytes = environment["wsgi.input"].read(int(text))
    return found


def _json(answer: Enrolled | Why) -> Reply:
    if isinstance(answer, Enrolled):
        return HTTPStatus.OK, "application/json", to_json(answer).encode()
    denied = Denied(answer.value, SENTENCES[answer])
    return (
        STATUS.get(answer, HTTPStatus.FORBIDDEN),
        "application/json",
        json.dumps({"why": denied.why, "text": denied.text}).encode(),
    )


class ServerTls:
    """TLS of the service: its own certificate, which it makes and renews itself; clients may show theirs.

    Raises:
        UserError: the authority's files cannot be used.
    """

    def __init__(self, keys: Path, hosts: tuple[str, ...]) -> None:
        self._keys = keys
        self._hosts = hosts
        self._lock = threading.Lock()
        self._made = pki.utc_now()
        self._context = self._make()

    def __call__(self) -> ssl.SSLContext:
        """The context for one more connection."""
        with self._lock:
            now = pki.utc_now()
            if abs(now - self._made) > LOOK_EVERY:
                self._made = now
                try:
                    self._context = self._make()
                except (OSError, UserError):
                    log.exception("enrolment kind=certificate_not_renewed")
            return self._context

    def _make(self) -> ssl.SSLContext:
        pki.server_pair(self._keys, SERVER, self._hosts, pki.utc_now())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._keys / f"{SERVER}.crt", self._keys / f"{SERVER}.key")
        context.load_verify_locations(self._keys / "ca.crt")
        # A first enrolment has no certificate yet. Revocation is judged by the desk, from the list as it is now.
        context.verify_mode = ssl.CERT_OPTIONAL
        return context
