"""A request as it is sent, in the parts that decide what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import orjson
import requests


@dataclass(frozen=True, slots=True)
class SentRequest:
    """The path, the query and the JSON body (empty for a GET) of a request."""

    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @classmethod
    def of(cls, request: requests.PreparedRequest) -> Self:
        """Read a prepared request of the library requests."""
        parts = urlsplit(request.url or "")
        body = orjson.loads(request.body) if request.body else {}
        return cls(parts.path, dict(parse_qsl(parts.query)), body)

    def __str__(self) -> str:
        """Return a short text for messages."""
        kind = f" {self.body['type']}" if "type" in self.body else ""
        return f"{self.path}{kind}"
