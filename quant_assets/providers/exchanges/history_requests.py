"""Describe the request for an exchange's own history of a market's open interest, and read its response."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quant_assets.providers.exchanges.snapshot_requests import Row, rows_at


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRequest:
    """A request for a day of one market, and where its response has the time and the open interest of each point.

    Attributes:
        method: the method of ccxt that sends it, and returns the body as it came.
        parameters: market's id, first and last time (epoch ms) → its parameters.
        rows: body → rows.
        time_ms: row → its time, epoch ms.
        open_interest: row → open interest, in contracts or in base units as the exchange's snapshots count it.
    """

    method: str
    parameters: Callable[[str, int, int], Row]
    rows: Callable[[Any], Iterable[Any]]
    time_ms: Callable[[Any], Any]
    open_interest: Callable[[Any], Any]


def read_history(request: HistoryRequest, body: Any) -> dict[int, float]:
    """Return epoch ms → open interest of all points.

    Raise ValueError for a value that is no number, and KeyError, TypeError or IndexError if the body has another shape.
    """
    found: dict[int, float] = {}
    for row in request.rows(body):
        moment, value = int(request.time_ms(row)), float(request.open_interest(row))
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"an open interest of {value}")
        found[moment] = value
    return found


HISTORY_REQUESTS: Final[Mapping[str, HistoryRequest]] = {
    "BINANCE": HistoryRequest(
        method="fapiDataGetOpenInterestHist",
        parameters=lambda symbol, start, end: {
            "symbol": symbol,
            "period": "15m",
            "limit": 100,
            "startTime": start,
            "endTime": end,
        },
        rows=rows_at(),
        time_ms=lambda row: row["timestamp"],
        open_interest=lambda row: row["sumOpenInterest"],
    ),
    "BYBIT": HistoryRequest(
        method="publicGetV5MarketOpenInterest",
        parameters=lambda symbol, start, end: {
            "category": "linear",
            "symbol": symbol,
            "intervalTime": "15min",
            "startTime": start,
            "endTime": end,
            "limit": 200,
        },
        rows=rows_at("result", "list"),
        time_ms=lambda row: row["timestamp"],
        open_interest=lambda row: row["openInterest"],
    ),
    "OKX": HistoryRequest(
        method="publicGetRubikStatContractsOpenInterestHistory",
        # Both ends are exclusive.
        parameters=lambda symbol, start, end: {
            "instId": symbol,
            "period": "15m",
            "limit": 100,
            "begin": start - 1,
            "end": end + 1,
        },
        rows=rows_at("data"),
        time_ms=lambda row: row[0],
        open_interest=lambda row: row[2],
    ),
    "KUCOIN": HistoryRequest(
        method="utaGetMarketOpenInterest",
        parameters=lambda symbol, start, end: {
            "symbol": symbol,
            "interval": "15min",
            "startAt": start,
            "endAt": end,
            "pageSize": 200,
        },
        rows=rows_at("data"),
        time_ms=lambda row: row["ts"],
        open_interest=lambda row: row["openInterest"],
    ),
    "GATE": HistoryRequest(
        method="publicFuturesGetSettleContractStats",
        parameters=lambda symbol, start, _: {
            "settle": "usdt",
            "contract": symbol,
            "interval": "15m",
            "from": start // 1000,
            "limit": 100,
        },
        rows=rows_at(),
        time_ms=lambda row: int(row["time"]) * 1000,
        open_interest=lambda row: row["open_interest"],
    ),
}
"""Name of an exchange → the request for the history of what its snapshots say now."""
