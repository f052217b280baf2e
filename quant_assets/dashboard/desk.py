"""What all endpoints share: the feeds, the answers that were made of them, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Final

import anyio
import anyio.to_thread

from quant_assets.common.settings import Settings
from quant_assets.common.windows import LENGTH
from quant_assets.dashboard.answers import Answer, AnswerCache
from quant_assets.dashboard.documents import Document, FeedProblem, FeedRepository

#: Threads that read and reckon; more would only share the same processor, each with a feed in memory.
WORKERS: Final = 2
#: A feed whose window ended longer ago is stale.
STALE_SECONDS: Final = 2 * LENGTH.total_seconds()


def now_utc() -> datetime:
    """Return the moment that the system's clock shows."""
    return datetime.now(UTC)


class AppContext:
    """The shared things of one server; `clock` gives the present, timezone-aware."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = now_utc) -> None:
        self.settings = settings
        self.shelf = FeedRepository(settings)
        self.cache = AnswerCache()
        self.clock = clock
        self._workers = anyio.CapacityLimiter(WORKERS)

    async def document(self, window: str = "") -> Document:
        """Return a feed; raises FeedProblem."""
        kept = self.shelf.kept(window)
        if kept is not None:
            return kept
        return await anyio.to_thread.run_sync(self.shelf.read, window, limiter=self._workers)

    async def answer(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """Return an answer that is kept, or have it made in a thread."""
        kept = self.cache.get(key)
        if kept is not None:
            return kept
        return await anyio.to_thread.run_sync(self.cache.made, key, make, limiter=self._workers)

    def age_seconds(self, document: Document) -> float:
        """Return how long ago the window of a feed ended."""
        return (self.clock() - document.window.end).total_seconds()

    def is_stale(self, document: Document) -> bool:
        """Whether a feed is older than two windows."""
        return self.age_seconds(document) > STALE_SECONDS

    def current(self) -> Document | FeedProblem:
        """Return the newest feed or what is the matter with it; may read it, so call it from a thread."""
        try:
            return self.shelf.read()
        except FeedProblem as problem:
            return problem
