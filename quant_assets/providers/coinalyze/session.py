"""A session whose answers end: no redirection is read, and what is open can be shut from another thread.

requests bounds the time between two pieces of an answer, not the time of the whole: an answer that drips could be
waited for without end, in its head as in its body. It also reads the whole body of a redirection that is not followed.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from typing import Any
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager


class BoundedSession(requests.Session):
    """A session of requests that follows no redirection, and whose answers can be bounded in time (`within`)."""

    def __init__(self) -> None:
        super().__init__()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        for scheme in ("https://", "http://"):
            self.mount(scheme, _KnownSockets(self._sockets))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that nothing redirects: requests would read a redirection's body whole, whatever its size."""

    @contextmanager
    def within(self, seconds: float) -> Iterator[Event]:
        """Shut every connection when the block takes longer, so that whoever waits for an answer gets an error.

        The event that is given is set then.
        """
        late = Event()
        timer = Timer(seconds, self._shut, (late,))
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _shut(self, late: Event) -> None:
        late.set()
        for opened in list(self._sockets):
            with suppress(OSError):  # one that is closed already
                opened.shutdown(socket.SHUT_RDWR)


def describe_error(error: Exception) -> str:
    """Name what happened on the way, without the address and the objects that the libraries put in."""
    kinds = [
        (requests.ConnectTimeout, "no connection in time"),
        (requests.ReadTimeout, "no answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the answer was cut off"),
        (requests.exceptions.ContentDecodingError, "the answer's compression is broken"),
        (requests.exceptions.SSLError, "the secure connection failed"),
        (requests.ConnectionError, "the connection failed"),
    ]
    return next((text for kind, text in kinds if isinstance(error, kind)), type(error).__name__)


class _KnownSockets(HTTPAdapter):
    """Connections whose sockets are known, those through a proxy too."""

    def __init__(self, sockets: WeakSet[socket.socket]) -> None:
        self._pools = {"http": _pool(HTTPConnectionPool, sockets), "https": _pool(HTTPSConnectionPool, sockets)}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """Make the pools of connections through a proxy."""
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool(kind: type[HTTPConnectionPool], sockets: WeakSet[socket.socket]) -> type[HTTPConnectionPool]:
    """Return a kind of pool whose connections enter their sockets."""

    class Connection(kind.ConnectionCls):  # type: ignore[name-defined, misc]
        def connect(self) -> None:
            super().connect()
            sockets.add(self.sock)

    return type(kind.__name__, (kind,), {"ConnectionCls": Connection})
