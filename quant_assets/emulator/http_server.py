"""Serve HTTP on loopback, with responses that can be cut or dropped on purpose."""

from __future__ import annotations

import socket
import socketserver
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any, Protocol

from quant_assets.emulator.api import RequestError, Response

MAX_BODY_BYTES = 1 << 20
"""The largest body of a POST request."""


class RequestHandler(Protocol):
    """One request, and the methods to respond to it."""

    @property
    def target(self) -> str: ...  # noqa: D102 - path and query as received

    @property
    def method(self) -> str: ...  # noqa: D102 - GET, or POST where the server accepts it

    @property
    def body(self) -> bytes: ...  # noqa: D102 - of a POST request

    def header(self, name: str) -> str | None:
        """Return a header of the request."""

    def send(self, response: Response, *, cut: bool = False) -> None:
        """Send the response; with `cut`, send half of the announced body and close the connection."""

    def close(self) -> None:
        """Close the connection without a response."""


class LoopbackServer(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 with a thread for each connection; accepts GET, and POST with `accepts_post`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        handle: Callable[[RequestHandler], None],
        now: Callable[[], float],
        *,
        accepts_post: bool = False,
    ) -> None:
        self.on_request = handle
        self.now = now
        self.accepts_post = accepts_post
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        """Return the port in use."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind without the DNS lookup that HTTPServer does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.port

    def close(self) -> None:
        """Close the port and every open connection."""
        self.server_close()
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Register the connection, so that `close` can shut it down."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Unregister the connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnected."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Handle the requests of one connection; each response is a single write, sent at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "CoinalyzeEmulator"
    sys_version = ""
    server: LoopbackServer
    body = b""

    @property
    def target(self) -> str:
        return self.path

    @property
    def method(self) -> str:
        return self.command

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def do_GET(self) -> None:
        self.server.on_request(self)

    def do_POST(self) -> None:
        if not self.server.accepts_post:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "Unsupported method ('POST')")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.send_error(HTTPStatus.BAD_REQUEST, "Content-Length is missing, invalid or too large")
            return
        self.body = self.rfile.read(int(length))
        self.server.on_request(self)

    def send(self, response: Response, *, cut: bool = False) -> None:
        phrase = HTTPStatus(response.status).phrase
        lines = [
            f"HTTP/1.1 {response.status} {phrase}",
            f"Date: {self.date_time_string(self.server.now())}",
            f"Content-Type: {response.content_type}; charset=utf-8",
            f"Content-Length: {len(response.body)}",
            "X-Simulated: true",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        if cut:
            self.close_connection = True
        body = response.body[: len(response.body) // 2] if cut else response.body
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def close(self) -> None:
        self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Respond to other methods than GET and to malformed requests, as JSON."""
        self.close_connection = True
        self.send(Response.of_error(RequestError(code, message or HTTPStatus(code).phrase)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""
