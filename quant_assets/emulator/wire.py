"""HTTP on loopback: connections, the bytes of an answer, and how they are spoiled on purpose."""

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

from quant_assets.emulator.answers import Answer, Refusal


class Exchange(Protocol):
    """One request, and the way to answer it."""

    @property
    def target(self) -> str: ...  # noqa: D102 - path and query as they came

    def header(self, name: str) -> str | None:
        """Return a header of the request."""

    def send(self, answer: Answer, *, cut: bool = False) -> None:
        """Send the answer; `cut` sends half of the body that was promised and closes."""

    def close(self) -> None:
        """Close the connection without an answer."""


class LoopbackServer(ThreadingHTTPServer):
    """Serves 127.0.0.1 alone, a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, handle: Callable[[Exchange], None], now: Callable[[], float]) -> None:
        self.handle_exchange = handle
        self.now = now
        self._connections: set[socket.socket] = set()
        self._guard = Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind without asking a name server for the host's name, as HTTPServer would."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.port

    def close(self) -> None:
        """Close the port and every open connection."""
        self.server_close()
        with self._guard:
            connections = tuple(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be closed."""
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a client that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads GET requests of one connection; one write for each answer, and no waiting for full packets."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "CoinalyzeEmulator"
    sys_version = ""
    server: LoopbackServer

    @property
    def target(self) -> str:
        return self.path

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def do_GET(self) -> None:
        self.server.handle_exchange(self)

    def send(self, answer: Answer, *, cut: bool = False) -> None:
        phrase = HTTPStatus(answer.status).phrase
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            f"Date: {self.date_time_string(self.server.now())}",
            f"Content-Type: {answer.content_type}; charset=utf-8",
            f"Content-Length: {len(answer.body)}",
            "X-Simulated: true",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        if cut:
            self.close_connection = True
        body = answer.body[: len(answer.body) // 2] if cut else answer.body
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def close(self) -> None:
        self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Refuse what is no GET request, as JSON."""
        self.close_connection = True
        self.send(Answer.of_refusal(Refusal(code, message or HTTPStatus(code).phrase)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet."""
