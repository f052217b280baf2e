"""The stream of server-sent events that announces new feeds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio.to_thread
import orjson

from quant_assets.common.files import UnreachableObject
from quant_assets.dashboard.app_context import AppContext
from quant_assets.dashboard.feed_repository import FeedDocument, FeedError, Unreadable

#: How often the feed's file is checked; a check is one system call.
POLL_SECONDS: Final = 0.5
#: A heartbeat keeps proxies from closing a quiet stream, and detects clients that have disconnected.
HEARTBEAT_SECONDS: Final = 15.0
MAX_LISTENERS: Final = 100


class FeedWatcher:
    """Polls the feed's file and sends an event to every listener when it changes.

    `prepare` runs in a thread before a feed is announced.
    """

    def __init__(self, context: AppContext, prepare: Callable[[FeedDocument], None]) -> None:
        self._context = context
        self._prepare = prepare
        self._event = b""
        self._version: object = ()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.listeners = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Check the newest feed once, and send an event if it changed."""
        version = await anyio.to_thread.run_sync(self._newest_version)
        if version == self._version:
            return
        try:
            event = await anyio.to_thread.run_sync(self._describe)
            self._version = version
        except Unreadable as error:  # the next check reads it again, also if it is the version of before
            self._version = ()
            event = _problem(error)
        except Exception:  # a fault with one feed must not stop the watch for the next
            self._version = version
            logging.getLogger(__name__).exception("Cannot announce the new feed")
            return
        if event != self._event:
            self._event = event
            self._wake()

    def close(self) -> None:
        """End every stream."""
        self._is_closed = True
        self._wake()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the present event, then each later one."""
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

    def _newest_version(self) -> object:
        try:
            return self._context.feeds.newest_version()
        except FeedError as error:
            return str(error)

    def _describe(self) -> bytes:
        """Return the event for the feed as it is now. Raises Unreadable."""
        try:
            document = self._context.feeds.read()
        except Unreadable:
            raise
        except FeedError as error:
            return _problem(error)
        try:
            self._prepare(document)
        except (FeedError, UnreachableObject) as error:  # a response that needs it says so itself
            logging.getLogger(__name__).warning("Responses for the new feed are not prepared: %s", error)
        data = {
            "window": document.feed["window"],
            "last_updated": document.feed["last_updated"],
            "signals": document.feed["stats"]["signals"],
            "etag": document.etag,
        }
        return b"event: feed\nid: %b\ndata: %b\n\n" % (document.etag.encode(), orjson.dumps(data))

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _problem(error: FeedError) -> bytes:
    """Return the event for a feed that cannot be shown."""
    return b"event: problem\ndata: %b\n\n" % orjson.dumps({"code": error.code, "message": str(error)})
