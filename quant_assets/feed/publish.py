"""Putting the feed where consumers read it: the file is replaced whole, and never by a worse feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import orjson
from filelock import FileLock

from quant_assets.common.files import replace_file
from quant_assets.common.windows import Window, WindowError


class Publication(StrEnum):
    """What became of a feed that was to be published: it is the feed now, or why another one stays."""

    PUBLISHED = "published"
    NEWER_WINDOW = "newer_window"
    NEWER_CANDLES = "newer_candles"


@dataclass(frozen=True, slots=True)
class StoredFeed:
    """A feed's bytes, and what they say of themselves.

    `newest_close_ms` is when the newest bar that it was made from had closed, None where it does not say;
    `published_at_ms` is when the first feed of its window was written.
    """

    content: bytes
    window: Window
    newest_close_ms: int | None
    published_at_ms: int | None

    @classmethod
    def of(cls, content: bytes) -> StoredFeed | None:
        """Read a feed of any version; None where it is no feed that names its window."""
        try:
            feed = orjson.loads(content)
            window = Window.of_key(feed["window"])
        except (orjson.JSONDecodeError, TypeError, KeyError, WindowError):
            return None
        # A feed of version 1.0 was first written when it was written last, as far as anybody knows.
        first_ms = feed.get("published_at_ms", feed.get("last_updated"))
        return cls(content, window, feed.get("stats", {}).get("candles", {}).get("newest_close_ms"), first_ms)

    def has_newer_candles(self, other: StoredFeed) -> bool:
        """Whether this feed is of the same window as the other, and made from newer candles."""
        if self.window != other.window or self.newest_close_ms is None:
            return False
        return other.newest_close_ms is None or other.newest_close_ms < self.newest_close_ms


def publish(feed: StoredFeed, path: Path, now: datetime) -> Publication:
    """Make a feed the one at `path`, unless a better one is there.

    Better is one of a newer window, or of the same window from newer candles. A feed there of a window that has not
    ended `now` is none to respect.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        standing = stored_feed(path)
        if standing is not None and feed.window.end < standing.window.end <= now:
            return Publication.NEWER_WINDOW
        if standing is not None and standing.has_newer_candles(feed):
            return Publication.NEWER_CANDLES
        replace_file(path, feed.content)
        return Publication.PUBLISHED


def stored_feed(path: Path) -> StoredFeed | None:
    """Return the feed at `path`; None where there is no feed, or none that tells its window."""
    try:
        return StoredFeed.of(path.read_bytes()) if path.is_file() else None
    except FileNotFoundError:
        return None
