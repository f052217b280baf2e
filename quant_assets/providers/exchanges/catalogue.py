"""What differs from one exchange's API to another: one entry for each exchange.

To add an exchange that ccxt knows, add an entry. Limits are those that the exchange documents for one IP address.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quant_assets.common.timeframes import STEP_MS
from quant_assets.providers.exchanges.history_requests import HISTORY_REQUESTS, HistoryRequest
from quant_assets.providers.exchanges.requests_sent import SentRequest
from quant_assets.providers.exchanges.snapshot_catalogue import BITGET_PRODUCTS, SNAPSHOT_REQUESTS
from quant_assets.providers.exchanges.snapshot_requests import SnapshotRequest

Row = Mapping[str, Any]


def _costs_one(_: SentRequest) -> int:
    return 1


def _own_id(market: Row) -> str:
    return str(market["id"])


def _ticker_quote_volume(_: Row, ticker: Row) -> float | None:
    return _number(ticker.get("quoteVolume"))


def _ticker_price(_: Row, ticker: Row) -> float | None:
    return _number(ticker.get("last"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeApi:
    """The API of one exchange.

    Attributes:
        name: its name in files, tables and settings, upper case.
        ccxt_class: the name of ccxt's class.
        options: its constructor's options, which keep the market list from asking for spot, options and currencies.
        limit: weight that may be spent in `period_seconds`.
        weight: the weight of a request.
        max_bars: bars in one response, by timeframe.
        history_bars: bars that it keeps of a timeframe; None if it keeps all.
        counts_contracts: whether ccxt returns the volume of a bar in contracts instead of the base asset.
        local_symbol: a market of ccxt → the exchange's own id.
        ticker_requests: parameters of the requests that give the tickers of all markets; none if the market list has
            what tickers say.
        quote_volume: market's own fields and ticker → turnover of 24 hours in the quote asset, None if unknown.
        last_price: market's own fields and ticker → last price in the quote asset, None if unknown.
        bar_parameters: start and end (UNIX milliseconds, exclusive) of a request for bars → what ccxt needs to be told
            besides, so that it asks for no others.
        envelope: path and key: each response below the path is a JSON object with this key.
        answers_with_list: whether the response to a request is a bare JSON list.
        pause_seconds: headers of a refusal and the time (UNIX seconds) → how long it lasts, None if they do not say.
            `Retry-After` is read before.
        ban_seconds: how long it refuses requests after a status, where it does not say so itself.
        snapshot_requests: the requests that give open interest and funding of all markets.
        history_request: the request for the history of a market's open interest; None if there is none.
    """

    name: str
    ccxt_class: str
    options: Row = field(default_factory=dict)
    limit: int
    period_seconds: float
    weight: Callable[[SentRequest], int] = _costs_one
    max_bars: Mapping[str, int]
    history_bars: int | None = None
    counts_contracts: bool = False
    local_symbol: Callable[[Row], str] = _own_id
    ticker_requests: tuple[Row, ...] = ({},)
    quote_volume: Callable[[Row, Row], float | None] = _ticker_quote_volume
    last_price: Callable[[Row, Row], float | None] = _ticker_price
    bar_parameters: Callable[[int, int], Row] = lambda _start, _end: {}
    envelope: tuple[str, str] | None = None
    answers_with_list: Callable[[SentRequest], bool] = lambda _: False
    pause_seconds: Callable[[Mapping[str, str], float], float | None] = lambda _headers, _now: None
    ban_seconds: Mapping[int, float] = field(default_factory=dict)
    snapshot_requests: tuple[SnapshotRequest, ...] = ()
    history_request: HistoryRequest | None = None

    def bar_weight(self, timeframe: str) -> int:
        """Return the weight of a request for as many bars as a response holds."""
        count = self.max_bars[timeframe]
        span = {"interval": timeframe, "startTime": 0, "endTime": count * STEP_MS[timeframe]}
        body = {"type": "candleSnapshot", "req": span}
        return self.weight(SentRequest("/klines", {"limit": str(count)}, body))


def _number(value: object) -> float | None:
    """Return a finite number, None for anything else. APIs send numbers as text, too."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _milliseconds_left(header: str) -> Callable[[Mapping[str, str], float], float | None]:
    """Return a reader of a header with the milliseconds that a refusal lasts."""

    def read(headers: Mapping[str, str], _: float) -> float | None:
        left = _number(headers.get(header))
        return None if left is None else max(left / 1000, 0.0)

    return read


