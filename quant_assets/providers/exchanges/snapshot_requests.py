"""Describe the requests that give the open interest and funding of an exchange's markets, and read their responses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Row = Mapping[str, Any]
#: A funding rate as a fraction is far below this; a larger one is in another unit.
MAX_FUNDING_FRACTION: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """One request to an exchange, and where its response has what a snapshot needs.

    Attributes:
        method: the method of ccxt that sends it, and returns the body as it came.
        parameters: its parameters.
        symbol_parameter: the parameter that names a market, for a request about one market; empty if the response has
            all markets.
        rows: body → rows, each about one market.
        symbol: the field of a row with the exchange's own id.
        open_interest: the field with the open interest, in contracts or in base units as the exchange counts volumes;
            empty if the response has none.
        funding_rate: the field with the funding rate as a fraction for the exchange's interval; empty if it has none.
        interval_hours: row → hours that the funding rate is for; None if the row does not say, NaN if it is no number.
        default_interval_hours: that of markets of which no request of the exchange says it; None if nobody says.
        may_be_empty: whether a response without rows can be right.
    """

    method: str
    parameters: Row = field(default_factory=dict)
    symbol_parameter: str = ""
    rows: Callable[[Any], Iterable[Row]] = list
    symbol: str = "symbol"
    open_interest: str = ""
    funding_rate: str = ""
    interval_hours: Callable[[Row], float | None] | None = None
    default_interval_hours: float | None = None
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSnapshot:
    """What an exchange says of one market at a moment; None where it says nothing.

    Attributes:
        symbol: the exchange's own id.
        open_interest: in base units, in the multiplier of the symbol (of 1000PEPE, thousands of PEPE).
        funding_rate_pct: percent for `interval_hours`.
        interval_hours: hours that the rate is for.
        observed_ms: when the response came, epoch milliseconds of the local clock.
    """

    symbol: str
    open_interest: float | None = None
    funding_rate_pct: float | None = None
    interval_hours: float | None = None
    observed_ms: int

    @property
    def is_empty(self) -> bool:
        """Return whether the exchange says nothing of the market."""
        return self.open_interest is None and self.funding_rate_pct is None


@dataclass(slots=True)
class SnapshotValues:
    """The values of one response by symbol, and how many fields were no valid number."""

    open_interest: dict[str, float] = field(default_factory=dict)
    funding_rate: dict[str, float] = field(default_factory=dict)
    interval_hours: dict[str, float] = field(default_factory=dict)
    invalid: int = 0


def read_snapshot(request: SnapshotRequest, body: Any) -> SnapshotValues:
    """Return the values of a response; an empty field is an unknown value, any other text an invalid one.

    Raise ValueError if the response has no row, or more invalid values than valid ones, and KeyError, TypeError or
    AttributeError if it has another shape.
    """
    values, rows = SnapshotValues(), 0
    for row in request.rows(body):
        rows += 1
        symbol = str(row[request.symbol])
        if request.open_interest:
            interest = row[request.open_interest]
            _keep(values, values.open_interest, symbol, interest, lambda number: number >= 0)
        if request.funding_rate:
            rate = row[request.funding_rate]
            _keep(values, values.funding_rate, symbol, rate, lambda number: abs(number) < MAX_FUNDING_FRACTION)
        if request.interval_hours is not None:
            _keep(values, values.interval_hours, symbol, request.interval_hours(row), lambda number: number > 0)
    if not rows and not request.may_be_empty:
        raise ValueError("no row")
    if values.invalid > len(values.open_interest) + len(values.funding_rate) + len(values.interval_hours):
        raise ValueError(f"{values.invalid} invalid values")
    return values


def _keep(
    values: SnapshotValues, kept: dict[str, float], symbol: str, value: Any, is_valid: Callable[[float], bool]
) -> None:
    """Keep a value if it is a valid number, count it if it is another one, and skip an empty one."""
    if value is None or value == "":
        return
    number = _number(value)
    if math.isfinite(number) and is_valid(number):
        kept[symbol] = number
    else:
        values.invalid += 1


def _number(value: Any) -> float:
    """Return a field as a number; NaN, which is invalid, if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def rows_at(*path: str) -> Callable[[Any], Iterable[Row]]:
    """Return a function that finds the list of rows in a body by a path of keys; it raises TypeError without a list."""

    def rows(body: Any) -> Iterable[Row]:
        for key in path:
            body = body[key]
        if not isinstance(body, list):
            raise TypeError("no list of rows")
        return body

    return rows


def hours(key: str, per_hour: float = 1.0) -> Callable[[Row], float | None]:
    """Return a reader of a field with the funding interval, of which `per_hour` units are an hour.

    The field may be missing or empty. What is no number is read as NaN.
    """

    def read(row: Row) -> float | None:
        value = row.get(key)
        return None if value is None or value == "" else _number(value) / per_hour

    return read


def okx_interval_hours(row: Row) -> float | None:
    """Return the hours between the next two payments; None if one of them is not known, NaN if it is no number."""
    first, second = row.get("fundingTime"), row.get("nextFundingTime")
    return (_number(second) - _number(first)) / 3_600_000 if first and second else None


def hyperliquid_rows(body: Any) -> list[Row]:
    """Return the markets of `metaAndAssetCtxs`: names and numbers are two lists of the same order."""
    listed, numbers = body
    return [{**numbers_of, **market} for market, numbers_of in zip(listed["universe"], numbers, strict=True)]
