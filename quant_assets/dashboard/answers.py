"""Answers over HTTP: bytes that are made once, compressed once, and sent again as a 304 where nothing changed."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
CACHE_BYTES: Final = 32_000_000
MIN_PACKED: Final = 512
#: Ask each time whether it changed; the question costs no more than a 304.
REVALIDATE: Final = "no-cache"


@dataclass
class Answer:
    """A whole body, and what it is; its gzip is made when the first client takes it."""

    body: bytes
    media_type: str = JSON
    etag: str = ""
    cache_control: str = REVALIDATE
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the body by its content where it has no name yet."""
        if not self.etag:
            self.etag = hashlib.blake2b(self.body, digest_size=8).hexdigest()

    @cached_property
    def packed(self) -> bytes:
        """The body as gzip."""
        return gzip.compress(self.body, 5, mtime=0)

    @property
    def size(self) -> int:
        """About how many bytes it holds in memory."""
        return len(self.body) + len(self.body) // 6

    @classmethod
    def of(cls, value: Any, **more: Any) -> Answer:
        """Make an answer of JSON."""
        return cls(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), **more)


class AnswerCache:
    """The answers used last, as many as fit; a key holds everything that an answer depends on."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Answer | None:
        """Return an answer that is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def made(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """Return the answer that is kept, or make and keep it."""
        found = self.get(key)
        if found is None:
            found = make()
            _ = found.packed
            with self._lock:
                old = self._kept.pop(key, None)
                self._size += found.size - (old.size if old else 0)
                self._kept[key] = found
                while self._size > self._most and len(self._kept) > 1:
                    self._size -= self._kept.popitem(last=False)[1].size
        return found


def send(request: Request, answer: Answer, status: int = 200, cache_control: str | None = None) -> Response:
    """Send an answer: 304 where the client has it, gzip where the client takes it."""
    headers = {
        "ETag": f'W/"{answer.etag}"',
        "Cache-Control": cache_control or answer.cache_control,
        "Vary": "Accept-Encoding",
        **answer.headers,
    }
    if status == 200 and _has(request.headers.get("if-none-match", ""), answer.etag):
        return Response(status_code=304, headers=headers)
    if len(answer.body) >= MIN_PACKED and _takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(
            answer.packed, status, headers={**headers, "Content-Encoding": "gzip"}, media_type=answer.media_type
        )
    return Response(answer.body, status, headers=headers, media_type=answer.media_type)


def unkept(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Send JSON that is true for this moment alone."""
    return Response(
        orjson.dumps(value), status, headers={"Cache-Control": "no-store", **(headers or {})}, media_type=JSON
    )


def problem(code: str, message: str, status: int) -> Response:
    """Say in JSON what is the matter."""
    return unkept({"error": {"code": code, "message": message}}, status)


def _has(header: str, etag: str) -> bool:
    names = {name.strip().removeprefix("W/").strip('"') for name in header.split(",")}
    return etag in names or header.strip() == "*"


def _takes_gzip(header: str) -> bool:
    for item in header.lower().split(","):
        name, _, quality = item.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
