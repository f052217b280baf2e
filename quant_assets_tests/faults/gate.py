"""A gate between the client and an emulator: every request goes through it, and answers may be spoiled on the way."""

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
class Asked:
    """One request that arrived: its number from 0 on, its endpoint, its symbols, and when (by the emulator's clock)."""

    number: int
    endpoint: str
    symbols: tuple[str, ...]
    moment: datetime


Spoil = Callable[[Asked, Canned], Canned]


def passed_on(asked: Asked, answer: Canned) -> Canned:
    """Spoil nothing."""
    return answer


class Gate(LoopbackServer):
    """Serves what `emulator` answers, as `spoil` makes it; `asked` has every request that arrived, in order."""

    def __init__(self, emulator: Emulator, spoil: Spoil = passed_on) -> None:
        self.spoil = spoil
        self.asked: list[Asked] = []
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
                    asked = Asked(
                        len(outer.asked),
                        parts.path.removeprefix("/v1/"),
                        tuple(symbols.split(",")) if symbols else (),
                        emulator.clock(),
                    )
                    outer.asked.append(asked)
                with closing(HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)) as connection:
                    connection.request("GET", self.path, headers={"api_key": self.headers.get("api_key", "")})
                    response = connection.getresponse()
                    kept = ("Date", "Retry-After", "X-Simulated", "Content-Type")
                    headers = {name: value for name in kept if (value := response.headers.get(name))}
                    answer = Canned(response.status, response.read(), headers)
                deliver(outer.spoil(asked, answer), self, outer._stopped)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    @property
    def calls(self) -> int:
        """What everything that arrived has cost, refused or not: each symbol counts."""
        return sum(max(len(asked.symbols), 1) for asked in self.asked)

    def refuse(self) -> None:
        """Take no new connection from now on."""
        self._server.socket.close()
