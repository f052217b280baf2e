"""HTTP responses that are built once, compressed once, cached, and answered with 304 where nothing changed."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.responses import Response

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
CACHE_BYTES: Final = 32_000_000
MIN_GZIP_BYTES: Final = 512
#: Browsers ask each time whether the response changed; an unchanged one costs a 304.
REVALIDATE: Final = "no-cache"


@dataclass
class CachedResponse:
    """A whole body with its media type; its gzip is made on first use."""

    body: bytes
    media_type: str = JSON
    etag: str = ""
    cache_control: str = REVALIDATE

    def __post_init__(self) -> None:
        """Derive the ETag from the body where none is given."""
        if not self.etag:
            self.etag = hashlib.blake2b(self.body, digest_size=8).hexdigest()

    @cached_property
    def gzipped(self) -> bytes:
        """The body as gzip."""
        return gzip.compress(self.body, 5, mtime=0)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.body) + len(self.body) // 6

    @classmethod
    def from_json(cls, value: Any) -> CachedResponse:
        """Serialize a value to a JSON response."""
        return cls(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))


class ResponseCache:
    """An LRU cache of responses, limited by bytes; a key holds everything that its response depends on."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._responses: OrderedDict[Hashable, CachedResponse] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> CachedResponse | None:
        """Return the cached response, or None."""
        with self._lock:
            found = self._responses.get(key)
            if found is not None:
                self._responses.move_to_end(key)
            return found

    def get_or_make(self, key: Hashable, make: Callable[[], CachedResponse]) -> CachedResponse:
        """Return the cached response, or make and cache it."""
        found = self.get(key)
        if found is None:
            found = make()
            _ = found.gzipped
            with self._lock:
                old = self._responses.pop(key, None)
                self._size += found.size - (old.size if old else 0)
                self._responses[key] = found
                while self._size > self._max_bytes and len(self._responses) > 1:
                    self._size -= self._responses.popitem(last=False)[1].size
        return found


def send(request: Request, response: CachedResponse, status: int = 200, cache_control: str | None = None) -> Response:
    """Return the response to send: 304 where the client has it already, gzipped where the client accepts gzip."""
    headers = {
        "ETag": f'W/"{response.etag}"',
        "Cache-Control": cache_control or response.cache_control,
        "Vary": "Accept-Encoding",
    }
    if status == 200 and _matches_etag(request.headers.get("if-none-match", ""), response.etag):
        return Response(status_code=304, headers=headers)
    if len(response.body) >= MIN_GZIP_BYTES and _accepts_gzip(request.headers.get("accept-encoding", "")):
        return Response(
            response.gzipped, status, headers={**headers, "Content-Encoding": "gzip"}, media_type=response.media_type
        )
    return Response(response.body, status, headers=headers, media_type=response.media_type)


def uncached_json(value: Any, status: int = 200) -> Response:
    """Return JSON that no client may cache."""
    return Response(orjson.dumps(value), status, headers={"Cache-Control": "no-store"}, media_type=JSON)


def error_json(code: str, message: str, status: int) -> Response:
    """Return an error as JSON: `code` is for programs, `message` for people."""
    return uncached_json({"error": {"code": code, "message": message}}, status)


def _matches_etag(header: str, etag: str) -> bool:
    names = {name.strip().removeprefix("W/").strip('"') for name in header.split(",")}
    return etag in names or header.strip() == "*"


def _accepts_gzip(header: str) -> bool:
    for item in header.lower().split(","):
        name, _, quality = item.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
