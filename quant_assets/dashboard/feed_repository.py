"""Reading stored feeds: each is parsed and checked once, and again only when it changed."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.files import UnreachableObject
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window, WindowError
from quant_assets.feed import feed_problems
from quant_assets.feed.contract import SCHEMA_FILES
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import DOCUMENT_SUFFIX, DamagedTable, Lake, LakeError

Json = dict[str, Any]
Market = tuple[str, str]

#: Feeds of older windows that stay in memory beside the newest.
MAX_OLDER_FEEDS: Final = 2


class FeedError(Exception):
    """A feed that cannot be shown; `code` is for programs, the message for people, `status` for HTTP."""

    def __init__(self, code: str, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Unreadable(FeedError):
    """A feed or table cannot be read now; what is stored may be whole, so the next request reads it again."""

    def __init__(self, message: str) -> None:
        super().__init__("unreadable", message)


@dataclass(frozen=True, eq=False)
class FeedDocument:
    """One feed: its bytes as stored, the parsed JSON, and an ETag of the bytes."""

    content: bytes
    feed: Json
    etag: str

    @property
    def window(self) -> Window:
        """The window of the feed."""
        return Window.of_key(self.feed["window"])

    @cached_property
    def markets(self) -> dict[Market, list[Json]]:
        """The signals of each market, by exchange and symbol."""
        markets: dict[Market, list[Json]] = {}
        for signal in self.feed["signals"]:
            markets.setdefault((signal["exchange"], signal["symbol"]), []).append(signal)
        return markets


class FeedRepository:
    """The newest feed, and those of older windows in the lake. Thread-safe; each feed is read by one thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lake = Lake(settings.lake_place)
        self._document = Document.at(settings.feed_place)
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[Hashable, FeedDocument | FeedError]] = OrderedDict()
        self._windows: tuple[Hashable | None, list[str]] = (None, [])

    def cached(self, window: str) -> FeedDocument | None:
        """Return the feed from memory, or None if it was not read yet or has changed. Costs one system call.

        Raises the FeedError that reading the same content raised before, or one if `window` is not a key.
        """
        entry = self._cache.get(window)
        if entry is None or entry[0] != self._version(window):
            return None
        if isinstance(entry[1], FeedError):
            raise entry[1].with_traceback(None)
        return entry[1]

    def read(self, window: str = "") -> FeedDocument:
        """Return the feed of a window, "" for the newest. Raises FeedError."""
        with self._lock:
            cached = self.cached(window)
            if cached is not None:
                return cached
            version = self._version(window)
            try:
                content = self._of_window(window) if window else self._newest()
                found: FeedDocument | FeedError = _parse_document(content, window)
            except Unreadable:
                raise
            except FeedError as error:
                found = error
            if version is not None:
                self._remember(window, version, found)
        if isinstance(found, FeedError):
            raise found
        return found

    def windows(self) -> list[str]:
        """Return the keys of the windows whose feeds are stored, newest first. Raises UnreachableObject."""
        version = self._lake.partitions_version(["master_feed"])
        if version is None or self._windows[0] != version:
            self._windows = (version, self._lake.partitions(["master_feed"], DOCUMENT_SUFFIX))
        return self._windows[1]

    @property
    def is_remote(self) -> bool:
        """Return whether feeds are at a URL, so that every look at one is a request."""
        return self.settings.feed_url is not None or self.settings.lake_url is not None

    def newest_version(self) -> Hashable | None:
        """Return a value that changes when the newest feed does, None if it is missing. Raises FeedError."""
        with _unreachable_is_unreadable():
            return self._document.version()

    def _version(self, window: str) -> Hashable | None:
        """Return the version of a feed, None if it is missing or unknown. Raises FeedError if `window` is not a key."""
        if not window:
            return self.newest_version()
        if not _is_key(window):
            raise FeedError("no_such_window", "a window key looks like 2026-01-19-16:45; /api/windows lists them", 404)
        with _unreachable_is_unreadable():
            return self._lake.version(["master_feed"], window, DOCUMENT_SUFFIX)

    def _newest(self) -> bytes:
        """Return the bytes of the newest feed. Raises FeedError if it is missing or cannot be read."""
        try:
            with _unreachable_is_unreadable():
                content = self._document.read()
        except OSError as error:
            reason = (
                f"{self._document.name} is not a file" if error.errno == errno.EINVAL else os.strerror(error.errno or 0)
            )
            raise Unreadable(f"the feed cannot be read: {reason}") from None
        if content is None:
            raise FeedError("missing", "there is no feed yet: run quant-assets scan DIR")
        return content

    def _of_window(self, window: str) -> bytes:
        """Return the bytes of the stored feed of a window. Raises FeedError if it is missing or damaged."""
        try:
            with _unreachable_is_unreadable():
                content = self._lake.read_document(["master_feed"], window)
        except DamagedTable:
            raise FeedError("half_written", "the stored feed of this window is damaged: materialize it again") from None
        except LakeError as error:  # its message has a folder of the server
            logging.getLogger(__name__).warning("%s", error)
            raise Unreadable("the stored feed of this window cannot be read; the server's log says why") from None
        if content is None:
            raise FeedError("no_such_window", f"no feed of the window {window} is stored", 404)
        return content

    def _remember(self, window: str, version: Hashable, found: FeedDocument | FeedError) -> None:
        self._cache[window] = (version, found)
        self._cache.move_to_end(window)
        older = [key for key in self._cache if key]
        for key in older[: max(len(older) - MAX_OLDER_FEEDS, 0)]:
            del self._cache[key]


@contextmanager
def _unreachable_is_unreadable() -> Iterator[None]:
    """Raise Unreadable if an object store cannot be reached."""
    try:
        yield
    except UnreachableObject as error:
        raise Unreadable(f"the feed cannot be read: {error}") from None


def file_version(path: Path) -> FileIdentity | None:
    """Return a value that changes when the file does; None if there is no file."""
    try:
        return FileIdentity.of(path.stat())
    except OSError:
        return None


def _is_key(text: str) -> bool:
    try:
        return Window.of_key(text).key == text
    except WindowError:
        return False


def _parse_document(content: bytes, window: str) -> FeedDocument:
    feed = _parse_feed(content)
    if window and feed["window"] != window:
        raise FeedError("invalid", "the feed is of another window than its file name says")
    return FeedDocument(content, feed, hashlib.blake2b(content, digest_size=8).hexdigest())


def _parse_feed(content: bytes) -> Json:
    """Return the parsed feed. Raises FeedError if it is not a valid feed of a supported version."""
    if not content.strip():
        raise FeedError("empty", "the feed is an empty file: run a new scan")
    try:
        feed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FeedError(
            "half_written",
            f"the feed is not valid JSON ({error}): it is incomplete, or another program wrote it; run a new scan",
        ) from None
    if isinstance(feed, list):
        raise FeedError("bare_list", f"the feed is a bare list of {len(feed)} signals, an old format: run a new scan")
    version = feed.get("schema_version") if isinstance(feed, dict) else None
    if not isinstance(version, str) or version not in SCHEMA_FILES:
        found = f"schema version {version!r:.40}" if version is not None else "no schema version"
        supported = " and ".join(SCHEMA_FILES)
        raise FeedError("other_schema", f"the feed has {found}, this dashboard reads {supported}: run a new scan")
    problems = feed_problems(content)
    if problems:
        raise FeedError("invalid", f"the feed does not match its schema: {problems[0]:.300}")
    checked: Json = feed
    return checked
