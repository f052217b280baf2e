"""The refresh: request what is due until it is fetched, the time is up, or the provider fails.

Errors of the provider are counted and reported, and end or shorten the refresh; none is raised.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.text import describe_foreign_error
from quant_assets.derivatives.bar_times import needed_since
from quant_assets.derivatives.closed_bars import closed_bars, conservative_now
from quant_assets.derivatives.datasets import DATASETS, SPECS, Dataset
from quant_assets.derivatives.exchange_values import without_known
from quant_assets.derivatives.items import load_items
from quant_assets.derivatives.planner import (
    SHORT_WAIT_SECONDS,
    Batch,
    distinct_symbols,
    fit_to_budget,
    is_due,
    last_close,
    min_minutes,
    pack_batches,
    rank_due_items,
    request_range,
)
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.store import DerivativesStore, Fetched, StoreError
from quant_assets.providers.base import ProviderClient
from quant_assets.providers.errors import (
    BadRequest,
    BudgetUnusable,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderError,
    ProviderUnavailable,
)

MAX_FAILURES_IN_A_ROW: Final = 3
MAX_BAD_REQUESTS: Final = 12
#: How long to wait before looking again at symbols that another process is requesting; doubled each time, up to the
#: maximum, since the process may have been killed, and then its claim lasts for a minute and more.
CLAIMED_WAIT_SECONDS: Final = 0.2
MAX_CLAIMED_WAIT_SECONDS: Final = 1.0

#: Returns the symbol map that avoids these symbols (by dataset), whose last two responses were empty.
Resolve = Callable[[Mapping[str, set[str]]], pd.DataFrame]


class _ProviderDefect(Exception):
    """The provider's code fails for the data of a dataset."""


