"""Feeds as they lie on disk: reading them once, and saying what is the matter with one that cannot be shown.

A file is read again only when it changed.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window, WindowError
from quant_assets.feed import feed_problems
from quant_assets.feed.contract import SCHEMA_FILES
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake, LakeError

Json = dict[str, Any]
Version = tuple[int, int, int]
Market = tuple[str, str]

#: Feeds of older windows that stay in memory beside the newest.
OLDER_KEPT: Final = 2


class FeedProblem(Exception):
    """A feed that cannot be shown; `code` is for programs, the message for people, `status` for HTTP."""

    def __init__(self, code: str, message: str, status: int = 503) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, eq=False)
class Document:
    """One feed: its bytes as they are on disk, what they say, and a name for exactly these bytes."""

    content: bytes
    feed: Json
    etag: str

    @property
    def window(self) -> Window:
        """The window that it speaks of."""
        return Window.of_key(self.feed["window"])

    @cached_property
    def markets(self) -> dict[Market, list[Json]]:
        """The signals of each market, by exchange and symbol."""
        markets: dict[Market, list[Json]] = {}
        for signal in self.feed["signals"]:
            markets.setdefault((signal["exchange"], signal["symbol"]), []).append(signal)
        return markets


class FeedRepository:
    """The feeds of a data folder. May be used by several threads; each file is read by one of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lake = Lake(settings.lake_dir)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Version, Document | FeedProblem]] = OrderedDict()
        self._windows: tuple[Version | None, list[str]] = (None, [])

    def path(self, window: str) -> Path:
        """Return where the feed of a window lies, empty for the newest. Raises FeedProblem for what is no window."""
        if not window:
            return self.settings.feed_path
        return self._lake.path(["master_feed"], window_key(window), DOCUMENT_SUFFIX)

    def kept(self, window: str) -> Document | None:
        """Return a feed that is in memory and still as on disk; None where it has to be read. Costs one look."""
        kept = self._kept.get(window)
        if kept is None or kept[0] != version_of(self.path(window)):
            return None
        if isinstance(kept[1], FeedProblem):
            raise kept[1].with_traceback(None)
        return kept[1]

    def read(self, window: str = "") -> Document:
        """Return the feed of a window, empty for the newest. Raises FeedProblem, which says what is the matter."""
        path = self.path(window)
        with self._lock:
            kept = self.kept(window)
            if kept is not None:
                return kept
            version = version_of(path)
            try:
                found: Document | FeedProblem = _document(self._content(window), window)
            except FeedProblem as problem:
                found = problem
            self._keep(window, version, found)
        if isinstance(found, FeedProblem):
            raise found
        return found

    def windows(self) -> list[str]:
        """Return the keys of the windows whose feeds are stored, newest first."""
        folder = self._lake.root / "master_feed"
        version = version_of(folder)  # of a folder, it changes with every file that comes or goes
        if version is None:
            return []
        if self._windows[0] != version:
            stems = (
                path.name.removesuffix(DOCUMENT_SUFFIX) for path in folder.glob(f"????-??-??-????{DOCUMENT_SUFFIX}")
            )
            keys = (f"{stem[:-2]}:{stem[-2:]}" for stem in stems)
            self._windows = (version, sorted((key for key in keys if _is_key(key)), reverse=True))
        return self._windows[1]

    def _content(self, window: str) -> bytes:
        """Return the bytes of a feed. Raises FeedProblem where there are none."""
        path = self.path(window)
        if path.exists() and not path.is_file():  # a pipe would be waited for without an end
            raise FeedProblem("unreadable", f"the feed cannot be read: {path.name} is no file")
        try:
            content = (
                self._lake.read_document(["master_feed"], window) if window else self.settings.feed_path.read_bytes()
            )
        except FileNotFoundError:
            raise FeedProblem("missing", "there is no feed yet: quant-assets scan DIR writes one") from None
        except OSError as error:
            raise FeedProblem("unreadable", f"the feed cannot be read: {error.strerror}") from None
        except LakeError:
            raise FeedProblem("half_written", "the feed of this window is damaged; materialize it again") from None
        if content is None:
            raise FeedProblem("no_such_window", f"no feed of the window {window} is stored", 404)
        return content

    def _keep(self, window: str, version: Version | None, found: Document | FeedProblem) -> None:
        if version is None:
            return
        self._kept[window] = (version, found)
        self._kept.move_to_end(window)
        for key in [key for key in self._kept if key][: -OLDER_KEPT or None]:
            del self._kept[key]


def window_key(text: str) -> str:
    """Return a window's key as it was given. Raises FeedProblem for anything that is not exactly a key."""
    if not _is_key(text):
        raise FeedProblem("no_such_window", "a window is named like 2026-01-19-16:45; /api/windows lists them", 404)
    return text


def version_of(path: Path) -> Version | None:
    """Return what tells one state of a file from the next; None where there is no file."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def _is_key(text: str) -> bool:
    try:
        return Window.of_key(text).key == text
    except WindowError:
        return False


def _document(content: bytes, window: str) -> Document:
    feed = _understood(content)
    if window and feed["window"] != window:
        raise FeedProblem("invalid", "the feed speaks of another window than its file's name")
    return Document(content, feed, hashlib.blake2b(content, digest_size=8).hexdigest())


def _understood(content: bytes) -> Json:
    """Return what a feed says. Raises FeedProblem where it is not what this program can show."""
    if not content.strip():
        raise FeedProblem("empty", "the feed is an empty file; the next scan replaces it")
    try:
        feed = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FeedProblem(
            "half_written",
            f"the feed is no whole JSON ({error}): something other than a scan wrote it, or only half of it is there",
        ) from None
    if isinstance(feed, list):
        raise FeedProblem(
            "bare_list", f"the feed is a bare list of {len(feed)} signals, the form before schemas; scan anew"
        )
    version = feed.get("schema_version") if isinstance(feed, dict) else None
    if not isinstance(version, str) or version not in SCHEMA_FILES:
        there = f"of schema {version!r:.40}" if version is not None else "without a schema version"
        shown = " and ".join(SCHEMA_FILES)
        raise FeedProblem("other_schema", f"the feed is {there}; this dashboard shows {shown}: scan anew")
    problems = feed_problems(content)
    if problems:
        raise FeedProblem("invalid", f"the feed breaks its contract: {problems[0]:.300}")
    known: Json = feed
    return known
