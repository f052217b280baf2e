"""Fetch bars of one exchange over a few connections, and store them as they come."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import Final, Protocol

from quant_assets.candles.bar_store import BarStore, MergeCounts
from quant_assets.candles.exchanges.due_requests import BarRequest, RequestKind
from quant_assets.candles.fetched_bars import (
    EXPECTED_REFUSALS,
    FetchedBars,
    Refusal,
    check_fetched_bars,
    table_of_fetched,
)
from quant_assets.common.timeframes import STEP_MS
from quant_assets.providers.errors import BudgetUnusable, DeadlineExceeded, ProviderError
from quant_assets.providers.exchanges.errors import MalformedBody, RateLimited, RequestFailed
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.providers.exchanges.session import ExchangeUsage

#: Storing rewrites the files of the days that it touches. It waits for so many times the seconds that it last took.
MERGE_SHARE: Final = 20.0
MIN_MERGE_SECONDS: Final = 2.0
#: Failed requests in a row after which an exchange counts as out of reach.
MAX_FAILURES: Final = 6
#: How often the newest bar of a market is asked for again if the exchange does not have it yet, and how soon.
MAX_LATE_ATTEMPTS: Final = 3
LATE_RETRY_SECONDS: Final = 3.0
#: A larger difference between the local clock and the exchange's is reported.
MAX_OFFSET_SECONDS: Final = 60.0


class BarClient(Protocol):
    """What a fetch needs of an exchange's client."""

    @property
    def usage(self) -> ExchangeUsage: ...  # noqa: D102 - what its requests cost so far

    def set_markets(self, markets: Sequence[ExchangeMarket]) -> None:
        """Take note of the markets whose bars will be fetched."""

    def bars(
        self, market: ExchangeMarket, timeframe: str, start_ms: int, end_ms: int, *, deadline: float | None = None
    ) -> Sequence[Sequence[float]]:
        """Fetch bars, as ExchangeClient does."""

    def abort(self) -> None:
        """Break off the request on its way, and send no other."""


@dataclass(slots=True)
class FetchReport:
    """What a fetch of one exchange did.

    Attributes:
        exchange: its name.
        requested, done: requests for bars that were due, and those that were answered.
        stored: new, revised and unchanged bars.
        refused: bars that were not stored, by reason; those that had not closed among them.
        failed: symbols of markets without all of their bars, with the reason.
        not_available: requests for gaps that were answered, and for history before the beginning of a market.
        late: symbols of markets whose newest bar the exchange did not have in time.
        problem: why the fetch ended before its requests did; "" if it did not.
        usage: what the requests cost.
    """

    exchange: str
    requested: int = 0
    done: int = 0
    stored: MergeCounts = field(default_factory=MergeCounts)
    refused: Counter[Refusal] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    not_available: list[BarRequest] = field(default_factory=list)
    late: set[str] = field(default_factory=set)
    problem: str = ""
    usage: ExchangeUsage = field(default_factory=ExchangeUsage)

    @property
    def unexpected(self) -> dict[str, int]:
        """Return how many bars were refused for each reason that a sound answer does not have."""
        return {str(reason): count for reason, count in self.refused.items() if reason not in EXPECTED_REFUSALS}

    @property
    def is_clock_off(self) -> bool:
        """Return whether the local clock differs from the exchange's by more than a minute."""
        return abs(self.usage.offset_seconds or 0.0) > MAX_OFFSET_SECONDS


@dataclass(frozen=True, slots=True)
class _Answer:
    request: BarRequest
    rows: Sequence[Sequence[float]]
    exchange_ms: float