def _ends_at(header: str, unit_seconds: float) -> Callable[[Mapping[str, str], float], float | None]:
    """Return a reader of a header with the UNIX time at which a refusal ends."""

    def read(headers: Mapping[str, str], now: float) -> float | None:
        end = _number(headers.get(header))
        return None if end is None else max(end * unit_seconds - now, 0.0)

    return read


def _linear_swaps(**options: Any) -> Row:
    """Return the options that limit the market list to perpetuals with linear margin."""
    return {"options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}, **options}}


def _swaps(**options: Any) -> Row:
    """Return the options that limit the market list to perpetuals, of linear margin or not, and skip currencies."""
    return {
        "has": {"fetchCurrencies": False},
        "options": {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}, **options},
    }


def _binance_weight(request: SentRequest) -> int:
    if request.path.endswith("/klines"):
        limit = int(request.query.get("limit", 500))
        return next((weight for bound, weight in ((100, 1), (500, 2), (1001, 5)) if limit < bound), 10)
    if "symbol" in request.query:
        return 1
    return next((weight for path, weight in _BINANCE_ALL_MARKETS.items() if request.path.endswith(path)), 1)


#: Weights of requests about all markets at once.
_BINANCE_ALL_MARKETS: Final = {"/ticker/24hr": 40, "/premiumIndex": 10}


def _hyperliquid_weight(request: SentRequest) -> int:
    """Each request costs 20, one for bars 1 more for every 60 bars of its range."""
    if request.body.get("type") != "candleSnapshot":
        return 20
    asked = request.body["req"]
    bars = int(asked["endTime"] - asked["startTime"]) / STEP_MS[asked["interval"]]
    return 20 + math.ceil(min(bars, _HYPERLIQUID_BARS) / 60)


_HYPERLIQUID_BARS: Final = 5000


def _okx_weight(request: SentRequest) -> int:
    """Bars may be asked for 40 times in 2 s, history of open interest 10 times, the rest 20 times."""
    return next((weight for path, weight in _OKX_WEIGHTS.items() if request.path.endswith(path)), 2)


_OKX_WEIGHTS: Final = {"/candles": 1, "/open-interest-history": 4}


def _kucoin_weight(request: SentRequest) -> int:
    return 10 if request.path.endswith("/open-interest") else 3


def _mexc_weight(request: SentRequest) -> int:
    """Return 10 for the list of contracts, which MEXC allows once a second, so that two never fit a period; else 1."""
    return 10 if request.path.endswith("/contract/detail") else 1


def _okx_quote_volume(_: Row, ticker: Row) -> float | None:
    """Return the 24-hour turnover in the quote asset, from the volume in base units: ccxt takes contracts for them."""
    volume, price = _number(ticker.get("info", {}).get("volCcy24h")), _number(ticker.get("last"))
    return None if volume is None or price is None else volume * price


