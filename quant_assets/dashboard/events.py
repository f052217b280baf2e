"""The stream of server-sent events that says when a new feed is out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio.to_thread
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from quant_assets.dashboard.answers import problem as problem_answer
from quant_assets.dashboard.desk import AppContext
from quant_assets.dashboard.documents import Document, FeedProblem, version_of
from quant_assets.dashboard.routes import route

#: How often the file is looked at; a look is one system call.
LOOK_SECONDS: Final = 0.5
#: A line so often keeps proxies from closing a quiet stream, and finds out who has gone.
HEARTBEAT_SECONDS: Final = 15.0
MAX_LISTENERS: Final = 100


class Watcher:
    """Looks at the feed's file and keeps the last event; `prepare` is run in a thread before a feed is told of."""

    def __init__(self, desk: AppContext, prepare: Callable[[Document], None]) -> None:
        self._desk = desk
        self._prepare = prepare
        self._event = b""
        self._seen: object = ()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.listeners = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once, and tell what changed."""
        version = version_of(self._desk.settings.feed_path)
        if version == self._seen:
            return
        self._seen = version
        try:
            event = await anyio.to_thread.run_sync(self._describe)
        except Exception:  # a fault over one feed must not end the watch for the next
            logging.getLogger(__name__).exception("the feed is out, but telling of it failed")
            return
        if event != self._event:
            self._event = event
            self._wake()

    def close(self) -> None:
        """End every stream."""
        self._is_closed = True
        self._wake()

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the present state, and each later one when it comes."""
        self.listeners += 1
        try:
            yield b"retry: 2000\n\n"
            sent = b""
            while not self._is_closed:
                changed = self._changed
                if self._event != sent:
                    sent = self._event
                    yield sent
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self.listeners -= 1

    def _describe(self) -> bytes:
        """Return the event that tells the present state of the feed."""
        found = self._desk.current()
        if isinstance(found, FeedProblem):
            return b"event: problem\ndata: %b\n\n" % orjson.dumps({"code": found.code, "message": str(found)})
        self._prepare(found)
        told = {
            "window": found.feed["window"],
            "last_updated": found.feed["last_updated"],
            "signals": found.feed["stats"]["signals"],
            "etag": found.etag,
        }
        return b"event: feed\nid: %b\ndata: %b\n\n" % (found.etag.encode(), orjson.dumps(told))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def events(request: Request) -> Response:
    """Tell when a new feed is out, as server-sent events."""
    watcher: Watcher = request.app.state.watcher
    if watcher.listeners >= MAX_LISTENERS:
        return problem_answer("too_many", f"{MAX_LISTENERS} streams are open already", 503)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(watcher.stream(), headers=headers, media_type="text/event-stream")


ROUTES = [route("/api/events", events)]
