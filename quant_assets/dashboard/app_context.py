"""What all endpoints share: the feeds, the rows and responses made from them, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from fastapi import Request

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH
from quant_assets.dashboard.feed_repository import FeedDocument, FeedRepository
from quant_assets.dashboard.responses import CachedResponse, ResponseCache
from quant_assets.dashboard.rows import Row, rows_of
from quant_assets.dashboard.signal_record import trade_endings
from quant_assets.dashboard.strategies import StrategyRepository
from quant_assets.dashboard.trade_repository import TradeRepository

Found = TypeVar("Found")

#: Threads that read feeds and build responses; more would compete for the same processor, each with a feed in memory.
MAX_WORKERS: Final = 2
#: A feed whose window ended longer ago is stale.
STALE_SECONDS: Final = 2 * WINDOW_LENGTH.total_seconds()


def now_utc() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class AppContext:
    """The shared state of one server; `clock` returns the present time, timezone-aware."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = now_utc) -> None:
        self.settings = settings
        self.feeds = FeedRepository(settings)
        self.strategies = StrategyRepository(settings)
        self.trades = TradeRepository(settings)
        self.cache = ResponseCache()
        self.clock = clock
        self._rows: WeakKeyDictionary[FeedDocument, tuple[Hashable, list[Row]]] = WeakKeyDictionary()
        self._workers = anyio.CapacityLimiter(MAX_WORKERS)

    async def document(self, window: str = "") -> FeedDocument:
        """Return the feed of a window, "" for the newest. Raises FeedError."""
        cached = None if self.feeds.is_remote else self.feeds.cached(window)
        if cached is not None:
            return cached
        return await anyio.to_thread.run_sync(self.feeds.read, window, limiter=self._workers)

    async def response(self, key: Hashable, make: Callable[[], CachedResponse]) -> CachedResponse:
        """Return the cached response, or make it in a thread."""
        cached = self.cache.get(key)
        if cached is not None:
            return cached
        return await anyio.to_thread.run_sync(self.cache.get_or_make, key, make, limiter=self._workers)

    async def look_up(self, look: Callable[[], Found]) -> Found:
        """Return what a look at the stored data finds, in a thread if that is a request to an object store."""
        if not self.feeds.is_remote:
            return look()
        return await anyio.to_thread.run_sync(look, limiter=self._workers)

    async def trades_version(self) -> Hashable:
        """Return a value that changes when the trades do. Raises UnreachableObject."""
        return await self.look_up(lambda: self.trades.version)

    def rows(self, document: FeedDocument) -> list[Row]:
        """Return the table rows of a feed; they are built once while the feed is in memory and no trade changes."""
        version = self.trades.version
        found = self._rows.get(document)
        if found is None or found[0] != version:
            endings = trade_endings(self.trades, document.window)
            found = self._rows[document] = (
                version,
                rows_of(document.feed["signals"], self.strategies.in_force().gates, endings),
            )
        return found[1]

    def age_seconds(self, document: FeedDocument) -> float:
        """Return how long ago the window of a feed ended."""
        return (self.clock() - document.window.end).total_seconds()

    def is_stale(self, document: FeedDocument) -> bool:
        """Return whether a feed is older than two windows."""
        return self.age_seconds(document) > STALE_SECONDS


def context_of(request: Request) -> AppContext:
    """Return the context of the server that received a request."""
    context: AppContext = request.app.state.context
    return context
