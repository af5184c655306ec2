"""Metrics, health and the site's present state over HTTP, on this machine only: read-only, bounded, in threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from interfaces.web.server import WebServer

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"

Answer = tuple[str, str, bytes]
Pages = dict[str, Callable[[], dict[str, Any]]]
"""Path -> what it tells, as JSON."""


class HttpServer:
    """Serves until ``close``. ``port`` is the real one."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, pages: Pages) -> None:
        self._registry = registry
        self._pages = pages
        self._server = WebServer(host, port, self._respond, name="http")
        self.port: int = self._server.port

    def close(self) -> None:
        self._server.close()

    def _respond(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._answer(str(environment.get("REQUEST_METHOD")), str(environment.get("PATH_INFO")))
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [body]

    def _answer(self, method: str, path: str) -> Answer:
        if method != "GET":
            return "405 Method Not Allowed", TEXT, b"only GET\n"
        if path == "/metrics":
            return "200 OK", TEXT, generate_latest(self._registry)
        page = self._pages.get(path)
        if page is None:
            names = ", ".join(["/metrics", *self._pages])
            return "404 Not Found", TEXT, f"there is {names}\n".encode()
        found = page()
        status = "200 OK" if found.get("ok", True) else "503 Service Unavailable"
        return status, JSON, json.dumps(found, allow_nan=False).encode() + b"\n"
