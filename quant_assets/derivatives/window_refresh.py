"""The refresh of the windows of a run: the tables of what is known after it, and the reports that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import Dataset
from quant_assets.derivatives.exchange_values import OwnSnapshots, read_own_snapshots
from quant_assets.derivatives.market_sources import MarketSources
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.provider_choice import datasets_by_provider
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.markets import select_markets
from quant_assets.providers.base import Provider, ProviderClient
from quant_assets.providers.errors import BudgetUnusable, ProviderUnavailable
from quant_assets.providers.registry import DEFAULT, PROVIDERS

Connect = Callable[[Provider], AbstractContextManager[ProviderClient]]
"""Opens a client of a provider, and closes it. Raises BudgetUnusable and ProviderUnavailable."""


@dataclass(frozen=True, slots=True)
class RefreshedWindows:
    """The tables by dataset and window key, the report of the refresh, and the report of each window as plain types."""

    tables: dict[Dataset, dict[str, pd.DataFrame]]
    report: RefreshReport
    reports: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WindowRefresh:
    """A refresh of windows, the oldest first, in the order of a watchlist.

    `datasets` are refreshed; `returned` are those whose tables are returned. `exchange` and `symbol` limit the refresh
    to some markets, "" for all.
    """

    windows: Sequence[Window]
    datasets: Sequence[Dataset]
    returned: Sequence[Dataset]
    sources: MarketSources
    watchlist: pd.DataFrame
    policy: RefreshPolicy
    exchange: str = ""
    symbol: str = ""

    def run(
        self,
        store: DerivativesStore,
        connect: Connect,
        seconds_allowed: float,
        clock: Clock,
        progress: Progress = silent,
    ) -> RefreshedWindows:
        """Refresh what is due within `seconds_allowed`, store the report, and return what is known then.

        If nothing is refreshed, the reports are those stored by the last refresh of each window. Raises StoreError.
        """
        report, stored_reports = RefreshReport(), {}
        if self.datasets:
            deadline = clock.monotonic() + seconds_allowed
            # What exchanges say while the refresh runs is in its result, but saves no call.
            own = self._own(store, self.windows[-1]) if len(self.windows) == 1 else None
            for provider, datasets in self._requested().items():
                report.add(self._refresh(provider, datasets, store, connect, clock, deadline, progress, own))
            _save_report(report, store, self.windows[-1])
        else:
            stored_reports = _stored_reports(store, self.windows)
        symbol_map = self.sources.resolve(self.sources.lists.empty_symbols(store))
        return self._result(store, symbol_map, report, stored_reports)

    def without_store(self, problem: str) -> RefreshedWindows:
        """Return what there is if the store cannot be used: nothing is known."""
        return self._result(None, self.sources.symbol_map, _not_started(self.datasets, StopReason.STORE, problem), {})

    def _own(self, store: DerivativesStore, window: Window) -> OwnSnapshots:
        return read_own_snapshots(store, window, self.sources.lists.rules)

    def _requested(self) -> dict[str, list[Dataset]]:
        """Return provider → the datasets to refresh. The default provider is last: its limit takes all the time."""
        found = {
            provider: [dataset for dataset in datasets if dataset in self.datasets]
            for provider, datasets in datasets_by_provider(self.sources.lists.choice).items()
        }
        return {provider: found[provider] for provider in sorted(found, key=_is_default) if found[provider]}

    def _refresh(
        self,
        provider: str,
        datasets: Sequence[Dataset],
        store: DerivativesStore,
        connect: Connect,
        clock: Clock,
        deadline: float,
        progress: Progress,
        own: OwnSnapshots | None,
    ) -> RefreshReport:
        """Refresh the datasets of one provider. If no client can be opened, only these are not refreshed."""
        options = RefreshOptions(
            self.windows[-1],
            self.sources.lists.list_fetched_at_ms(provider),
            first=self.windows[0],
            datasets=datasets,
            deadline=deadline,
            policy=self.policy,
            symbols_per_request=PROVIDERS[provider].symbols_per_request,
            own=own,
        )
        try:
            with connect(PROVIDERS[provider]) as client:
                _, report = Refresh(
                    store,
                    client,
                    lambda empty: select_markets(self.sources.resolve(empty), self.exchange, self.symbol),
                    options,
                    watchlist=self.watchlist,
                    clock=clock.seconds,
                    progress=progress,
                ).run()
        except BudgetUnusable as error:
            return _not_started(datasets, StopReason.STORE, error)
        except ProviderUnavailable as error:
            return _not_started(datasets, StopReason.PROVIDER_UNAVAILABLE, error)
        return report

    def _result(
        self,
        store: DerivativesStore | None,
        symbol_map: pd.DataFrame,
        report: RefreshReport,
        stored_reports: Mapping[str, Any],
    ) -> RefreshedWindows:
        failures = report.problems.append
        tables: dict[Dataset, dict[str, pd.DataFrame]] = {dataset: {} for dataset in self.returned}
        for window in self.windows:
            own = None if store is None else self._own(store, window)
            for dataset in self.returned:
                tables[dataset][window.key] = snapshot(store, symbol_map, dataset, window, failures, own)
        reports = {window.key: report.as_dict() for window in self.windows}
        return RefreshedWindows(tables, report, {**reports, **stored_reports})


def time_limit(newest: Window, now: float, max_wait_seconds: float, *, is_backfill: bool) -> float:
    """Return how many seconds a refresh that starts at `now` (epoch seconds) may take."""
    length = WINDOW_LENGTH.total_seconds()
    if is_backfill:
        return min(max_wait_seconds, length - now % length)
    until_next_end = newest.end_seconds + length - now
    return min(max_wait_seconds, until_next_end) if until_next_end > 0 else max_wait_seconds


def _is_default(provider: str) -> bool:
    return PROVIDERS[provider] is DEFAULT


def _not_started(datasets: Sequence[Dataset], reason: StopReason, problem: object) -> RefreshReport:
    """Return the report of a refresh that could not start."""
    counts = {dataset: DatasetReport() for dataset in datasets}
    return RefreshReport(counts, stopped=reason, problems=[str(problem)])


def _save_report(report: RefreshReport, store: DerivativesStore, window: Window) -> None:
    """Store the report of a refresh. If that fails, add the problem to the report."""
    try:
        store.save_report(window.key, orjson.dumps(report.as_dict()).decode())
    except StoreError as error:
        report.stopped = StopReason.STORE
        report.problems.append(str(error))


def _stored_reports(store: DerivativesStore, windows: Sequence[Window]) -> dict[str, Any]:
    """Return the reports of the last refreshes of these windows as plain types, by window key."""
    reports = {window.key: store.load_report(window.key) for window in windows}
    return {key: orjson.loads(report) for key, report in reports.items() if report is not None}
