"""Zaptec's public REST interface over HTTPS: one account, one request at a time, every failure a value with its reason.

Source: docs.zaptec.com, API usage guidelines, API rate limiting and API fair use policy; api.zaptec.com/swagger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import requests

from interfaces.domain.units import NEVER_S
from interfaces.drivers.clock import Clock
from interfaces.drivers.zaptec_bodies import (
    ChargerSeen,
    Installation,
    Token,
    Unreadable,
    chargers_of,
    installation_of,
    seen_of,
    token_of,
)

T = TypeVar("T")

SERVICE: Final = "https://api.zaptec.com"
SPACING_S: Final = 0.2
"""Between two requests: half of the 10 requests a second one account may make (API rate limiting)."""
CONNECT_TIMEOUT_S: Final = 5.0
SILENT_TIMEOUT_S: Final = 10.0
WHOLE_TIMEOUT_S: Final = 15.0
"""A request is given up after this, however slowly it still brings bytes."""
MOST_BYTES: Final = 1_000_000
CHUNK_BYTES: Final = 16_384
RENEW_BEFORE_S: Final = 300.0
"""A token is good for about a day; the service gives no refresh token any more, so that it is asked for anew."""
OK: Final = 200
UNAUTHORISED: Final = 401
REASONS: Final[Mapping[int, str]] = {
    400: "the service refuses the request",
    401: "the service does not accept the token",
    403: "the account may not do this: it needs the role of owner or service on the installation",
    404: "the service does not know this installation or charger",
    429: "too many requests: the service asks to wait",
}


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a request gave nothing. ``refused``: the service surely did not do it. ``wait_s``: what it asks to wait."""

    reason: str
    refused: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks. The words never show up in a text."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Status and body; the service may say how long to wait."""

    status: int
    body: bytes
    wait_s: float


class ZaptecApi:
    """The requests the driver makes. ``pause`` waits, for the rate; only one thread may use an object."""

    def __init__(self, account: Account, clock: Clock, pause: Callable[[float], None], url: str = SERVICE) -> None:
        self.requests = 0
        self._account, self._clock, self._pause, self._url = account, clock, pause, url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would replace the token
        self._token: Token | None = None
        self._token_s = NEVER_S
        self._last_s = NEVER_S

    def installation(self, installation_id: str) -> Installation | Failed:
        """What the installation may use at most, and now."""
        body = self._asked("GET", f"/api/installation/{installation_id}")
        return body if isinstance(body, Failed) else _read(installation_of(body, installation_id))

    def chargers(self, installation_id: str) -> tuple[str, ...] | Failed:
        """Ids of its chargers."""
        body = self._asked("GET", f"/api/installation/{installation_id}/hierarchy")
        return body if isinstance(body, Failed) else _read(chargers_of(body))

    def seen(self, charger_id: str) -> ChargerSeen | Failed:
        """One charger's state."""
        body = self._asked("GET", f"/api/chargers/{charger_id}/state")
        return body if isinstance(body, Failed) else _read(seen_of(body))

    def set_available(self, installation_id: str, current_a: int) -> Failed | None:
        """Set the current of all phases of the installation."""
        content = {f"availableCurrentPhase{n}": current_a for n in (1, 2, 3)}
        body = self._asked("POST", f"/api/installation/{installation_id}/update", json=content)
        return body if isinstance(body, Failed) else None

    def close(self) -> None:
        """Let the connection go."""
        self._session.close()

    # ---- requests

    def _asked(self, method: str, path: str, **content: Any) -> bytes | Failed:
        """The body of an answer. A token that is not accepted is asked for anew, once."""
        answer = self._authorised(method, path, **content)
        if isinstance(answer, _Answer) and answer.status == UNAUTHORISED:
            self._token = None
            answer = self._authorised(method, path, **content)
        if isinstance(answer, Failed):
            return answer
        return answer.body if answer.status == OK else _refusal(answer)

    def _authorised(self, method: str, path: str, **content: Any) -> _Answer | Failed:
        token = self._valid_token()
        if isinstance(token, Failed):
            return token
        return self._sent(method, path, headers={"Authorization": f"Bearer {token.text}"}, **content)

    def _valid_token(self) -> Token | Failed:
        now_s = self._clock()
        if self._token is not None and now_s < self._token_s + self._token.lifetime_s - RENEW_BEFORE_S:
            return self._token
        who = {"username": self._account.username, "password": self._account.password}
        answer = self._sent("POST", "/oauth/token", data={"grant_type": "password", "scope": "openid", **who})
        if isinstance(answer, Failed):
            return Failed(f"no token: {answer.reason}", refused=True)
        if answer.status in (400, 401):
            return Failed("no token: the service does not know this user name and password", refused=True)
        if answer.status != OK:
            failed = _refusal(answer)
            return Failed(f"no token: {failed.reason}", refused=True, wait_s=failed.wait_s)
        token = token_of(answer.body)
        if isinstance(token, Unreadable):
            return Failed(f"no token: {token.reason} in the answer", refused=True)
        # One that lives shorter than the reserve is used once.
        self._token, self._token_s = token, now_s
        return token

    def _sent(self, method: str, path: str, **content: Any) -> _Answer | Failed:
        """One request. What went wrong with the line is a value; never redirected, so that nobody else is told."""
        self._pause(max(0.0, self._last_s + SPACING_S - self._clock()))
        self._last_s = self._clock()
        self.requests += 1
        try:
            with self._session.request(
                method,
                self._url + path,
                timeout=(CONNECT_TIMEOUT_S, SILENT_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
                **content,
            ) as reply:
                return self._whole(reply, self._last_s)
        except requests.exceptions.ConnectTimeout:
            return Failed("the service is not reached", refused=True)
        except requests.exceptions.SSLError:
            return Failed("the certificate of the service is not valid", refused=True)
        except requests.exceptions.Timeout:
            return Failed(f"no answer within {SILENT_TIMEOUT_S:g} s")
        except requests.exceptions.RequestException as error:
            # Which of its many forms it is depends on the moment the line broke.
            return Failed(f"the line to the service broke ({type(error).__name__})")

    def _whole(self, reply: requests.Response, begun_s: float) -> _Answer | Failed:
        """The answer, bounded in time and size."""
        body = bytearray()
        for chunk in reply.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > MOST_BYTES:
                return Failed(f"an answer of more than {MOST_BYTES} bytes")
            if self._clock() - begun_s > WHOLE_TIMEOUT_S:
                return Failed(f"no whole answer within {WHOLE_TIMEOUT_S:g} s")
        return _Answer(reply.status_code, bytes(body), _wait_s(reply.headers.get("Retry-After", "")))


def _refusal(answer: _Answer) -> Failed:
    """An answer that is none. After an error of the server nobody knows whether it did what it was asked."""
    reason = REASONS.get(answer.status, f"the service answers with status {answer.status}")
    return Failed(reason, refused=answer.status in REASONS, wait_s=answer.wait_s)


def _read(found: T | Unreadable) -> T | Failed:
    return Failed(f"the answer cannot be read: {found.reason}") if isinstance(found, Unreadable) else found


def _wait_s(text: str) -> float:
    """Seconds of a Retry-After header; 0 where there is none or it is a date."""
    return min(float(text), 3600.0) if text.isdecimal() else 0.0
