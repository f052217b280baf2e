"""Bring the stored bars of one exchange up to date: what is due, fetching it, and what the exchange does not have."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from threading import Event
from typing import Final

import pandas as pd

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.due_requests import BarRequest, due_requests, new_bars_first
from quant_assets.candles.exchanges.fetch import MAX_OFFSET_SECONDS, BarClient, ExchangeFetch, FetchReport
from quant_assets.common.timeframes import STEP_MS
from quant_assets.providers.exchanges.catalogue import ExchangeApi
from quant_assets.providers.exchanges.market import ExchangeMarket

TIMEFRAMES: Final = tuple(STEP_MS)
#: A bar that closed this long ago, and which an exchange still does not have, counts as missing for good.
MIN_GAP_AGE_MS: Final = 60 * 60_000


def refresh_bars(
    api: ExchangeApi,
    clients: Sequence[BarClient],
    markets: Sequence[ExchangeMarket],
    store: BarStore,
    *,
    history_from_ms: int,
    timeframes: Sequence[str] = TIMEFRAMES,
    deadline: float | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    on_progress: Callable[[FetchReport], None] = lambda _: None,
    interrupted: Event | None = None,
) -> FetchReport:
    """Fetch the bars of an exchange's markets that are missing, in the order of the markets, until `deadline`.

    What is asked for goes by `clock` (UNIX seconds), or by the exchange's time where `clients` know that both differ by
    more than a minute; where their answers show it, what is due by the exchange's time is asked for then. What is
    stored had closed by the exchange's time. A gap that is still there after it was asked for is recorded, once it is
    old enough (`record_missing`), and not asked for again. Another thread sets `interrupted` to end the fetch at once;
    what was fetched is stored.
    """
    for client in clients:
        client.set_markets(markets)
    # The header has whole seconds, and a response takes time: a small difference says nothing.
    offsets = [client.usage.offset_seconds or 0.0 for client in clients]
    offset_seconds = next((offset for offset in offsets if abs(offset) > MAX_OFFSET_SECONDS), 0.0)

    def due(offset_seconds: float) -> list[BarRequest]:
        closed_by_ms = int((clock() + offset_seconds) * 1000)
        found = [
            due_requests(store, api, markets, each, history_from_ms=history_from_ms, closed_by_ms=closed_by_ms)
            for each in timeframes
        ]
        return new_bars_first(chain.from_iterable(found))

    fetch = ExchangeFetch(
        api.name,
        clients,
        store,
        clock=clock,
        monotonic=monotonic,
        on_progress=on_progress,
        interrupted=interrupted,
    )
    report = fetch.run(due(offset_seconds), deadline)
    found_offset = report.usage.offset_seconds or 0.0
    if not report.problem and found_offset - offset_seconds > MAX_OFFSET_SECONDS:
        report = fetch.run(due(found_offset), deadline)
    record_missing(store, api.name, report.not_available, int((clock() + found_offset) * 1000))
    return report


def record_missing(store: BarStore, exchange: str, not_available: Sequence[BarRequest], now_ms: int) -> None:
    """Record the bars of these requests that are still missing: the exchange does not have them.

    Bars that closed within MIN_GAP_AGE_MS before `now_ms` may only be late. They are left to the next fetch.
    """
    gaps = BarGaps(store)
    for timeframe in {request.timeframe for request in not_available}:
        requests: dict[str, list[BarRequest]] = defaultdict(list)
        for request in not_available:
            if request.timeframe == timeframe:
                requests[request.market.symbol].append(request)
        every = [request for each in requests.values() for request in each]
        first, last = min(request.start_ms for request in every), max(request.end_ms for request in every)
        last = min(last, (now_ms - MIN_GAP_AGE_MS) // STEP_MS[timeframe] * STEP_MS[timeframe])
        missing = gaps.to_fetch(exchange, timeframe, requests, first, last)
        rows = [
            (exchange, symbol, timeframe, max(start, request.start_ms), min(end, request.end_ms))
            for symbol, start, end in zip(missing["symbol"], missing["start_ms"], missing["end_ms"], strict=True)
            for request in requests[symbol]
            if start < request.end_ms and request.start_ms < end
        ]
        if rows:
            columns = ["exchange", "symbol", "timeframe", "start_ms", "end_ms"]
            gaps.record_asked(pd.DataFrame(rows, columns=columns))
