"""One GET over HTTP: bounded in time, size and redirects; what goes wrong is a value in words without any secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import requests

from interfaces.sources.port import MAX_BODY_BYTES, Request

CONNECT_S: Final = 5.0
READ_S: Final = 20.0
"""Longest silence within an answer."""
TOTAL_S: Final = 60.0
"""Longest whole answer: a source that trickles is one that is down."""
MAX_REDIRECTS: Final = 3
CHUNK_BYTES: Final = 65_536
USER_AGENT: Final = "stroomwacht"
AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""States that may pass (RFC 9110; 425: RFC 8470; 429: RFC 6585)."""
BROKEN_OFF: Final = (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. ``again``: it may be better later, after ``wait_s`` where the server says so.

    ``body``: what came with a refusal; it may say why.
    """

    reason: str
    again: bool
    wait_s: float | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Monotonic and UTC time, and sleeping."""

    now_s: Callable[[], float]
    epoch_s: Callable[[], float]
    sleep: Callable[[float], None]


def new_session() -> requests.Session:
    """A session with our bounds."""
    session = requests.Session()
    session.max_redirects = MAX_REDIRECTS
    session.headers["User-Agent"] = USER_AGENT
    return session


def get(session: requests.Session, request: Request, clocks: Clocks) -> bytes | Failure:
    """The body of a good answer, or what happened instead."""
    try:
        with session.get(
            request.url, params=[*request.params, *request.secret], timeout=(CONNECT_S, READ_S), stream=True
        ) as response:
            body = _body(response, clocks)
            if isinstance(body, Failure) or response.ok:
                return body
            wait_s = _retry_after_s(response.headers.get("Retry-After", ""), clocks.epoch_s())
            return Failure(f"it answers HTTP {response.status_code}", response.status_code in AGAIN, wait_s, body)
    except (requests.RequestException, ValueError) as error:
        return _failure(error)


def _failure(error: Exception) -> Failure:
    """What an exception means; its own text is not used, it holds the address with its secrets."""
    for kinds, reason, again in (
        ((requests.TooManyRedirects,), "it redirects without end", False),
        ((requests.Timeout,), "it does not answer in time", True),
        ((requests.exceptions.SSLError,), "its certificate cannot be trusted", False),
        (BROKEN_OFF, "its answer breaks off", True),
        ((requests.ConnectionError,), "it cannot be reached", True),
    ):
        if isinstance(error, kinds):
            return Failure(reason, again)
    return Failure("it answers nothing that is HTTP", again=False)


def _body(response: requests.Response, clocks: Clocks) -> bytes | Failure:
    end_s = clocks.now_s() + TOTAL_S
    found = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            return Failure(f"its answer is larger than {MAX_BODY_BYTES // 1_000_000} MB", again=False)
        if clocks.now_s() > end_s:
            return Failure("it does not answer in time", again=True)
    return bytes(found)


def _retry_after_s(text: str, epoch_s: float) -> float | None:
    """RFC 9110 section 10.2.3: seconds or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - epoch_s)
    except (ValueError, OverflowError):
        return None
