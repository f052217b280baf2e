"""Fetch from all chosen exchanges at once: their market lists, or their candles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Lock
from typing import Final

import pandas as pd

from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.connections import CONNECTIONS
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.market_lists import (
    ExchangeMarkets,
    fetch_exchange_markets,
    markets_of,
    rows_of,
)
from quant_assets.candles.exchanges.refresh import TIMEFRAMES, refresh_bars
from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.derivatives.take_snapshots import Snapshots
from quant_assets.markets import ResolutionRules
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.providers.errors import ProviderError
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.market import ExchangeMarket

#: Longest wait for an exchange's market list, in seconds.
LIST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much to fetch: days of history (0 for what the configuration says), timeframes, and until when.

    `deadline` is in monotonic seconds of the clock.
    """

    history_days: float
    timeframes: Sequence[str]
    deadline: float


def fetch_markets(
    source: ExchangeSource, config: ExchangesConfig, rules: ResolutionRules, last: pd.DataFrame | None, clock: Clock
) -> ExchangeMarkets:
    """Fetch the market lists of the configured exchanges, as `fetch_exchange_markets` does."""

    def fetch(exchange: str) -> Sequence[ExchangeMarket]:
        with source.connected(exchange, clock, 1) as (client,):
            return client.markets(deadline=clock.monotonic() + LIST_SECONDS)

    return fetch_exchange_markets(config, rules, fetch, last, clock.seconds() * 1000)


def fetch_candles(
    source: ExchangeSource,
    config: ExchangesConfig,
    markets: pd.DataFrame,
    order: Sequence[tuple[str, str]],
    limits: FetchLimits,
    clock: Clock,
    progress: Progress,
    snapshots: Snapshots,
) -> list[FetchReport]:
    """Fetch the missing bars of the selected markets of each configured exchange, all exchanges at once.

    Open interest and funding of all its markets are fetched over a connection of their own, and stored by `snapshots`;
    once the bars are there, history of open interest too, where z-scores need it.

    `markets` is the table of `universe_of`; `order` has markets by exchange and symbol, the first ones to be
    fetched first. An exchange whose budget cannot be used has a report that says so.
    """
    show, interrupted = _shown_by(progress), Event()
    places = {market: place for place, market in enumerate(order)}

    def fetch(exchange: str) -> FetchReport:
        rows = rows_of(markets, exchange)
        chosen = markets_of(rows[rows["selected"].astype(bool)])
        chosen.sort(key=lambda market: places.get((exchange, market.symbol), len(places)))
        days = limits.history_days or config.of(exchange).history_days
        try:
            with source.connected(exchange, clock, CONNECTIONS + 1) as (own, *clients):
                with _beside(lambda: snapshots.take(exchange, own, chosen, limits.deadline), own.abort, interrupted):
                    report = refresh_bars(
                        EXCHANGE_APIS[exchange],
                        clients,
                        chosen,
                        source.store(),
                        history_from_ms=int((clock.now() - timedelta(days=days)).timestamp() * 1000),
                        timeframes=[timeframe for timeframe in TIMEFRAMES if timeframe in limits.timeframes],
                        deadline=limits.deadline,
                        clock=clock.seconds,
                        monotonic=clock.monotonic,
                        on_progress=show,
                        interrupted=interrupted,
                    )
                if EXCHANGE_APIS[exchange].history_request is not None and not report.problem:
                    snapshots.fill_history(exchange, own, chosen, limits.deadline, interrupted.is_set)
            report.usage.add(own.usage)
            return report
        except ProviderError as error:
            return FetchReport(exchange, problem=str(error))

    with ThreadPoolExecutor(max(len(config.exchanges), 1), thread_name_prefix="fetch") as pool:
        try:
            return list(pool.map(fetch, config.exchanges))
        except BaseException:  # else Ctrl-C, or a full disk, would wait for the last request of the others
            interrupted.set()
            raise


@contextmanager
def _beside(work: Callable[[], None], abort: Callable[[], None], interrupted: Event) -> Iterator[None]:
    """Run `work` in a thread beside the block, and wait for its end; abort it if the block fails or is interrupted."""
    with ThreadPoolExecutor(1, thread_name_prefix="beside") as pool:
        running = pool.submit(work)
        try:
            yield
        except BaseException:
            abort()
            raise
        if interrupted.is_set():
            abort()
    running.result()


def _shown_by(progress: Progress) -> Callable[[FetchReport], None]:
    """Return a callback that several threads may call."""
    lock = Lock()

    def show(report: FetchReport) -> None:
        note = f"{report.stored.new:,} bars, {report.usage.requests:,} requests"
        with lock:
            progress(report.exchange, min(report.done, report.requested), report.requested, note)

    return show
