"""Which bars of an exchange to ask for, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import STEP_MS
from quant_assets.providers.exchanges.catalogue import ExchangeApi
from quant_assets.providers.exchanges.market import ExchangeMarket


class RequestKind(StrEnum):
    """What bars are requested for."""

    NEW = "new"
    """They follow those that are stored."""
    FIRST = "first"
    """None of the market is stored."""
    HISTORY = "history"
    """They come before those that are stored."""
    GAP = "gap"
    """They are missing between those that are stored."""


@dataclass(frozen=True, slots=True)
class BarRequest:
    """Bars of a market that open from `start_ms` to before `end_ms` (UNIX milliseconds), in one request."""

    market: ExchangeMarket
    timeframe: str
    start_ms: int
    end_ms: int
    kind: RequestKind


def due_requests(
    store: BarStore,
    api: ExchangeApi,
    markets: Sequence[ExchangeMarket],
    timeframe: str,
    *,
    history_from_ms: int,
    closed_by_ms: int,
) -> list[BarRequest]:
    """Return the requests for the bars that are missing from `history_from_ms` to `closed_by_ms`.

    They are in the order of the markets; `new_bars_first` puts what is urgent in front. Bars that follow stored ones
    begin with the newest two that are stored, since exchanges correct late. History begins with a market's newest bars,
    so that a fetch that ends early leaves no hole. Bars that the exchange does not have are left out (BarGaps).
    """
    step = STEP_MS[timeframe]
    end, start = closed_by_ms // step * step, -(-history_from_ms // step) * step
    if api.history_bars is not None:
        start = max(start, end - api.history_bars * step)
    by_symbol = {market.symbol: market for market in markets}
    place = {symbol: number for number, symbol in enumerate(by_symbol)}
    stored = store.last_times(api.name, timeframe)
    found: list[BarRequest] = []
    missing = BarGaps(store).to_fetch(api.name, timeframe, by_symbol, start, end)
    for symbol, first_ms, last in zip(missing["symbol"], missing["start_ms"], missing["end_ms"], strict=True):
        market, times = by_symbol[symbol], stored.get(symbol)
        first = max(first_ms, -(-(market.listed_ms or 0) // step) * step)
        kind = RequestKind.FIRST if times is None else RequestKind.HISTORY
        if times is not None and first > times.newest_ms:
            kind, first = RequestKind.NEW, times.newest_ms if times.previous_ms is None else times.previous_ms
        elif times is not None and first > times.oldest_ms:
            kind = RequestKind.GAP
        found += _split(market, timeframe, first, last, api.max_bars[timeframe], kind)
    return sorted(found, key=lambda request: place[request.market.symbol])


def new_bars_first(requests: Iterable[BarRequest]) -> list[BarRequest]:
    """Return requests with those for bars that follow stored ones in front; otherwise their order stays."""
    return sorted(requests, key=lambda request: request.kind is not RequestKind.NEW)


def _split(
    market: ExchangeMarket, timeframe: str, start: int, end: int, max_bars: int, kind: RequestKind
) -> list[BarRequest]:
    """Return requests for a span of bars; history begins with its newest bars, other bars with the oldest."""
    size = max_bars * STEP_MS[timeframe]
    if kind in (RequestKind.FIRST, RequestKind.HISTORY):
        spans = [(max(at - size, start), at) for at in range(end, start, -size)]
    else:
        spans = [(at, min(at + size, end)) for at in range(start, end, size)]
    return [BarRequest(market, timeframe, first, last, kind) for first, last in spans]