class Refresh:
    """One refresh of a store by one provider: request what the windows need and the store does not have.

    All windows are served by the same calls. A symbol that comes back empty twice is replaced by the next best one,
    through `resolve`. `watchlist` has exchange, symbol, setup, near, volume by market, and orders the requests; without
    it all markets have the same priority. `clock` returns UNIX seconds.
    """

    def __init__(
        self,
        store: DerivativesStore,
        client: ProviderClient,
        resolve: Resolve,
        options: RefreshOptions,
        *,
        watchlist: pd.DataFrame | None = None,
        clock: Callable[[], float] = time.time,
        progress: Progress = silent,
    ) -> None:
        self.report = RefreshReport({dataset: DatasetReport() for dataset in options.datasets})
        self._store = store
        self._client = client
        self._resolve = resolve
        self._options = options
        self._watchlist = watchlist
        self._clock = clock
        self._progress = progress
        self._tried: dict[Dataset, set[str]] = {dataset: set() for dataset in DATASETS}
        self._rejected: list[Batch] = []
        self._any_response = False
        self._failures_in_a_row = 0
        self._defects = dict.fromkeys(DATASETS, 0)
        self._bad_requests = 0
        self._claimed_elsewhere = 0
        self._claimed_wait_seconds = CLAIMED_WAIT_SECONDS
        self._done = 0
        self._total = 0

    def run(self) -> tuple[pd.DataFrame, RefreshReport]:
        """Run the refresh and return the final symbol map and the report. Raise StoreError if reading fails."""
        usage, waited_seconds = replace(self._client.usage), self._client.budget.waited_seconds
        batch_size = min(self._options.symbols_per_request, self._client.budget.limit)
        symbol_map = self._resolve_symbols()
        due = self._due_items(symbol_map)
        self._count_cached(symbol_map, due)
        while True:
            self._request(deque(pack_batches(due, batch_size)))
            previous, symbol_map = symbol_map, self._resolve_symbols()
            is_finished = self._is_finished(previous, symbol_map)
            due = self._due_items(symbol_map)
            if is_finished:
                break
        self._count_pending(symbol_map, due)
        spent = self._client.usage
        self.report.calls = spent.calls - usage.calls
        self.report.requests = spent.requests - usage.requests
        self.report.rate_limited = spent.rate_limited - usage.rate_limited
        self.report.retries = spent.retries - usage.retries
        self.report.waited_seconds = round(self._client.budget.waited_seconds - waited_seconds, 3)
        return symbol_map, self.report

    def _resolve_symbols(self) -> pd.DataFrame:
        return self._resolve(self._store.empty_twice(self._options.since_ms))

    def _due_items(self, symbol_map: pd.DataFrame) -> pd.DataFrame:
        """Return the items that are due and were not tried in this refresh, the most important first."""
        options = self._options
        if options.own is not None and options.first_window == options.last:
            symbol_map = without_known(symbol_map, options.own, options.last)
        items = load_items(
            self._store, symbol_map, options.first_window, datasets=options.datasets, watchlist=self._watchlist
        )
        ranked = rank_due_items(items, options.last.end_seconds, options.policy)
        untried = [
            symbol not in self._tried[DATASETS[number]]
            for number, symbol in zip(ranked["dataset"], ranked["symbol"], strict=True)
        ]
        return ranked[np.array(untried, dtype=bool)]

    def _is_finished(self, previous: pd.DataFrame, symbol_map: pd.DataFrame) -> bool:
        """Return whether no further round is needed; wait a moment if another process is requesting the rest."""
        if self.report.stopped:
            return True
        if self._claimed_elsewhere:
            self._claimed_elsewhere = 0
            self._client.budget.wait(self._claimed_wait_seconds)
            self._claimed_wait_seconds = min(2 * self._claimed_wait_seconds, MAX_CLAIMED_WAIT_SECONDS)
            return False
        return symbol_map.equals(previous)

    def _request(self, queue: deque[Batch]) -> None:
        """Request all batches of the queue, until the refresh has to stop."""
        self._total = self._done + sum(len(batch.symbols) for batch in queue)
        while queue and not self.report.stopped:
            self._request_next(queue)

    def _request_next(self, queue: deque[Batch]) -> None:
        """Request the first batch of the queue, or as much of it as fits the budget, and handle all errors."""
        batch = queue.popleft()
        calls, requests = self._client.usage.calls, self._client.usage.requests
        try:
            batch = fit_to_budget(batch, self._client.budget.available(SHORT_WAIT_SECONDS), queue)
            self._fetch(batch)
        except DeadlineExceeded:
            self.report.stopped = StopReason.OUT_OF_TIME
        except MissingApiKey as error:
            self._stop(StopReason.NO_KEY, error)
        except InvalidApiKey as error:
            self._stop(StopReason.KEY_REFUSED, error)
        except (StoreError, BudgetUnusable) as error:
            self._stop(StopReason.STORE, error)
        except BadRequest as error:
            self._handle_bad_request(batch, queue, error)
        except ProviderUnavailable as error:
            self._handle_unavailable(batch, error)
        except _ProviderDefect as error:
            self._handle_defect(batch, queue, error)
        finally:
            self._release_claims(batch)
            counts = self.report.datasets[batch.dataset]
            counts.calls += self._client.usage.calls - calls
            counts.requests += self._client.usage.requests - requests
        self._show_progress()

    def _fetch(self, batch: Batch) -> None:
        """Request a batch, store its closed bars and count the result."""
        fetched, invalid = self._request_closed_bars(batch)
        requested = fetched.requested
        if requested:
            self._store.add(fetched)
        with_data = sum(bool(bars) for bars in fetched.bars.values())
        counts = self.report.datasets[batch.dataset]
        counts.fetched += with_data
        counts.empty += len(requested) - with_data
        self.report.invalid_points += invalid
        self._tried[batch.dataset].update(requested)
        self._failures_in_a_row = self._bad_requests = self._defects[batch.dataset] = 0
        self._any_response |= bool(requested)
        self._mark_rejected_empty()
        self._done += len(batch.symbols)

    def _request_closed_bars(self, batch: Batch) -> tuple[Fetched, int]:
        """Request a batch; return its closed bars, and the number of invalid ones.

        Raises _ProviderDefect if the provider's code raises another error than it should, or returns something else.
        """
        options, now = self._options, self._clock()
        start, end = request_range(options.first_window, options.last, now)
        try:
            response, requested = self._client.bars(
                SPECS[batch.dataset],
                batch.symbols,
                start=start,
                end=end,
                deadline=options.deadline,
                still_needed=lambda symbols: self._claim(batch.dataset, symbols),
                on_wait=self._show_progress,
            )
            # The clocks are compared after the response, since the request may have waited for the budget.
            now = min(now, conservative_now(self._clock(), response.responded_at, self.report))
            fetched, invalid = closed_bars(batch.dataset, requested, response, (start, end), now)
        except (ProviderError, StoreError):
            raise
        except Exception as error:  # noqa: BLE001 - the code of an installed package may do anything
            raise _ProviderDefect(f"{batch.dataset}: {describe_foreign_error(error)}") from None
        return fetched, response.invalid + invalid

    def _claim(self, dataset: Dataset, symbols: Sequence[str]) -> list[str]:
        """Claim symbols, and return those that are still due and not claimed by another process.

        Claim before checking what is due: the previous owner stored its response before it released its claim.
        """
        claimed = self._store.claim(dataset, symbols, int(self._client.budget.now() * 1000))
        self._claimed_elsewhere += len(symbols) - len(claimed)
        known = self._store.known_through(dataset, claimed, needed_since(self._options.first_window))
        cadence_seconds = self._options.policy.cadence_seconds(dataset)
        return [symbol for symbol in claimed if is_due(known.get(symbol), self._options.last, cadence_seconds)]

    def _release_claims(self, batch: Batch) -> None:
        """Release the claims of a batch. If the store cannot be written, they expire by themselves."""
        if self.report.stopped != StopReason.STORE:
            try:
                self._store.release(batch.dataset, batch.symbols)
            except StoreError as error:
                self._stop(StopReason.STORE, error)

    def _handle_bad_request(self, batch: Batch, queue: deque[Batch], error: BadRequest) -> None:
        """Split a batch that the provider rejects, until the symbol at fault is alone."""
        self._bad_requests += 1
        if self._bad_requests >= MAX_BAD_REQUESTS:
            self._stop(StopReason.BAD_REQUESTS, error)
        elif len(batch.symbols) == 1:
            self._rejected.append(batch)
            self._count_failed(batch)
            self.report.problems.append(str(error))
            self._mark_rejected_empty()
        else:
            queue.extendleft(reversed(batch.split(len(batch.symbols) // 2)))

    def _handle_unavailable(self, batch: Batch, error: ProviderUnavailable) -> None:
        """Count a failed batch; stop after several in a row."""
        self._count_failed(batch)
        self.report.problems.append(str(error))
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            self._stop(StopReason.PROVIDER_UNAVAILABLE)

    def _handle_defect(self, batch: Batch, queue: deque[Batch], error: _ProviderDefect) -> None:
        """Count a failed batch; after several in a row of its dataset, give up the dataset, since others may work."""
        self._count_failed(batch)
        self.report.problems.append(str(error))
        self._defects[batch.dataset] += 1
        if self._defects[batch.dataset] >= MAX_FAILURES_IN_A_ROW:
            for left in [other for other in queue if other.dataset == batch.dataset]:
                queue.remove(left)
                self._count_failed(left)

    def _mark_rejected_empty(self) -> None:
        """Store rejected symbols as empty, once another request has succeeded: else the symbols may not be at fault."""
        now = self._clock()
        start, end = request_range(self._options.first_window, self._options.last, now)
        through, now_ms = last_close(min(end, int(now))), int(now * 1000)
        try:
            while self._any_response and self._rejected:
                batch = self._rejected.pop()
                self._store.add(Fetched(batch.dataset, batch.symbols, {}, start, through, now_ms, simulated=False))
        except StoreError as error:
            self._stop(StopReason.STORE, error)

    def _stop(self, reason: StopReason, error: Exception | None = None) -> None:
        self.report.stopped = reason
        if error is not None:
            self.report.problems.append(str(error))

    def _count_cached(self, symbol_map: pd.DataFrame, due: pd.DataFrame) -> None:
        for dataset, counts in self._counts():
            counts.cached = len(distinct_symbols(symbol_map[f"{dataset}_symbol"])) - _count(due, dataset)

    def _count_pending(self, symbol_map: pd.DataFrame, due: pd.DataFrame) -> None:
        for dataset, counts in self._counts():
            counts.requested = len(distinct_symbols(symbol_map[f"{dataset}_symbol"]))
            counts.pending = _count(due, dataset)

    def _counts(self) -> list[tuple[Dataset, DatasetReport]]:
        return [(dataset, self.report.datasets[dataset]) for dataset in self._options.datasets]

    def _count_failed(self, batch: Batch) -> None:
        self.report.datasets[batch.dataset].failed += len(batch.symbols)
        self._tried[batch.dataset].update(batch.symbols)
        self._done += len(batch.symbols)

    def _show_progress(self, wait_seconds: float = 0.0) -> None:
        """Report the symbols done, and how long the remaining ones take at the limit."""
        minutes = min_minutes(self._total - self._done, self._client.budget.limit)
        text = f"about {minutes} min left" if minutes else "under a minute left"
        if wait_seconds >= 1:
            text += f", next request in {wait_seconds:.0f} s"
        self._progress("refresh", self._done, self._total, text)


def _count(items: pd.DataFrame, dataset: Dataset) -> int:
    return int((items["dataset"] == DATASETS.index(dataset)).sum())
