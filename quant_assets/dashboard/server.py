"""The web application with all routes and request limits, and the server that runs it."""

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
from quant_assets.dashboard.app_context import AppContext, now_utc
from quant_assets.dashboard.events import FeedWatcher
from quant_assets.dashboard.feed_repository import FeedError
from quant_assets.dashboard.query import QueryError
from quant_assets.dashboard.responses import error_json

#: Limit for request line and headers together; browsers send a tenth of it.
MAX_HEADER_BYTES: Final = 16_384
MAX_CONNECTIONS: Final = 500
METHODS: Final = "GET, HEAD"
HEADERS: Final = {
    # Only this server's own files: no inline script or style, no other origin, no frame.
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


class ReadOnlyMiddleware:
    """Accept only GET and HEAD requests without a body, for the host names in `hosts` (empty: any).

    The check of the host name stops DNS rebinding: another site's page that points its own name at loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject or pass on a request, and add the security headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        rejection = self._rejection(scope["method"], Headers(scope=scope))
        await (rejection or self._app)(scope, receive, send_with_headers)

    def _rejection(self, method: str, headers: Headers) -> Response | None:
        if headers.get("content-length", "0").strip() not in ("", "0") or "transfer-encoding" in headers:
            return _closing(error_json("no_body_here", "requests with a body are not accepted", 413))
        if method not in ("GET", "HEAD"):
            rejection = error_json("read_only", f"method not allowed: use {METHODS}", 405)
            rejection.headers["Allow"] = METHODS
            return _closing(rejection)
        if self._hosts and _host_name(headers.get("host", "")) not in self._hosts:
            return error_json(
                "other_host", "unknown host name: use the name or address that the server listens on", 421
            )
        return None


def create_app(
    settings: Settings, *, clock: Callable[[], datetime] = now_utc, hosts: Collection[str] = LOOPBACK_HOSTS
) -> Starlette:
    """Return the application for the feeds of a data folder."""
    context = AppContext(settings, clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await app.state.watcher.check()  # so that the first visitor does not wait until the feed is read
        watching = asyncio.create_task(app.state.watcher.run())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    app = Starlette(
        routes=[*api.ROUTES, *events.ROUTES, *pages.ROUTES],
        middleware=[Middleware(ReadOnlyMiddleware, hosts=hosts)],
        lifespan=lifespan,
        exception_handlers={
            FeedError: _on_expected_error,
            QueryError: _on_expected_error,
            HTTPException: _on_http_error,
            Exception: _on_crash,
        },
    )
    app.state.context = context
    app.state.watcher = FeedWatcher(context, lambda document: pages.warm_cache(context, document))
    return app


class Server(uvicorn.Server):
    """A uvicorn server that closes the event streams on shutdown, since uvicorn waits for open responses."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the streams, then shut down."""
        app = self.config.loaded_app
        for _ in range(10):  # uvicorn wraps the application
            if isinstance(app, Starlette):
                app.state.watcher.close()
                break
            app = getattr(app, "app", None)
        await super().shutdown(sockets)


def make_server(app: Starlette) -> Server:
    """Return a server for the application, with limits on connections and headers.

    It uses h11 because that limits the size of the headers, which httptools does not.
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
    """Return a socket that listens on an address. Raises OSError if the address cannot be used."""
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
    """Return whether a host name or address is loopback."""
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


def _on_expected_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FeedError | QueryError)  # noqa: S101 - for the type checker: registered for these
    return _error_response(request, error.code, str(error), error.status)


def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error_response(request, "not_found" if status == 404 else "refused", "address not found", status)


def _on_crash(request: Request, error: Exception) -> Response:  # noqa: ARG001 - uvicorn logs it
    response = _error_response(request, "fault", "internal error: see the output of quant-assets serve", 500)
    response.headers.update(HEADERS)  # Starlette sends this response outside of ReadOnlyMiddleware
    return response


def _error_response(request: Request, code: str, message: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        return error_json(code, message, status)
    return pages.error_page(request, code, message, status)
