"""Take a snapshot of an exchange's markets at a window's end: its open interest and funding, into the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final, Protocol

from quant_assets.common.clock import Clock
from quant_assets.derivatives.closed_bars import MAX_CLOCK_DIFFERENCE_SECONDS
from quant_assets.derivatives.exchange_values import ON_TIME_SECONDS, WINDOW_MS, closing_ms
from quant_assets.derivatives.own_history import HistoryClient, fill_history
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot, StoreError
from quant_assets.providers.errors import DeadlineExceeded, ProviderError
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.providers.exchanges.session import ExchangeUsage
from quant_assets.providers.exchanges.snapshot_requests import MarketSnapshot

#: Values that come one by one are stored together after so many seconds.
STORE_SECONDS: Final = 2.0


class SnapshotClient(Protocol):
    """What a snapshot needs of an exchange's client."""

    @property
    def usage(self) -> ExchangeUsage: ...  # noqa: D102 - what its requests cost so far

    @property
    def asks_by_market(self) -> bool: ...  # noqa: D102 - whether open interest takes a request for each market

    def snapshots(
        self, markets: Sequence[ExchangeMarket], *, deadline: float | None = None, only_by_market: bool = False
    ) -> Iterator[list[MarketSnapshot]]:
        """Fetch open interest and funding, as ExchangeClient does."""


@dataclass(slots=True)
class SnapshotReport:
    """What a snapshot of an exchange brought.

    Attributes:
        exchange: its name.
        open_interest, funding_rate: markets with a stored value.
        history: markets whose open interest was filled with the exchange's own history.
        late: whether it is too late to be the value of the last window.
        problem: why values are missing; "" if none are.
    """

    exchange: str
    open_interest: int = 0
    funding_rate: int = 0
    history: int = 0
    late: bool = False
    problem: str = ""


class Snapshots:
    """Snapshots of exchanges for one run; several threads may take one each.

    `open_store` opens the store, once for each thread; `simulated` tells whether an exchange is an emulator.
    """

    def __init__(
        self,
        open_store: Callable[[], AbstractContextManager[DerivativesStore]],
        simulated: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._open_store, self._simulated, self._clock = open_store, simulated, clock
        self._reports: dict[str, SnapshotReport] = {}
        self._lock = Lock()

    def report_of(self, exchange: str) -> SnapshotReport:
        """Return the report of an exchange's snapshot; an empty one if none was due."""
        with self._lock:
            return self._reports.setdefault(exchange, SnapshotReport(exchange))

    def take(
        self, exchange: str, client: SnapshotClient, markets: Sequence[ExchangeMarket], latest: float = math.inf
    ) -> None:
        """Take a snapshot of the markets that have none since the last window's end, or lack their open interest.

        The rest of an incomplete snapshot is asked for again while it is on time. Afterwards its values would be none
        of the window, and a market without any would be asked for at each fetch: then one snapshot is enough.

        It ends at `latest`, in monotonic seconds of the clock, or 120 s after the window's end, or after 120 s.
        What came before a fault is stored. No error of the exchange or the store is raised; the report has it.
        """
        report = self.report_of(exchange)
        now = self._clock.seconds()
        end_ms = int(now * 1000) // WINDOW_MS * WINDOW_MS
        on_time_seconds = end_ms / 1000 + ON_TIME_SECONDS - now
        seconds = on_time_seconds if on_time_seconds > 0 else ON_TIME_SECONDS
        deadline = min(self._clock.monotonic() + seconds, latest)
        try:
            with self._open_store() as store:
                known = {each.symbol: each for each in store.snapshots_since(exchange, end_ms)}
                missing = [
                    market
                    for market in markets
                    if market.symbol not in known
                    or (client.asks_by_market and known[market.symbol].open_interest is None)
                ]
                if missing and (not known or on_time_seconds > 0):
                    self._take(report, client, missing, known, store, deadline)
        except StoreError as error:
            report.problem = str(error)

    def fill_history(
        self,
        exchange: str,
        client: HistoryClient,
        markets: Sequence[ExchangeMarket],
        latest: float,
        is_interrupted: Callable[[], bool],
    ) -> None:
        """Fill what is missing for z-scores with the exchange's own history, in the order of the markets.

        It ends at `latest`, in monotonic seconds of the clock. No error of the exchange or the store is raised; the
        report has it.
        """
        report, now_ms = self.report_of(exchange), int(self._clock.seconds() * 1000)
        try:
            with self._open_store() as store:
                report.history = fill_history(
                    exchange,
                    client,
                    markets,
                    store,
                    now_ms,
                    simulated=self._simulated(exchange),
                    deadline=latest,
                    is_interrupted=is_interrupted,
                )
        except DeadlineExceeded:
            pass  # the next fetch goes on
        except (ProviderError, StoreError) as error:
            report.problem = report.problem or str(error)

    def _take(
        self,
        report: SnapshotReport,
        client: SnapshotClient,
        markets: Sequence[ExchangeMarket],
        known: Mapping[str, ExchangeSnapshot],
        store: DerivativesStore,
        deadline: float,
    ) -> None:
        """Store what the exchange says of markets; of those with a known snapshot only the open interest is missing.

        The report counts the known ones too.
        """
        simulated, waiting, next_store = self._simulated(report.exchange), [], self._clock.monotonic()
        counted = dict(known)
        only_by_market = all(market.symbol in known for market in markets)
        try:
            for found in client.snapshots(markets, deadline=deadline, only_by_market=only_by_market):
                offset = client.usage.offset_seconds or 0.0
                offset_ms = int(offset * 1000) if abs(offset) > MAX_CLOCK_DIFFERENCE_SECONDS else 0
                waiting += [
                    _with_funding_of(
                        known.get(each.symbol),
                        _stored(report.exchange, each, each.observed_ms + offset_ms, simulated),
                    )
                    for each in found
                ]
                if self._clock.monotonic() >= next_store:
                    next_store = self._clock.monotonic() + STORE_SECONDS
                    store.add_snapshots(waiting)
                    counted |= {each.symbol: each for each in waiting}
                    waiting.clear()
        except ProviderError as error:
            report.problem = str(error)
        finally:
            store.add_snapshots(waiting)
            counted |= {each.symbol: each for each in waiting}
            report.open_interest = sum(each.open_interest is not None for each in counted.values())
            report.funding_rate = sum(each.funding_rate_pct is not None for each in counted.values())
            report.late = any(each.closed_at_ms % WINDOW_MS for each in counted.values())


def _with_funding_of(earlier: ExchangeSnapshot | None, found: ExchangeSnapshot) -> ExchangeSnapshot:
    """Return a snapshot without funding with that of an earlier one, which it replaces in the store."""
    if earlier is None or found.funding_rate_pct is not None or found.closed_at_ms != earlier.closed_at_ms:
        return found
    return replace(found, funding_rate_pct=earlier.funding_rate_pct, interval_hours=earlier.interval_hours)


def _stored(exchange: str, found: MarketSnapshot, seen_ms: int, simulated: bool) -> ExchangeSnapshot:
    return ExchangeSnapshot(
        exchange=exchange,
        symbol=found.symbol,
        closed_at_ms=closing_ms(seen_ms),
        observed_at_ms=seen_ms,
        open_interest=found.open_interest,
        funding_rate_pct=found.funding_rate_pct,
        interval_hours=found.interval_hours,
        simulated=simulated,
    )
