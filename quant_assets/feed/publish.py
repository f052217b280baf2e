"""Publishing the feed: its file is replaced atomically, and never by an older feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock

from quant_assets.common.files import replace_file
from quant_assets.common.windows import Window, WindowError


class Publication(StrEnum):
    """The outcome of publishing: published, or the reason why the existing feed was kept."""

    PUBLISHED = "published"
    NEWER_WINDOW = "newer_window"
    NEWER_CANDLES = "newer_candles"


class _Candles(msgspec.Struct):
    newest_close_ms: int | None = None


class _Stats(msgspec.Struct):
    candles: _Candles = msgspec.field(default_factory=_Candles)


class _Head(msgspec.Struct):
    """The fields of a feed that decide about its publication. Version 1.0 has neither published_at_ms nor candles."""

    window: str
    published_at_ms: int | None = None
    last_updated: int | None = None
    stats: _Stats = msgspec.field(default_factory=_Stats)


#: Skips the signals, which are nearly all of a feed.
_HEAD: Final = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class StoredFeed:
    """A feed's bytes, with its window and times.

    `newest_close_ms` is the close of the newest bar that the feed was made from, None if the feed does not have it;
    `published_at_ms` is when the first feed of its window was written.
    """

    content: bytes
    window: Window
    newest_close_ms: int | None
    published_at_ms: int | None

    @classmethod
    def of(cls, content: bytes) -> StoredFeed | None:
        """Parse a feed of any version; return None if it is not a feed with a window."""
        try:
            head = _HEAD.decode(content)
            window = Window.of_key(head.window)
        except (msgspec.DecodeError, RecursionError, WindowError):
            return None
        published_at_ms = head.last_updated if head.published_at_ms is None else head.published_at_ms
        return cls(content, window, head.stats.candles.newest_close_ms, published_at_ms)

    def has_newer_candles(self, other: StoredFeed) -> bool:
        """Return whether this feed is of the same window as the other, and made from newer candles."""
        if self.window != other.window or self.newest_close_ms is None:
            return False
        return other.newest_close_ms is None or other.newest_close_ms < self.newest_close_ms


def publish(feed: StoredFeed, path: Path, now: datetime) -> Publication:
    """Write a feed to `path`, unless the feed there is newer.

    Newer means of a later window, or of the same window and made from newer candles. An existing feed whose window
    has not ended by `now` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        existing = stored_feed(path)
        if existing is not None and feed.window.end < existing.window.end <= now:
            return Publication.NEWER_WINDOW
        if existing is not None and existing.has_newer_candles(feed):
            return Publication.NEWER_CANDLES
        replace_file(path, feed.content)
        return Publication.PUBLISHED


def stored_feed(path: Path) -> StoredFeed | None:
    """Return the feed at `path`; None if there is no file, or it is not a feed with a window."""
    try:
        return StoredFeed.of(path.read_bytes()) if path.is_file() else None
    except FileNotFoundError:
        return None
