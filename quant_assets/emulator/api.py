"""Parse the requests of the Coinalyze API and build the responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from quant_assets.emulator.history import INTERVALS, current_value, history_points
from quant_assets.emulator.universe import Listing, Universe

SYMBOLS_PER_REQUEST = 20
_PREFIX = "/v1"

LISTS: Mapping[str, Callable[[Universe], list[dict[str, Any]]]] = {
    "/exchanges": lambda universe: [{"name": name, "code": code} for name, code in universe.exchanges],
    "/future-markets": lambda universe: [row.body() for row in universe.rows],
    "/spot-markets": lambda universe: [row.body() for row in universe.spot],
}
CURRENT = {
    "/open-interest": "open_interest",
    "/funding-rate": "funding_rate",
    "/predicted-funding-rate": "predicted_funding_rate",
}
HISTORIES = {
    "/open-interest-history": "open_interest",
    "/funding-rate-history": "funding_rate",
    "/predicted-funding-rate-history": "predicted_funding_rate",
    "/liquidation-history": "liquidations",
    "/long-short-ratio-history": "long_short_ratio",
    "/ohlcv-history": "ohlcv",
}
_CONVERTIBLE = ("open_interest", "liquidations")


class RequestError(Exception):
    """An invalid request, with the status and headers of its response."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


@dataclass(frozen=True, slots=True)
class Request:
    """A valid request; `start` and `stop` are UNIX seconds, both inclusive."""

    endpoint: str
    symbols: tuple[str, ...] = ()
    interval: str = ""
    start: int = 0
    stop: int = 0
    usd: bool = False

    @property
    def calls(self) -> int:
        """Return the cost of the request in calls: one for each symbol, one for a list."""
        return max(1, len(self.symbols))


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body and headers of a response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_error(cls, error: RequestError) -> Response:
        """Return the response to an invalid request, as JSON."""
        return cls(error.status, orjson.dumps({"message": error.message}), headers=error.headers)

    @classmethod
    def of_server_error(cls, status: int) -> Response:
        """Return a server error as the provider sends it (JSON, 500) or the gateway in front of it (HTML)."""
        phrase = HTTPStatus(status).phrase
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return cls(status, orjson.dumps({"message": phrase}))
        return cls.of_page(f"{status} {phrase}", status)

    def garbled(self) -> Response:
        """Return this response with half of its body, which pretends to be whole."""
        return replace(self, body=self.body[: len(self.body) // 2])

    @classmethod
    def of_page(cls, title: str, status: int = 200) -> Response:
        """Return a web page, as a gateway sends it in place of the API's response."""
        page = f"<html><head><title>{title}</title></head><body>{title}</body></html>"
        return cls(status, page.encode(), "text/html")


def parse_request(target: str, header_key: str | None, key: str) -> Request:
    """Parse the target of a GET request; raise RequestError with 404, 401 or 400, checked in this order."""
    parts = urlsplit(target)
    endpoint = parts.path.removeprefix(_PREFIX).rstrip("/")
    known = endpoint in LISTS or endpoint in CURRENT or endpoint in HISTORIES
    if not known or not parts.path.startswith(_PREFIX + "/"):
        raise RequestError(404, f"Cannot GET {parts.path}")
    given = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if (header_key or given.get("api_key")) != key:
        raise RequestError(401, "Invalid or missing API key")
    if endpoint in LISTS:
        return Request(endpoint)
    symbols = tuple(given.get("symbols", "").split(","))
    if not all(symbols):
        raise RequestError(400, "symbols is required: comma separated, none of them empty")
    if len(symbols) > SYMBOLS_PER_REQUEST:
        raise RequestError(400, f"at most {SYMBOLS_PER_REQUEST} symbols in a request, not {len(symbols)}")
    usd = _flag(given, "convert_to_usd")
    if endpoint in CURRENT:
        return Request(endpoint, symbols, usd=usd)
    interval = given.get("interval", "")
    if interval not in INTERVALS:
        raise RequestError(400, f"interval must be one of {' '.join(INTERVALS)}")
    start, stop = _seconds(given, "from"), _seconds(given, "to")
    if start > stop:
        raise RequestError(400, "from must not be after to")
    return Request(endpoint, symbols, interval, start, stop, usd)


def respond(request: Request, universe: Universe, now: float) -> Response:
    """Return the response to a request at `now` (UNIX seconds)."""
    if request.endpoint in LISTS:
        return Response(200, orjson.dumps(LISTS[request.endpoint](universe)))
    dataset = CURRENT.get(request.endpoint) or HISTORIES[request.endpoint]
    usd = request.usd and dataset in _CONVERTIBLE
    body: list[dict[str, Any]] = []
    for symbol in request.symbols:
        listing = universe.listings.get(symbol)
        if listing is None or dataset not in listing.datasets:
            continue
        if request.endpoint in CURRENT:
            body.extend(_current(listing, dataset, now, usd))
        elif dataset in listing.empty:
            body.append({"symbol": symbol, "history": []})
        else:
            history = history_points(listing, dataset, request.interval, request.start, request.stop, now, usd=usd)
            body.append({"symbol": symbol, "history": history})
    return Response(200, orjson.dumps(body))


def _current(listing: Listing, dataset: str, now: float, usd: bool) -> list[dict[str, Any]]:
    """Return a list with the current value, empty if the contract is no longer traded."""
    expires = listing.row.expire_at
    if expires is not None and expires <= now * 1000:
        return []
    value = current_value(listing, dataset, now, usd=usd)
    if value is None:
        return []
    return [{"symbol": listing.row.symbol, "value": value[0], "update": value[1]}]


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false")
    if text not in ("true", "false"):
        raise RequestError(400, f"{name} must be true or false")
    return text == "true"


def _seconds(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise RequestError(400, f"{name} is required, in UNIX seconds")
    return int(text)