EXCHANGE_APIS: Final[Mapping[str, ExchangeApi]] = {
    api.name: api
    for api in (
        ExchangeApi(
            name="BINANCE",
            ccxt_class="binanceusdm",
            options=_linear_swaps(),
            limit=2400,
            period_seconds=60,
            weight=_binance_weight,
            max_bars={"15m": 1000, "4h": 1000},
            answers_with_list=lambda request: not request.path.endswith(("/exchangeInfo", "/openInterest")),
            ban_seconds={418: 600},
            snapshot_requests=SNAPSHOT_REQUESTS["BINANCE"],
            history_request=HISTORY_REQUESTS["BINANCE"],
        ),
        ExchangeApi(
            name="BYBIT",
            ccxt_class="bybit",
            options=_linear_swaps(),
            limit=600,
            period_seconds=5,
            max_bars={"15m": 1000, "4h": 1000},
            ticker_requests=({"category": "linear"},),
            envelope=("/", "retCode"),
            pause_seconds=_ends_at("X-Bapi-Limit-Reset-Timestamp", 0.001),
            ban_seconds={403: 600},
            snapshot_requests=SNAPSHOT_REQUESTS["BYBIT"],
            history_request=HISTORY_REQUESTS["BYBIT"],
        ),
        ExchangeApi(
            name="OKX",
            ccxt_class="okx",
            options=_swaps(),
            limit=40,
            period_seconds=2,
            weight=_okx_weight,
            max_bars={"15m": 300, "4h": 300},
            quote_volume=_okx_quote_volume,
            envelope=("/", "code"),
            snapshot_requests=SNAPSHOT_REQUESTS["OKX"],
            history_request=HISTORY_REQUESTS["OKX"],
        ),
        ExchangeApi(
            name="HYPERLIQUID",
            ccxt_class="hyperliquid",
            options=_swaps(),
            limit=1200,
            period_seconds=60,
            weight=_hyperliquid_weight,
            max_bars={"15m": _HYPERLIQUID_BARS, "4h": _HYPERLIQUID_BARS},
            history_bars=_HYPERLIQUID_BARS,
            answers_with_list=lambda _: True,
            local_symbol=lambda market: str(market["baseName"]),
            bar_parameters=lambda _, end: {"until": end - 1},
            ticker_requests=(),
            quote_volume=lambda info, _: _number(info.get("dayNtlVlm")),
            last_price=lambda info, _: _number(info.get("midPx") or info.get("markPx")),
            snapshot_requests=SNAPSHOT_REQUESTS["HYPERLIQUID"],
        ),
        ExchangeApi(
            name="KUCOIN",
            ccxt_class="kucoinfutures",
            options=_swaps(),
            limit=2000,
            period_seconds=30,
            weight=_kucoin_weight,
            max_bars={"15m": 200, "4h": 200},
            counts_contracts=True,
            ticker_requests=(),
            quote_volume=lambda info, _: _number(info.get("turnoverOf24h")),
            last_price=lambda info, _: _number(info.get("lastTradePrice")),
            envelope=("/", "code"),
            pause_seconds=_milliseconds_left("gw-ratelimit-reset"),
            snapshot_requests=SNAPSHOT_REQUESTS["KUCOIN"],
            history_request=HISTORY_REQUESTS["KUCOIN"],
        ),
        ExchangeApi(
            name="MEXC",
            ccxt_class="mexc",
            options=_swaps(),
            limit=20,
            period_seconds=2,
            weight=_mexc_weight,
            max_bars={"15m": 2000, "4h": 2000},
            counts_contracts=True,
            bar_parameters=lambda _, end: {"end": (end - 1) // 1000},
            envelope=("/api/v1/contract/", "success"),
            snapshot_requests=SNAPSHOT_REQUESTS["MEXC"],
        ),
        ExchangeApi(
            name="GATE",
            ccxt_class="gate",
            options=_swaps(swap={"fetchMarkets": {"settlementCurrencies": ["usdt"]}}),
            limit=200,
            period_seconds=10,
            max_bars={"15m": 1999, "4h": 1999},
            counts_contracts=True,
            bar_parameters=lambda _, end: {"to": (end - 1) // 1000},
            answers_with_list=lambda _: True,
            pause_seconds=_ends_at("X-Gate-RateLimit-Reset-Timestamp", 1.0),
            snapshot_requests=SNAPSHOT_REQUESTS["GATE"],
            history_request=HISTORY_REQUESTS["GATE"],
        ),
        ExchangeApi(
            name="BITGET",
            ccxt_class="bitget",
            options=_swaps(),
            limit=20,
            period_seconds=1,
            max_bars={"15m": 1000, "4h": 540},
            ticker_requests=tuple({"productType": product} for product in BITGET_PRODUCTS),
            envelope=("/", "code"),
            snapshot_requests=SNAPSHOT_REQUESTS["BITGET"],
        ),
    )
}
"""Name → API."""


def unknown_exchange(name: str) -> str:
    """Return the message for the name of an exchange that is not in the catalogue."""
    return f"unknown exchange {name!r}; known are {', '.join(EXCHANGE_APIS)}"
