"""Publishing the feed: it is replaced as a whole, and never by an older feed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from pydantic_core import from_json

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.windows import Window, WindowError
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import Lake, LakeError
from quant_assets.storage.locks import exclusive

FEED_KEY: Final = ("master_feed",)
#: The times of a feed are its first keys.
HEAD_BYTES: Final = 1_000


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


def first_published_ms(lake: Lake, window: Window) -> int | None:
    """Return when the first feed of a window was written, epoch ms; None if its feed is not stored or damaged."""
    try:
        content = lake.read_document(FEED_KEY, window.key)
    except LakeError:
        return None
    # The head of the feed is at its beginning: the rest, some megabytes, is not parsed.
    head = {} if content is None else from_json(content[:HEAD_BYTES], allow_partial=True)
    found = head.get("published_at_ms", head.get("last_updated"))
    return None if found is None else int(found)


@dataclass(frozen=True, slots=True)
class FeedPlace:
    """Where the feed is, a path or URL, and how writers exclude each other: by a file in a folder, or a database."""

    place: Path | str
    locks: Path
    database: DatabaseServer | None = None

    @property
    def document(self) -> Document:
        """The document that consumers read."""
        return Document.at(self.place)

    @property
    def lock_name(self) -> str:
        """The name of the lock of those who publish."""
        return str(self.place).rpartition("/")[2]


def publish(feed: StoredFeed, place: Path | FeedPlace, now: datetime) -> Publication:
    """Write a feed to `place`, unless the feed there is newer.

    Newer means of a later window, or of the same window and made from newer candles. An existing feed whose window
    has not ended by `now` is replaced. Raises WriteError, UnreachableObject and DatabaseError.
    """
    if isinstance(place, Path):
        place = FeedPlace(place, place.parent)
    if place.database is not None:
        from quant_assets.feed.shared_publish import publish_by_database  # noqa: PLC0415 - only with a database

        return publish_by_database(feed, place, place.database, now)
    document = place.document
    with exclusive(place.locks, place.lock_name):
        found = reason_to_keep(stored_feed(document), feed, now)
        if found is None:
            document.write(feed.content)
        return found or Publication.PUBLISHED


def reason_to_keep(existing: StoredFeed | None, feed: StoredFeed, now: datetime) -> Publication | None:
    """Return why an existing feed is kept; None if it is replaced."""
    if existing is not None and feed.window.end < existing.window.end <= now:
        return Publication.NEWER_WINDOW
    if existing is not None and existing.has_newer_candles(feed):
        return Publication.NEWER_CANDLES
    return None


def stored_feed(document: Document) -> StoredFeed | None:
    """Return the feed of a document; None if there is none, or it is not a feed with a window."""
    content = document.read() if document.exists() else None
    return None if content is None else StoredFeed.of(content)
