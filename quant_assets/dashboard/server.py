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
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quant_assets.common.addresses import LOOPBACK_HOSTS
from quant_assets.common.files import UnreachableObject
from quant_assets.common.settings import Settings
from quant_assets.dashboard import api, pages, record_page
from quant_assets.dashboard.app_context import AppContext, context_of, now_utc
from quant_assets.dashboard.events import FeedWatcher
from quant_assets.dashboard.feed_repository import FeedError, Unreadable
from quant_assets.dashboard.query import QueryError, query_error
from quant_assets.dashboard.responses import error_json, send
from quant_assets.dashboard.static_files import CACHE_FOREVER, PLOTLY, plotly_script, static_app, static_version
from quant_assets.feed.contract import SCHEMA_VERSION

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


DESCRIPTION: Final = (
    "Read-only. Every response except health and events has an ETag: send it as If-None-Match to get 304 if nothing "
    "changed. A value that looks like a file path gives 404, a request body 413."
)


class ReadOnlyMiddleware:
    """Accept only GET and HEAD requests without a body, and with a short head; add headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject or pass on a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        rejection = _too_long(scope) or _rejection(scope["method"], Headers(scope=scope))
        await (rejection or self._app)(scope, receive, send_with_headers)


def _too_long(scope: Scope) -> Response | None:
    """Reject a long head that arrived in one piece: the server itself limits only what it is still waiting for."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope["raw_path"]) + len(scope["query_string"]) + headers <= MAX_HEADER_BYTES:
        return None
    return _closing(error_json("too_long", f"address and headers are longer than {MAX_HEADER_BYTES} bytes", 431))


def _rejection(method: str, headers: Headers) -> Response | None:
    if headers.get("content-length", "0").strip() not in ("", "0") or "transfer-encoding" in headers:
        return _closing(error_json("no_body_here", "requests with a body are not accepted", 413))
    if method not in ("GET", "HEAD"):
        rejection = error_json("read_only", f"method not allowed: use {METHODS}", 405)
        rejection.headers["Allow"] = METHODS
        return _closing(rejection)
    return None


def create_app(
    settings: Settings, *, clock: Callable[[], datetime] = now_utc, hosts: Collection[str] = LOOPBACK_HOSTS
) -> FastAPI:
    """Return the application for the feeds of a data folder.

    It answers only requests for the host names in `hosts` (empty: any). That stops DNS rebinding: another site's page
    that points its own name at loopback.
    """
    context = AppContext(settings, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await app.state.watcher.check()  # so that the first visitor does not wait until the feed is read
        watching = asyncio.create_task(app.state.watcher.run())
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    app = FastAPI(
        title="quant_assets dashboard",
        version=SCHEMA_VERSION,
        description=DESCRIPTION,
        openapi_url=None,  # served by the API itself, with an ETag
        middleware=[
            Middleware(ReadOnlyMiddleware),
            Middleware(TrustedHostMiddleware, allowed_hosts=_allowed_hosts(hosts), www_redirect=False),
        ],
        lifespan=lifespan,
        exception_handlers={
            FeedError: _on_expected_error,
            QueryError: _on_expected_error,
            UnreachableObject: _on_unreachable_object,
            RequestValidationError: _on_invalid_parameter,
            HTTPException: _on_http_error,
            Exception: _on_crash,
        },
    )
    app.include_router(api.router)
    app.include_router(pages.router)
    app.include_router(record_page.router)
    app.add_api_route(f"/static/{static_version()}/{PLOTLY}", _plotly, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static/{version}", static_app())
    app.state.context = context
    app.state.watcher = FeedWatcher(context, lambda document: pages.warm_cache(context, document))
    return app


def _allowed_hosts(hosts: Collection[str]) -> list[str]:
    """Return hosts as a Host header names them: an IPv6 address in brackets. Empty allows any host."""
    return [f"[{host}]" if ":" in host else host for host in hosts] or ["*"]


async def _plotly(request: Request) -> Response:
    """Return Plotly's script."""
    return send(request, await context_of(request).response(PLOTLY, plotly_script), cache_control=CACHE_FOREVER)


class Server(uvicorn.Server):
    """A uvicorn server that closes the event streams on shutdown, since uvicorn waits for open responses."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the streams, then shut down."""
        app = self.config.loaded_app
        for _ in range(10):  # uvicorn wraps the application
            if isinstance(app, FastAPI):
                app.state.watcher.close()
                break
            app = getattr(app, "app", None)
        await super().shutdown(sockets)


def make_server(app: FastAPI) -> Server:
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


async def _on_expected_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FeedError | QueryError)  # noqa: S101 - for the type checker: registered for these
    return _error_response(request, error.code, str(error), error.status)


async def _on_unreachable_object(request: Request, error: Exception) -> Response:
    return await _on_expected_error(request, Unreadable(str(error)))


async def _on_invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type checker: registered for this
    return await _on_expected_error(request, query_error(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error_response(request, "not_found" if status == 404 else "refused", "address not found", status)


async def _on_crash(request: Request, error: Exception) -> Response:  # noqa: ARG001 - uvicorn logs it
    response = _error_response(request, "fault", "internal error: see the output of quant-assets serve", 500)
    response.headers.update(HEADERS)  # Starlette sends this response outside of ReadOnlyMiddleware
    return response


def _error_response(request: Request, code: str, message: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        return error_json(code, message, status)
    return pages.error_page(request, code, message, status)
