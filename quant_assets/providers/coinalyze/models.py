"""Parsers of the API's responses.

Invalid rows are skipped and counted; valid rows beside them are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final, TypeVar

import orjson

from quant_assets.providers.base import Exchange, History, Market

#: The year 2100 in UNIX seconds: a later time is in milliseconds, or invalid.
MAX_TIMESTAMP: Final = 4_102_444_800
#: Numbers from here on are invalid.
MAX_NUMBER: Final = 1e24

Row = TypeVar("Row")


class MalformedResponse(ValueError):
    """A body that is not what the endpoint is documented to return."""


def read_exchanges(body: bytes) -> tuple[tuple[Exchange, ...], int]:
    """Parse `/exchanges` and return the rows and the number of invalid ones. Raise MalformedResponse."""
    return _parse_rows(body, lambda row: Exchange(_require_str(row, "code"), _require_str(row, "name")))


def read_markets(body: bytes) -> tuple[tuple[Market, ...], int]:
    """Parse a market list and return the rows and the number of invalid ones. Raise MalformedResponse.

    A missing flag is False; a row without symbol, exchange or base asset is invalid.
    """
    return _parse_rows(body, _market)


def read_history(
    body: bytes, fields: str, requested: Iterable[str], *, signed: bool = True
) -> tuple[tuple[History, ...], int]:
    """Parse a history response with points of `fields` (names separated by spaces, like `"o h l c"`).

    Return one History for each requested symbol in the response, and the number of invalid rows and points: of the
    wrong type, not finite, negative if values are not `signed` (amounts are not, rates are), at an impossible time, or
    of a symbol that was not requested. Of points with the same time the last one is kept.

    Raise MalformedResponse, also if there are several rows and all are invalid. One symbol may be invalid by itself;
    if all are, the response is at fault, and no symbol must count as one without data.
    """
    names = fields.split()
    pick = itemgetter("t", *names)
    allowed = set(requested)
    histories: dict[str, History] = {}
    invalid, any_valid = 0, False
    rows = _parse_list(body)
    for row in rows:
        symbol = row.get("symbol") if isinstance(row, dict) else None
        points = row.get("history") if isinstance(row, dict) else None
        if not isinstance(symbol, str) or symbol not in allowed or symbol in histories or not isinstance(points, list):
            invalid += 1
            continue
        valid_points, invalid_points = _parse_points(points, pick, signed=signed)
        invalid += invalid_points
        any_valid = any_valid or bool(valid_points) or not invalid_points
        histories[symbol] = History(symbol, valid_points)
    if len(rows) > 1 and not any_valid:
        raise MalformedResponse(f"all {len(rows)} rows are invalid")
    return tuple(histories.values()), invalid


def _parse_points(
    points: list[Any], pick: Callable[[Any], tuple[Any, ...]], *, signed: bool
) -> tuple[tuple[tuple[float, ...], ...], int]:
    kept: dict[int, tuple[float, ...]] = {}
    invalid = 0
    for point in points:
        try:
            t, *rest = pick(point)
            timestamp = _parse_number(t)
            numbers = tuple(_parse_number(value) for value in rest)
        except (KeyError, TypeError, ValueError, OverflowError):
            invalid += 1
            continue
        if not 0 < timestamp < MAX_TIMESTAMP or timestamp % 1 or not (signed or min(numbers) >= 0):
            invalid += 1
            continue
        time = int(timestamp)
        invalid += time in kept
        kept[time] = (time, *numbers)
    return tuple(kept[time] for time in sorted(kept)), invalid


def _parse_list(body: bytes) -> list[Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedResponse(f"the body is not JSON: {error}") from None
    if not isinstance(parsed, list):
        raise MalformedResponse(f"the body is a JSON {type(parsed).__name__}, not a list")
    return parsed


def _parse_rows(body: bytes, read: Callable[[dict[str, Any]], Row]) -> tuple[tuple[Row, ...], int]:
    rows: list[Row] = []
    invalid = 0
    for row in _parse_list(body):
        try:
            rows.append(read(_require_object(row)))
        except (KeyError, TypeError, ValueError, OverflowError):
            invalid += 1
    return tuple(rows), invalid


def _market(row: dict[str, Any]) -> Market:
    expire_at = row.get("expire_at")
    return Market(
        symbol=_require_str(row, "symbol"),
        exchange=_require_str(row, "exchange"),
        symbol_on_exchange=_str_or_empty(row, "symbol_on_exchange"),
        base_asset=_require_str(row, "base_asset"),
        quote_asset=_str_or_empty(row, "quote_asset"),
        is_perpetual=row.get("is_perpetual") is True,
        margined=_str_or_empty(row, "margined"),
        expire_at=None if expire_at is None else int(_parse_number(expire_at)),
        oi_lq_vol_denominated_in=_str_or_empty(row, "oi_lq_vol_denominated_in"),
        has_long_short_ratio_data=row.get("has_long_short_ratio_data") is True,
        has_ohlcv_data=row.get("has_ohlcv_data") is True,
        has_buy_sell_data=row.get("has_buy_sell_data") is True,
    )


def _require_object(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TypeError("a row is not an object")
    return row


def _str_or_empty(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _require_str(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is not a non-empty string")
    return value


def _parse_number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("a boolean is not a number")
    number = float(value)
    if not abs(number) < MAX_NUMBER:
        raise ValueError("not finite, or too large")
    return number
