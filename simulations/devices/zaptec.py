"""Zaptec's service on this machine: the same paths and bodies over HTTP, one account, and everything that can go wrong.

Written from the maker's public description and not from our reader. It keeps what it was asked and set; time is its
owner's, so that a test moves it.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

LOCALHOST: Final = "127.0.0.1"
TOKEN_LIFETIME_S: Final = 86_399
DISCONNECTED, REQUESTING, CHARGING, FINISHED = 1, 2, 3, 5
MIN_A: Final = 6.0


@dataclass(slots=True)
class Box:
    """One charger. ``offline_a``: what it may use without internet; ``max_a`` its nameplate."""

    id: str
    mode: int = DISCONNECTED
    online: bool = True
    set_a: float = 0.0
    offline_a: float = 16.0
    max_a: float = 32.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One answer that is none: a status, a body and headers; ``hangs``: no answer at all until the service closes."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    hangs: bool = False
    done_all_the_same: bool = False


@dataclass(slots=True)
class CloudState:
    """One installation. ``delay_s``: from a change to the chargers; ``trouble``: the next answers, first come first;
    ``broken``: every answer while it is set.
    """

    installation_id: str
    boxes: list[Box]
    max_a: float = 32.0
    available_a: list[float] = field(default_factory=lambda: [32.0, 32.0, 32.0])
    username: str = "owner@example.org"
    password: str = "correct horse"  # noqa: S105  of nobody
    delay_s: float = 10.0
    trouble: deque[Trouble] = field(default_factory=deque)
    broken: Trouble | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    updates: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    logins: int = 0


class VirtualZaptec:
    """The server. ``clock``: simulated or real seconds. Use as a context."""

    def __init__(self, state: CloudState, clock: Callable[[], float]) -> None:
        self.state, self.clock = state, clock
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._first_a = min(state.available_a)
        self._server = ThreadingHTTPServer((LOCALHOST, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOCALHOST}:{self._server.server_address[1]}"

    def __enter__(self) -> VirtualZaptec:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    # ---- what the maker's side does

    def in_force_a(self) -> float:
        """What the chargers obey: the newest value that had time to reach them, or their own while they are offline."""
        state, now_s = self.state, self.clock()
        if not all(box.online for box in state.boxes):
            return max(box.offline_a for box in state.boxes)
        arrived = [min(_phases(body)) for at_s, body in state.updates if now_s - at_s >= state.delay_s]
        if arrived:
            return arrived[-1]
        return self._first_a if state.updates else min(state.available_a)

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911
        """Status and JSON of one request."""
        state = self.state
        if path == "/oauth/token":
            return self._login({name: values[0] for name, values in parse_qs(body.decode()).items()})
        if self.clock() >= state.tokens.get(token, float("-inf")):
            return 401, {"Message": "Authorization has been denied for this request."}
        match (method, path.removeprefix("/api/").split("/")):
            case ("GET", ["installation", name]) if name == state.installation_id:
                return 200, self._installation()
            case ("GET", ["installation", name, "hierarchy"]) if name == state.installation_id:
                chargers = [{"Id": box.id, "Name": box.id[:4], "IsActive": True} for box in state.boxes]
                return 200, {"Id": name, "Circuits": [{"Id": "c", "MaxCurrent": state.max_a, "Chargers": chargers}]}
            case ("POST", ["installation", name, "update"]) if name == state.installation_id:
                return self._update(json.loads(body))
            case ("GET", ["chargers", name, "state"]):
                found = next((box for box in state.boxes if box.id == name), None)
                return (404, {}) if found is None else (200, self._states(found))
        return 404, {}

    def _login(self, form: dict[str, str]) -> tuple[int, Any]:
        state = self.state
        right = form.get("grant_type") == "password" and form.get("scope") == "openid"
        if not right or (form.get("username"), form.get("password")) != (state.username, state.password):
            return 400, {"error": "invalid_grant"}
        state.logins += 1
        token = f"token-{state.logins}"
        state.tokens[token] = self.clock() + TOKEN_LIFETIME_S
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_S}

    def _installation(self) -> dict[str, Any]:
        phases = {f"AvailableCurrentPhase{n}": value for n, value in enumerate(self.state.available_a, 1)}
        now = {"MaxCurrent": self.state.max_a, "AvailableCurrent": min(self.state.available_a), **phases}
        return {"Id": self.state.installation_id, "Name": "Garage", "NetworkType": 4, "Active": True, **now}

    def _update(self, body: dict[str, Any]) -> tuple[int, Any]:
        state = self.state
        phases = _phases(body)
        if len(phases) != 3 or not all(0 <= one <= state.max_a for one in phases):
            return 400, {"Code": 500, "Details": "AvailableCurrent out of range"}
        if not state.updates:
            self._first_a = min(state.available_a)
        state.available_a = phases
        state.updates.append((self.clock(), body))
        return 200, {}

    def _states(self, box: Box) -> list[dict[str, Any]]:
        if box.mode == CHARGING:
            allotted = min(self.in_force_a(), box.max_a)
            box.set_a = allotted if allotted >= MIN_A else 0.0
        told = {-2: int(box.online), 507: "0.021", 523: f"{box.offline_a:.3f}", 708: f"{box.set_a:.3f}", 710: box.mode}
        stamp = "2026-11-21T10:15:30.123"
        return [
            {"ChargerId": box.id, "StateId": number, "Timestamp": stamp, "ValueAsString": str(value)}
            for number, value in told.items()
        ]


def _phases(body: dict[str, Any]) -> list[float]:
    if "availableCurrent" in body:
        return [float(body["availableCurrent"])] * 3
    return [float(body[key]) for key in (f"availableCurrentPhase{n}" for n in (1, 2, 3)) if key in body]


def _handler(cloud: VirtualZaptec) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def _serve(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            with cloud.lock:
                cloud.state.asked.append((method, self.path))
                trouble = cloud.state.trouble.popleft() if cloud.state.trouble else cloud.state.broken
                done = trouble is None or trouble.done_all_the_same
                status, content = cloud.answer(method, self.path, token, body) if done else (0, {})
            if trouble is None:
                self._reply(status, json.dumps(content).encode(), (("Content-Type", "application/json"),))
            elif trouble.hangs:
                cloud.closing.wait(60)
                self.close_connection = True
            else:
                self._reply(trouble.status, trouble.body, trouble.headers)

        def _reply(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...]) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
