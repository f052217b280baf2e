"""The server: every address, the limits on what may be asked, and running it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quant_assets.common.settings import LOOPBACK_HOSTS, Settings
from quant_assets.dashboard import api, events, pages
from quant_assets.dashboard.answers import problem
from quant_assets.dashboard.desk import AppContext, now_utc
from quant_assets.dashboard.documents import FeedProblem
from quant_assets.dashboard.events import Watcher
from quant_assets.dashboard.query import QueryError

#: Request line and headers together; a browser's are a tenth of it.
MAX_HEADER_BYTES: Final = 16_384
MAX_CONNECTIONS: Final = 500
METHODS: Final = "GET, HEAD"
HEADERS: Final = {
    # Nothing but what this server gives: no inline script, no inline style, no other origin, in no frame.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class ReadsOnly:
    """Lets plain reads through: GET and HEAD without a body, addressed to a name that this server goes by.

    `hosts` are these names; empty lets any through. A page elsewhere could otherwise point a name of its own at
    loopback and read what is here.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on, and put the headers on whatever is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        if headers.get("content-length", "0").strip() not in ("", "0") or "transfer-encoding" in headers:
            return _closing(problem("no_body_here", "a request has no body here", 413))
        if method not in ("GET", "HEAD"):
            refusal = problem("read_only", f"this is read-only: {METHODS}", 405)
            refusal.headers["Allow"] = METHODS
            return _closing(refusal)
        if self._hosts and _host_name(headers.get("host", "")) not in self._hosts:
            return problem("other_host", "this server does not go by that name", 421)
        return None


def create_app(
    settings: Settings, *, clock: Callable[[], datetime] = now_utc, hosts: Collection[str] = LOOPBACK_HOSTS
) -> Starlette:
    """Return the application over the feeds of a data folder."""
    desk = AppContext(settings, clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await app.state.watcher.look()  # the first visitor does not wait for the feed to be read
        watching = asyncio.create_task(app.state.watcher.run())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    app = Starlette(
        routes=[*api.ROUTES, *events.ROUTES, *pages.ROUTES],
        middleware=[Middleware(ReadsOnly, hosts=hosts)],
        lifespan=lifespan,
        exception_handlers={
            FeedProblem: _on_problem,
            QueryError: _on_problem,
            HTTPException: _on_http,
            Exception: _on_crash,
        },
    )
    app.state.desk = desk
    app.state.watcher = Watcher(desk, lambda document: pages.prepare(desk, document))
    return app


class Server(uvicorn.Server):
    """Ends the streams when it is told to stop, since it waits for every answer to be complete."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, streams first."""
        app = self.config.loaded_app
        for _ in range(10):  # uvicorn wraps the application it is given
            if isinstance(app, Starlette):
                app.state.watcher.close()
                break
            app = getattr(app, "app", None)
        await super().shutdown(sockets)


def make_server(app: Starlette) -> Server:
    """Return a server for the application, with the limits on what a request may be.

    h11 is asked for by name: it bounds the headers, which httptools does not.
    """
    return Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
            access_log=False,
            log_level="warning",
            server_header=False,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises OSError where that cannot be."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return host in LOOPBACK_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _closing(response: Response) -> Response:
    response.headers["Connection"] = "close"
    return response


def _host_name(header: str) -> str:
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
    return name.strip("[]").lower()


def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, FeedProblem | QueryError)  # noqa: S101 - for the type checker: registered for these
    return _said(request, error.code, str(error), error.status)


def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _said(request, "not_found" if status == 404 else "refused", "there is nothing of that name", status)


def _on_crash(request: Request, error: Exception) -> Response:  # noqa: ARG001 - uvicorn logs it
    response = _said(request, "fault", "a fault of this program; its terminal says more", 500)
    response.headers.update(HEADERS)  # this answer alone is given outside of ReadsOnly
    return response


def _said(request: Request, code: str, message: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        return problem(code, message, status)
    return pages.problem_page(request, code, message, status)
