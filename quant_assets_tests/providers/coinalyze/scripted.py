"""An HTTP server on loopback that sends scripted responses, for those that the emulator never sends."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Canned:
    """A response; `length` is a Content-Length that differs from the length of `body`.

    `ending` is empty for a normal response, "reset" for a TCP reset after the body, "early reset" for one before the
    first byte, "closed" for a connection that is closed before the first byte, "silent" for one that stays open without
    a byte, "drip" for an endless body that comes byte by byte after `body`, "drip head" for endless headers.
    """

    status: int = 200
    body: bytes = b"[]"
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    ending: str = ""


def deliver(answer: Canned, handler: BaseHTTPRequestHandler, stopped: Event) -> None:
    """Send a response; a silent or dripping one ends when `stopped` is set."""
    if answer.ending == "silent":
        stopped.wait()
    if answer.ending == "drip head":
        drip(b"HTTP/1.1 200 OK\r\nX-Long: ", handler, stopped)
    if answer.ending in {"", "reset", "drip"}:
        handler.send_response_only(answer.status)  # without a Date header of its own
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        handler.end_headers()
        handler.wfile.write(answer.body)
    if answer.ending == "drip":
        drip(b"", handler, stopped)
    if answer.length is not None or answer.ending:
        handler.close_connection = True
    if answer.ending in {"reset", "early reset"}:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())


def drip(first: bytes, handler: BaseHTTPRequestHandler, stopped: Event) -> None:
    """Send a byte every 50 ms, until the client disconnects or the server stops."""
    with suppress(OSError):
        handler.wfile.write(first)
        while not stopped.wait(0.05):
            handler.wfile.write(b"x")


class LoopbackServer:
    """Serves on a free loopback port within its `with` block; `_stopped` is set at the end."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._stopped = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


class ScriptedServer(LoopbackServer):
    """Sends its responses in order, the last one repeatedly; records `paths`, `keys` and `bodies` of the requests."""

    def __init__(self, *answers: Canned) -> None:
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.bodies: list[bytes] = []
        script = list(answers)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.do_GET()

            def do_GET(self) -> None:
                outer.paths.append(self.path)
                outer.keys.append(self.headers.get("api_key"))
                deliver(script.pop(0) if len(script) > 1 else script[0], self, outer._stopped)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)