class ExchangeFetch:
    """A fetch of one exchange's bars, with a connection for each client.

    `clock` returns UNIX seconds, `monotonic` the seconds of the deadline. `on_progress` is called with the report
    after each answer. Another thread sets `interrupted` to end the fetch at once; what was fetched is stored.
    """

    def __init__(
        self,
        exchange: str,
        clients: Sequence[BarClient],
        store: BarStore,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        on_progress: Callable[[FetchReport], None] = lambda _: None,
        interrupted: Event | None = None,
    ) -> None:
        self.report = FetchReport(exchange)
        self._interrupted = interrupted or Event()
        self._clients, self._store = clients, store
        self._clock, self._monotonic, self._on_progress = clock, monotonic, on_progress
        self._queue: deque[BarRequest] = deque()
        self._late: deque[tuple[float, BarRequest]] = deque()
        self._attempts: Counter[BarRequest] = Counter()
        self._with_bars: dict[tuple[str, str], int] = {}
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._lock, self._stopped = Lock(), Event()
        self._failures = 0

    def run(self, requests: Iterable[BarRequest], deadline: float | None = None) -> FetchReport:
        """Send the requests in order until `deadline`, store what comes, and return the report.

        Bars that were fetched are stored whatever ends the fetch. May be called again; the report then has the sum of
        both. Raise what the store raises.
        """
        self._queue.extend(requests)
        self.report.requested += len(self._queue)
        self._stopped.clear()
        with ThreadPoolExecutor(len(self._clients), thread_name_prefix=self.report.exchange) as pool:
            running = [pool.submit(self._work, client, deadline) for client in self._clients]
            try:
                self._store_answers(lambda: all(work.done() for work in running))
            finally:
                self._stopped.set()
        for work in running:
            work.result()
        if self.report.failed and not self.report.done:
            self._end(next(iter(self.report.failed.values())))
        self._add_usage()
        return self.report

    def _work(self, client: BarClient, deadline: float | None) -> None:
        """Send requests over one connection until none is left or the fetch ends."""
        while not self._stopped.is_set() and (request := self._next()) is not None:
            try:
                rows = client.bars(
                    request.market, request.timeframe, request.start_ms, request.end_ms, deadline=deadline
                )
            except (DeadlineExceeded, BudgetUnusable) as error:
                self._end(str(error))
            except RateLimited:
                self._put_back(request)
            except (RequestFailed, MalformedBody) as error:
                self._fail(request, str(error))
                self._failures += 1
                if self._failures >= MAX_FAILURES:
                    self._end(f"out of reach: {error}")
            except ProviderError as error:
                self._fail(request, str(error))
            else:
                self._failures = 0
                exchange_ms = (self._clock() + (client.usage.offset_seconds or 0.0)) * 1000
                self._answers.put(_Answer(request, rows, exchange_ms))
                if request.kind is RequestKind.NEW:
                    self._ask_again_if_late(request, rows, deadline, exchange_ms)
                elif not rows and not self._sends_a_known_bar(client, request, deadline):
                    continue  # that it sends nothing says nothing
                elif request.kind is RequestKind.GAP:
                    self.report.not_available.append(request)
                else:
                    self._end_history_if_empty(request, rows)

    def _next(self) -> BarRequest | None:
        """Return the next request; wait for a late bar if there is nothing else to ask."""
        while not self._stopped.is_set():
            with self._lock:
                if self._late and self._late[0][0] <= self._monotonic():
                    return self._late.popleft()[1]
                while self._queue:
                    request = self._queue.popleft()
                    if request.market.symbol not in self.report.failed:  # else the next fetch asks for the rest
                        return request
                if not self._late:
                    return None
            self._stopped.wait(0.1)
        return None

    def _put_back(self, request: BarRequest) -> None:
        with self._lock:
            self._queue.appendleft(request)

    def _sends_a_known_bar(self, client: BarClient, request: BarRequest, deadline: float | None) -> bool:
        """Ask for a bar that the market is known to have, since an exchange may send nothing for a moment."""
        symbol, timeframe = request.market.symbol, request.timeframe
        known_ms = self._with_bars.get((symbol, timeframe))
        if known_ms is None:
            stored = self._store.last_times(self.report.exchange, timeframe).get(symbol)
            if stored is None:
                return False
            known_ms = stored.newest_ms
        try:
            end_ms = known_ms + STEP_MS[timeframe]
            return bool(client.bars(request.market, timeframe, known_ms, end_ms, deadline=deadline))
        except ProviderError:
            return False

    def _end_history_if_empty(self, request: BarRequest, rows: Sequence[Sequence[float]]) -> None:
        """Ask for no older history of a market that begins after a request."""
        series = (request.market.symbol, request.timeframe)
        with self._lock:
            if rows:
                self._with_bars[series] = int(rows[-1][0])
            else:
                kept: deque[BarRequest] = deque()
                for other in self._queue:
                    is_older = (other.market.symbol, other.timeframe, other.kind) == (*series, request.kind)
                    (self.report.not_available if is_older else kept).append(other)
                self.report.requested -= len(self._queue) - len(kept)
                self._queue = kept
                self.report.not_available.append(request)

    def _ask_again_if_late(
        self, request: BarRequest, rows: Sequence[Sequence[float]], deadline: float | None, exchange_ms: float
    ) -> None:
        """Ask once more for the newest bar of a market that the exchange does not have yet, or not closed.

        A bar that closes much later by the exchange's time is not due: the local clock is fast.
        """
        step, symbol = STEP_MS[request.timeframe], request.market.symbol
        open_ms = request.end_ms - exchange_ms
        if open_ms > MAX_OFFSET_SECONDS * 1000 or (open_ms <= 0 and rows and rows[-1][0] >= request.end_ms - step):
            self.report.late.discard(symbol)
            return
        again = self._monotonic() + LATE_RETRY_SECONDS
        with self._lock:
            self.report.late.add(symbol)
            self._attempts[request] += 1
            if self._attempts[request] < MAX_LATE_ATTEMPTS and (deadline is None or again < deadline):
                self._late.append((again, request))
                self.report.requested += 1

    def _fail(self, request: BarRequest, reason: str) -> None:
        self.report.failed[request.market.symbol] = reason

    def _end(self, problem: str) -> None:
        """End the fetch for all connections."""
        self.report.problem = self.report.problem or problem
        self._stopped.set()

    def _store_answers(self, is_done: Callable[[], bool]) -> None:
        """Check answers as they come, and store many at once."""
        waiting: dict[str, list[tuple[str, FetchedBars]]] = {timeframe: [] for timeframe in STEP_MS}
        next_merge = self._monotonic() + MIN_MERGE_SECONDS
        while True:
            was_done = is_done()
            if self._interrupted.is_set():
                self._end("interrupted")
                for client in self._clients:
                    client.abort()
            try:
                answer = self._answers.get(timeout=0.0 if was_done else 0.1)
            except Empty:
                if was_done:
                    break
            else:
                request = answer.request
                checked = check_fetched_bars(answer.rows, STEP_MS[request.timeframe], answer.exchange_ms)
                self.report.refused.update(checked.refused)
                waiting[request.timeframe].append((request.market.symbol, checked))
                self.report.done += 1
                self._add_usage()
                self._on_progress(self.report)
            if any(waiting.values()) and self._monotonic() >= next_merge:
                next_merge = self._merge(waiting)
        self._merge(waiting)

    def _merge(self, waiting: dict[str, list[tuple[str, FetchedBars]]]) -> float:
        """Store the waiting bars, and return when to do so again."""
        began = self._monotonic()
        for timeframe, fetched in waiting.items():
            if fetched:
                self.report.stored += self._store.merge(self.report.exchange, timeframe, table_of_fetched(fetched))
                fetched.clear()
        ended = self._monotonic()
        return ended + max(MIN_MERGE_SECONDS, MERGE_SHARE * (ended - began))

    def _add_usage(self) -> None:
        """Sum up what the connections spent."""
        usages = [client.usage for client in self._clients]
        offsets = [usage.offset_seconds for usage in usages if usage.offset_seconds is not None]
        self.report.usage = ExchangeUsage(
            requests=sum(usage.requests for usage in usages),
            weight=sum(usage.weight for usage in usages),
            retries=sum(usage.retries for usage in usages),
            rate_limited=sum(usage.rate_limited for usage in usages),
            offset_seconds=offsets[-1] if offsets else None,
        )
