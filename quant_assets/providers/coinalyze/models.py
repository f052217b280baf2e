"""What the API answers, as types.

A row that is broken is left out and counted; it never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

import orjson

LATEST_SECOND: Final = 4_102_444_800  # the year 2100: a later time is milliseconds, or nonsense

LARGEST: Final = 1e24

Row = TypeVar("Row")


class MalformedResponse(ValueError):
    """A body that is not what the endpoint is documented to answer."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A row of `/exchanges`."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Market:
    """A row of `/future-markets`. `expire_at` is epoch ms, None for never."""

    symbol: str
    exchange: str
    symbol_on_exchange: str
    base_asset: str
    quote_asset: str
    is_perpetual: bool
    margined: str
    expire_at: int | None
    oi_lq_vol_denominated_in: str
    has_long_short_ratio_data: bool
    has_ohlcv_data: bool
    has_buy_sell_data: bool


@dataclass(frozen=True, slots=True)
class CurrentValue:
    """A row of a current-value endpoint. `update` is epoch ms; rates are percent."""

    symbol: str
    value: float
    update: int


@dataclass(frozen=True, slots=True)
class History:
    """One symbol's bars, ascending by time and without duplicates.

    A point is `(t, *values)`, t the UNIX second at which the bar opens, the values in the order of `fields`.
    """

    symbol: str
    fields: str
    points: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Answer(Generic[Row]):
    """The rows of one answer, how many rows or points were broken and left out, and whether they are made up.

    `answered_at` is the provider's time of day as it answered (UNIX seconds), None where it did not tell.
    """

    rows: tuple[Row, ...]
    broken: int
    simulated: bool
    answered_at: float | None = None


def read_exchanges(body: bytes) -> tuple[tuple[Exchange, ...], int]:
    """Read `/exchanges`; returns the rows and how many were broken. Raises MalformedResponse."""
    return _read_rows(body, lambda row: Exchange(_text(row, "code"), _text(row, "name")))


def read_markets(body: bytes) -> tuple[tuple[Market, ...], int]:
    """Read a market list; returns the rows and how many were broken. Raises MalformedResponse.

    A missing flag means no; a missing symbol, exchange or base asset makes the row useless.
    """
    return _read_rows(body, _market)


def read_current(body: bytes) -> tuple[tuple[CurrentValue, ...], int]:
    """Read a current-value answer; returns the rows and how many were broken. Raises MalformedResponse."""
    return _read_rows(
        body,
        lambda row: CurrentValue(_text(row, "symbol"), _number(row["value"]), int(_number(row["update"]))),
    )


def read_history(
    body: bytes, fields: str, asked: Iterable[str], *, signed: bool = True
) -> tuple[tuple[History, ...], int]:
    """Read a history answer with points of `fields` (names separated by spaces, like `"o h l c"`).

    Returns one History for each symbol that was asked for and answered, and how many rows or points were
    broken: of the wrong type, not finite, below 0 where values are not `signed` (an amount is not, a rate is), at an
    impossible time, or of a symbol that nobody asked for. Of points at the same time the last counts.

    Raises MalformedResponse, also where several rows came and none can be read: one symbol may be broken by itself, all
    of them at once are a fault of the answer, and no symbol is to be taken for one without data because of it.
    """
    names = fields.split()
    pick = itemgetter("t", *names)
    wanted = set(asked)
    histories: dict[str, History] = {}
    broken, sound = 0, False
    rows = _rows(body)
    for row in rows:
        symbol = row.get("symbol") if isinstance(row, dict) else None
        points = row.get("history") if isinstance(row, dict) else None
        if not isinstance(symbol, str) or symbol not in wanted or symbol in histories or not isinstance(points, list):
            broken += 1
            continue
        good, bad = _points(points, pick, signed=signed)
        broken += bad
        sound = sound or bool(good) or not bad
        histories[symbol] = History(symbol, fields, good)
    if len(rows) > 1 and not sound:
        raise MalformedResponse(f"none of the {len(rows)} rows can be read")
    return tuple(histories.values()), broken


def _points(
    points: list[Any], pick: Callable[[Any], tuple[Any, ...]], *, signed: bool
) -> tuple[tuple[tuple[float, ...], ...], int]:
    kept: dict[int, tuple[float, ...]] = {}
    broken = 0
    for point in points:
        try:
            t, *rest = pick(point)
            moment = _number(t)
            numbers = tuple(_number(value) for value in rest)
        except (KeyError, TypeError, ValueError, OverflowError):
            broken += 1
            continue
        if not 0 < moment < LATEST_SECOND or moment % 1 or not (signed or min(numbers) >= 0):
            broken += 1
            continue
        time = int(moment)
        broken += time in kept
        kept[time] = (time, *numbers)
    return tuple(kept[time] for time in sorted(kept)), broken


def _rows(body: bytes) -> list[Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedResponse(f"the body is not JSON: {error}") from None
    if not isinstance(parsed, list):
        raise MalformedResponse(f"the body is a JSON {type(parsed).__name__}, not a list")
    return parsed


def _read_rows(body: bytes, read: Callable[[dict[str, Any]], Row]) -> tuple[tuple[Row, ...], int]:
    rows: list[Row] = []
    broken = 0
    for row in _rows(body):
        try:
            rows.append(read(_object(row)))
        except (KeyError, TypeError, ValueError, OverflowError):
            broken += 1
    return tuple(rows), broken


def _market(row: dict[str, Any]) -> Market:
    expire_at = row.get("expire_at")
    return Market(
        symbol=_text(row, "symbol"),
        exchange=_text(row, "exchange"),
        symbol_on_exchange=_text_or_empty(row, "symbol_on_exchange"),
        base_asset=_text(row, "base_asset"),
        quote_asset=_text_or_empty(row, "quote_asset"),
        is_perpetual=row.get("is_perpetual") is True,
        margined=_text_or_empty(row, "margined"),
        expire_at=None if expire_at is None else int(_number(expire_at)),
        oi_lq_vol_denominated_in=_text_or_empty(row, "oi_lq_vol_denominated_in"),
        has_long_short_ratio_data=row.get("has_long_short_ratio_data") is True,
        has_ohlcv_data=row.get("has_ohlcv_data") is True,
        has_buy_sell_data=row.get("has_buy_sell_data") is True,
    )


def _object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TypeError("a row is no object")
    return row


def _text_or_empty(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _text(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is no text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    number = float(value)
    if not abs(number) < LARGEST:
        raise ValueError("not finite, or beyond anything that is traded")
    return number
