"""Describe the API of an exchange: its routes, weights, limits and ways to refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.venue import Venue
from quant_assets.emulator.noise import Floats


class BadParameter(Exception):
    """A parameter is missing or invalid; the message names it."""


class Refusal(Exception):
    """A request that the exchange refuses in its own words."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Query:
    """The parameters of a request: parts of its path, its query, and the fields of a JSON body."""

    def __init__(self, path: tuple[str, ...], fields: Mapping[str, Any]) -> None:
        self.path, self.fields = path, fields

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter; raise BadParameter where it is missing and there is no default."""
        value = self.fields.get(name)
        if value is None or value == "":
            if default is None:
                raise BadParameter(name)
            return default
        return str(value)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a parameter as a whole number; raise BadParameter."""
        text = self.text(name, None if default is None else str(default))
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
            raise BadParameter(name)
        return int(text)

    def optional(self, name: str) -> int | None:
        """Return a parameter as a whole number, None where it is missing; raise BadParameter."""
        return None if self.fields.get(name) in (None, "") else self.integer(name)

    def limit(self, default: int, maximum: int, name: str = "limit") -> int:
        """Return the number of rows to send, from 1 to the maximum; a larger number is cut to it."""
        number = self.integer(name, default)
        if number < 1:
            raise BadParameter(name)
        return min(number, maximum)

    def choice(self, name: str, choices: Mapping[str, int]) -> int:
        """Return what a parameter's value stands for; raise BadParameter."""
        text = self.text(name)
        if text not in choices:
            raise BadParameter(name)
        return choices[text]


@dataclass(frozen=True, slots=True)
class Limit:
    """`weight` in any `seconds`; a request beyond it is refused.

    With `ban_seconds`, everything is refused for so long after `ban_after` refusals without a success between them.
    """

    weight: int
    seconds: float
    per_endpoint: bool = False
    ban_after: int = 1
    ban_seconds: float = 0.0


Handler = Callable[[Venue, Query], Any]
Weight = Callable[[Query, Any], int]


@dataclass(frozen=True, slots=True)
class Route:
    """A request that an API knows: the function that makes the body, what it costs, and a limit of its own.

    `weight` may be a function of the query and of the body that was made (None for a refusal).
    """

    handler: Handler
    weight: int | Weight = 1
    limit: Limit | None = None

    def cost(self, query: Query, body: Any) -> int:
        """Return the weight of a request."""
        return self.weight if isinstance(self.weight, int) else self.weight(query, body)


@dataclass(frozen=True, slots=True)
class Refused:
    """What a limit says: how much it allows, and how many seconds until there is room again."""

    limit: Limit
    wait_seconds: float
    now: float


DATED = 1_830_240_000
"""2027-12-31 08:00 UTC, when dated futures are settled."""

DELISTED_AT = 1_757_000_000
"""2025-09-04, when some perpetuals were delisted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherContract:
    """A contract that no scan wants, as real lists have them: dated, delisted, or margined in the base.

    Its bars are those of the simulated market of `asset`, for `multiplier` units.
    """

    id: str
    base: str
    quote: str
    settle: str
    asset: str = "BTC"
    multiplier: int = 1
    expires: int | None = None
    delisted: int | None = None
    inverse: bool = False
    size: float = 1.0
    listed: int = 1_741_000_500


@dataclass(frozen=True, kw_only=True)
class ExchangeApi:
    """The API of one exchange.

    Attributes:
        name: as settings and candle files call it.
        routes: by method and path, like `GET /v5/market/kline`; `{}` stands for a part of the path.
        limit: that of every route without one of its own.
        contract_id: the id of a perpetual by base and quote.
        counts_contracts: whether its bars and amounts are in contracts.
        funding_hours: how often its perpetuals pay, the first most often.
        other_contracts: dated, delisted, inverse and odd contracts that its list has besides.
        unknown_contract, bad_parameter, unknown_path, over_limit, banned: its ways to refuse.
        prepare: what makes the path of `routes` from a request's path and fields, for an API with one path for all.
        headers: what it adds to each response, by the weight spent and the limit.
    """

    name: str
    routes: Mapping[str, Route]
    limit: Limit
    contract_id: Callable[[str, str], str]
    unknown_contract: Callable[[str, float], Response]
    bad_parameter: Callable[[str, float], Response]
    unknown_path: Callable[[str, float], Response]
    over_limit: Callable[[Refused], Response]
    banned: Callable[[Refused], Response]
    counts_contracts: bool = False
    funding_hours: tuple[int, ...] = (8, 8, 8, 4)
    other_contracts: tuple[OtherContract, ...] = ()
    prepare: Callable[[str, Mapping[str, Any]], str] = field(default=lambda path, fields: path)  # noqa: ARG005
    headers: Callable[[int, Limit], Mapping[str, str]] = field(default=lambda spent, limit: {})  # noqa: ARG005


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(status, orjson.dumps(body), headers=headers or {})


def number_text(value: float) -> str:
    """Return a number as exchanges write it in text: every digit, no exponent, no trailing `.0`."""
    text = repr(float(value))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def number_texts(values: Floats) -> list[str]:
    """Return numbers as text, see number_text; all at once, since this is most of the work of a response."""
    joined = orjson.dumps(values.tolist()).decode()[1:-1] + ","
    if "e" in joined or len(values) == 0:
        return [number_text(value) for value in values.tolist()]
    return joined.replace(".0,", ",")[:-1].split(",")


def json_number(value: float) -> float | int:
    """Return a number as JSON has it: a whole one as an integer."""
    return int(value) if value == int(value) else value


def match_path(pattern: str, path: str) -> tuple[str, ...] | None:
    """Return the parts of a path that stand for `{}` in a pattern, None if it does not match."""
    expected, given = pattern.split("/"), path.split("/")
    if len(expected) != len(given):
        return None
    pairs = list(zip(expected, given, strict=True))
    if any(part not in ("{}", value) for part, value in pairs):
        return None
    return tuple(value for part, value in pairs if part == "{}")
