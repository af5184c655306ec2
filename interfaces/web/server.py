"""A small WSGI server for pages and calls of ours: threads, bounded, with or without TLS.

Requests beyond ``WORKERS`` at once are turned away, a client that is slow in its handshake or its request is given up.
A handshake happens in the request's own thread, so that nobody holds up the others.
"""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Callable
from socket import AF_INET6, SHUT_RDWR, socket
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication, WSGIEnvironment

WORKERS: Final = 8
SOCKET_TIMEOUT_S: Final = 5.0
"""For each read and write."""
REQUEST_MAX_S: Final = 30.0
"""For all of a request, so that a byte every few seconds does not hold a thread for ever."""
CLOSE_S: Final = 0.1
"""How soon a server notices that it shall close."""
PEER_CERTIFICATE: Final = "stroomwacht.peer_certificate"
"""In the environment of a request over TLS: the client's certificate (DER), verified, or None."""

TlsContext = Callable[[], ssl.SSLContext]
"""The context for one connection; asked each time, so that renewed files are taken up."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """One thread per request, at most ``WORKERS``."""

    daemon_threads = True
    request_queue_size = 64
    tls: TlsContext | None = None

    def __init__(self, address: tuple[str, int]) -> None:
        self.free = threading.BoundedSemaphore(WORKERS)
        if ":" in address[0]:
            self.address_family = AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        # Without asking name servers who we are, as the library would.
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(SOCKET_TIMEOUT_S)
            wrapped = self._wrapped(request)
            end = threading.Timer(REQUEST_MAX_S, _hang_up, (wrapped,))
            end.start()
            try:
                if self._shaken(wrapped):
                    super().process_request_thread(wrapped, client_address)
            finally:
                end.cancel()
        finally:
            self.free.release()

    def _wrapped(self, request: socket) -> socket:
        if self.tls is None:
            return request
        return self.tls().wrap_socket(request, server_side=True, do_handshake_on_connect=False)

    def _shaken(self, request: socket) -> bool:
        """Whether the client can go on: over TLS once the handshake is done."""
        if not isinstance(request, ssl.SSLSocket):
            return True
        try:
            request.do_handshake()
        except OSError:  # a scanner, a client without a certificate of ours, a port check
            self.shutdown_request(request)
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news; a fault of an application is caught and logged by ``wsgiref``."""


def _hang_up(request: socket) -> None:
    with contextlib.suppress(OSError):
        socket.shutdown(request, SHUT_RDWR)  # of the plain socket: TLS must not be waited for


class _Handler(WSGIRequestHandler):
    """Gives up on clients that do not finish their request; writes no access log."""

    timeout = SOCKET_TIMEOUT_S

    def get_environ(self) -> WSGIEnvironment:
        environment = super().get_environ()
        if isinstance(self.connection, ssl.SSLSocket):
            environment[PEER_CERTIFICATE] = self.connection.getpeercert(binary_form=True)
            environment["wsgi.url_scheme"] = "https"
        return environment

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Nothing: a scrape every few seconds is no news."""


class WebServer:
    """Serves ``app`` until ``close``. ``port`` is the real one.

    Raises:
        OSError: the address cannot be served.
    """

    def __init__(self, host: str, port: int, app: WSGIApplication, *, name: str, tls: TlsContext | None = None) -> None:
        self._server = _Server((host, port))
        self._server.tls = tls
        self._server.set_app(app)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(CLOSE_S,), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(SOCKET_TIMEOUT_S)
