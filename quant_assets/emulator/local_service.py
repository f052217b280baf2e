"""What the local Coinalyze and the local exchanges share: starting, stopping, and responses with faults."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from types import TracebackType
from typing import Self

from quant_assets.emulator.api import Response
from quant_assets.emulator.faults import Faults
from quant_assets.emulator.http_server import LoopbackServer, RequestHandler


def system_clock() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class LocalService:
    """A server on 127.0.0.1, running from `start` to `stop` or within a `with` block."""

    def __init__(self, name: str, server: LoopbackServer) -> None:
        self._name, self._server = name, server
        self._stopped = Event()
        self._thread: Thread | None = None

    def start(self) -> Self:
        """Start serving in background threads; return as soon as requests are accepted."""
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name=self._name, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; a stopped server cannot be started again."""
        self._stopped.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.close()

    def wait(self) -> None:
        """Block until `stop` is called."""
        # With a timeout, because a signal just before an endless wait would never be handled.
        while not self._stopped.wait(0.5):
            pass

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _deliver(
        self, handler: RequestHandler, respond: Callable[[], Response], faults: Faults, fault: str, number: int
    ) -> None:
        """Send the response, or what a fault makes of it. `number` is that of the request."""
        if fault == "closed":
            handler.close()
        elif fault == "server_error":
            handler.send(Response.of_server_error(faults.status_of_request(number)))
        elif fault == "html":
            handler.send(Response.of_page("Checking your browser"))
        else:
            if fault == "slow":
                self._stopped.wait(faults.delay_seconds)
            response = respond()
            handler.send(response.garbled() if fault == "garbled" else response, cut=fault == "cut")
