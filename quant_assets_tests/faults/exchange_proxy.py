"""A proxy between a client and a local exchange that can alter every response."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from quant_assets_tests.providers.coinalyze.scripted import Canned, LoopbackServer, deliver

#: The request (path, query and body as one text) and the response of the exchange → the response to send.
Alter = Callable[[str, Canned], Canned]


def unaltered(request: str, answer: Canned) -> Canned:
    """Return the response as it is."""
    return answer


class ExchangeProxy(LoopbackServer):
    """Pass requests on to the exchange at an address, and its responses back through `alter`."""

    def __init__(self, upstream: str, alter: Alter = unaltered) -> None:
        self.alter = alter
        parts, outer = urlsplit(upstream), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self) -> None:
                self.pass_on(None)

            def pass_on(self, body: bytes | None) -> None:
                with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
                    connection.request(self.command, self.path, body)
                    response = connection.getresponse()
                    headers = {"Date": response.headers["Date"], "Content-Type": response.headers["Content-Type"]}
                    answer = Canned(response.status, response.read(), headers)
                deliver(outer.alter(f"{self.path} {(body or b'').decode()}", answer), self, outer._stopped)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    @property
    def address(self) -> str:
        """Return the address in place of the exchange's."""
        return self.url.removesuffix("/v1")
