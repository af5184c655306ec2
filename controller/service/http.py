"""Metrics, health and the site's present state over HTTP, on this machine only: read-only, bounded, in threads."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

WORKERS: Final = 8
"""Requests served at once; more are turned away."""
SOCKET_TIMEOUT_S: Final = 5.0
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json"

Answer = tuple[str, str, bytes]
Pages = dict[str, Callable[[], dict[str, Any]]]
"""Path -> what it tells, as JSON."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """One thread per request, at most ``WORKERS``."""

    daemon_threads = True
    request_queue_size = 16
    free = threading.BoundedSemaphore(WORKERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()


class _Handler(WSGIRequestHandler):
    """Gives up on clients that do not finish their request; writes no access log."""

    timeout = SOCKET_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Nothing: a scrape every few seconds is no news."""


class HttpServer:
    """Serves until ``close``. ``port`` is the real one."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, pages: Pages) -> None:
        self._registry = registry
        self._pages = pages
        self._server = make_server(host, port, self._respond, server_class=_Server, handler_class=_Handler)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SOCKET_TIMEOUT_S)

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
