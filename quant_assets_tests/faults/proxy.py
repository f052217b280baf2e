"""A proxy between the client and an emulator that records every request and can alter every response."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from threading import Lock
from urllib.parse import parse_qs, urlsplit

from quant_assets.emulator import Emulator
from quant_assets_tests.providers.coinalyze.scripted import Canned, LoopbackServer, deliver


@dataclass(frozen=True)
class ProxiedRequest:
    """One received request: its number from 0, its endpoint, its symbols, and its time by the emulator's clock."""

    number: int
    endpoint: str
    symbols: tuple[str, ...]
    moment: datetime


Alter = Callable[[ProxiedRequest, Canned], Canned]


def unaltered(request: ProxiedRequest, answer: Canned) -> Canned:
    """Return the response as it is."""
    return answer


class FaultyProxy(LoopbackServer):
    """Serve the emulator's responses, altered by `alter`; `requests` has every received request, in order."""

    def __init__(self, emulator: Emulator, alter: Alter = unaltered) -> None:
        self.alter = alter
        self.requests: list[ProxiedRequest] = []
        lock = Lock()
        outer = self
        upstream = urlsplit(emulator.url)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                symbols = parse_qs(parts.query).get("symbols", [""])[0]
                with lock:
                    request = ProxiedRequest(
                        len(outer.requests),
                        parts.path.removeprefix("/v1/"),
                        tuple(symbols.split(",")) if symbols else (),
                        emulator.clock(),
                    )
                    outer.requests.append(request)
                with closing(HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)) as connection:
                    connection.request("GET", self.path, headers={"api_key": self.headers.get("api_key", "")})
                    response = connection.getresponse()
                    kept = ("Date", "Retry-After", "X-Simulated", "Content-Type")
                    headers = {name: value for name in kept if (value := response.headers.get(name))}
                    answer = Canned(response.status, response.read(), headers)
                deliver(outer.alter(request, answer), self, outer._stopped)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    @property
    def calls(self) -> int:
        """Return the cost of all received requests in calls, accepted or not; each symbol is one call."""
        return sum(max(len(request.symbols), 1) for request in self.requests)

    def refuse(self) -> None:
        """Refuse new connections from now on."""
        self._server.socket.close()
