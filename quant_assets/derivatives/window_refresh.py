"""The refresh of the windows of a run: the tables of what is known after it, and the reports that belong to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import ENTRIES, Dataset
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.refresh import Refresh, RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.markets import ResolutionRules, resolve_markets, select_markets
from quant_assets.providers.coinalyze.client import CoinalyzeClient


@dataclass(frozen=True, slots=True)
class MarketSources:
    """The symbol map of a run, and what it takes to replace symbols whose responses were empty.

    Without a market list no symbol is replaced.
    """

    symbol_map: pd.DataFrame
    market_list: pd.DataFrame | None
    rules: ResolutionRules
    now: datetime

    @property
    def since_ms(self) -> float:
        """Return when the market list of the symbol map was fetched, UNIX milliseconds; 0 without markets."""
        return float(self.symbol_map["market_list_at_ms"].max()) if len(self.symbol_map) else 0.0

    def resolve(self, empty: Mapping[str, Collection[str]]) -> pd.DataFrame:
        """Return the symbol map that avoids these symbols (by dataset)."""
        if not any(empty.values()) or self.market_list is None:
            return self.symbol_map
        return resolve_markets(
            self.symbol_map, self.market_list, datasets=ENTRIES, now=self.now, rules=self.rules, empty=empty
        )


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
        client: CoinalyzeClient,
        seconds_allowed: float,
        clock: Clock,
        progress: Progress = silent,
    ) -> RefreshedWindows:
        """Refresh what is due within `seconds_allowed`, store the report, and return what is known then.

        If nothing is refreshed, the reports are those stored by the last refresh of each window.
        Raises StoreError, and BudgetUnusable.
        """
        report, stored_reports = RefreshReport(), {}
        if self.datasets:
            report = self._refresh(store, client, clock, clock.monotonic() + seconds_allowed, progress)
            _save_report(report, store, self.windows[-1])
        else:
            stored_reports = _stored_reports(store, self.windows)
        symbol_map = self.sources.resolve(store.empty_twice(self.sources.since_ms))
        return self._result(store, symbol_map, report, stored_reports)

    def without_store(self, problem: str) -> RefreshedWindows:
        """Return what there is if the store or the budget cannot be used: nothing is known."""
        report = RefreshReport(
            {dataset: DatasetReport() for dataset in self.datasets}, stopped=StopReason.STORE, problems=[problem]
        )
        return self._result(None, self.sources.symbol_map, report, {})

    def _refresh(
        self, store: DerivativesStore, client: CoinalyzeClient, clock: Clock, deadline: float, progress: Progress
    ) -> RefreshReport:
        options = RefreshOptions(
            self.windows[-1],
            self.sources.since_ms,
            first=self.windows[0],
            datasets=self.datasets,
            deadline=deadline,
            policy=self.policy,
        )
        _, report = Refresh(
            store,
            client,
            lambda empty: select_markets(self.sources.resolve(empty), self.exchange, self.symbol),
            options,
            watchlist=self.watchlist,
            clock=clock.seconds,
            progress=progress,
        ).run()
        return report

    def _result(
        self,
        store: DerivativesStore | None,
        symbol_map: pd.DataFrame,
        report: RefreshReport,
        stored_reports: Mapping[str, Any],
    ) -> RefreshedWindows:
        failures = report.problems.append
        tables = {
            dataset: {window.key: snapshot(store, symbol_map, dataset, window, failures) for window in self.windows}
            for dataset in self.returned
        }
        reports = {window.key: report.as_dict() for window in self.windows}
        return RefreshedWindows(tables, report, {**reports, **stored_reports})


def time_limit(newest: Window, now: float, max_wait_seconds: float, *, is_backfill: bool) -> float:
    """Return how many seconds a refresh that starts at `now` (epoch seconds) may take."""
    length = WINDOW_LENGTH.total_seconds()
    if is_backfill:
        return min(max_wait_seconds, length - now % length)
    until_next_end = newest.end_seconds + length - now
    return min(max_wait_seconds, until_next_end) if until_next_end > 0 else max_wait_seconds


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
