"""An HTTP session with a time limit for whole responses, which ignores redirects.

The timeout of requests limits the time between two pieces of a response, not the time of the whole: a server that sends
a byte now and then could block the client forever, in the headers or in the body. requests also reads the whole body of
a redirect that it does not follow.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import Any
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

OnConnect = Callable[[socket.socket], None]


class BoundedSession(requests.Session):
    """A session of requests that ignores redirects, with a time limit for whole responses (`time_limit`)."""

    def __init__(self) -> None:
        super().__init__()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._timed_out = Event()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _SocketTrackingAdapter(self._add_socket))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None for all responses, since requests would read the body of a redirect whatever its size."""

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[Event]:
        """Close all connections if the block takes longer, so that waiting for a response raises an error.

        A connection that is made later is closed before a request is sent. Yield an event that is set then.
        """
        self._timed_out = timed_out = Event()
        timer = Timer(seconds, self._close_sockets, (timed_out,))
        timer.daemon = True
        timer.start()
        try:
            yield timed_out
        finally:
            timer.cancel()
            self._timed_out = Event()

    def _close_sockets(self, timed_out: Event) -> None:
        timed_out.set()
        for open_socket in list(self._sockets):
            _shut_down(open_socket)

    def _add_socket(self, connected: socket.socket) -> None:
        self._sockets.add(connected)
        if self._timed_out.is_set():
            _shut_down(connected)


def describe_error(error: Exception) -> str:
    """Return a short description of a network error, without the URL and objects that the libraries add."""
    kinds = [
        (requests.ConnectTimeout, "no connection in time"),
        (requests.ReadTimeout, "no answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the answer was cut off"),
        (requests.exceptions.ContentDecodingError, "the answer's compression is broken"),
        (requests.exceptions.SSLError, "the secure connection failed"),
        (requests.ConnectionError, "the connection failed"),
    ]
    return next((text for kind, text in kinds if isinstance(error, kind)), type(error).__name__)


class _SocketTrackingAdapter(HTTPAdapter):
    """An adapter that calls a function with the socket of each new connection, including those through a proxy."""

    def __init__(self, on_connect: OnConnect) -> None:
        self._pools = {
            "http": _tracking_pool(HTTPConnectionPool, on_connect),
            "https": _tracking_pool(HTTPSConnectionPool, on_connect),
        }
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """Create the pools of connections through a proxy."""
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _shut_down(open_socket: socket.socket) -> None:
    with suppress(OSError):  # already closed
        open_socket.shutdown(socket.SHUT_RDWR)


def _tracking_pool(kind: type[HTTPConnectionPool], on_connect: OnConnect) -> type[HTTPConnectionPool]:
    """Return a subclass of the pool class that calls `on_connect` with the sockets of its connections."""

    class Connection(kind.ConnectionCls):  # type: ignore[name-defined, misc]
        def connect(self) -> None:
            super().connect()
            on_connect(self.sock)

    return type(kind.__name__, (kind,), {"ConnectionCls": Connection})
