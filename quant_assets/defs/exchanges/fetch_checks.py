"""The numbers of a fetch by exchange, and the checks of the asset `exchange_candles`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import MIN_GAP_AGE_MS, TIMEFRAMES
from quant_assets.candles.exchanges.selected_markets import SelectedMarkets
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.take_snapshots import SnapshotReport, Snapshots

#: Exchanges correct a few bars after they closed. More of them means that bars are fetched too early.
MAX_REVISED_SHARE: Final = 0.05
_DESCRIPTIONS: Final = {
    "exchanges_answered": "Every exchange was reached, and all that was due was fetched in time.",
    "bars_valid": "No exchange sent a bar that cannot be right.",
    "clock_agrees": "The local clock and those of the exchanges differ by less than a minute.",
    "gaps_asked_for": "Every gap between stored bars that is over an hour old was asked for; the exchange lacks it.",
    "few_bars_revised": "At most 5 % of the bars that were fetched again have changed since.",
    "snapshots_taken": "Each exchange gave open interest and funding of its markets, where they were due.",
    "bars_up_to_date": "Each exchange has a bar of the last window.",
}
CHECK_SPECS: Final = [
    dg.AssetCheckSpec(name, asset="exchange_candles", description=text) for name, text in _DESCRIPTIONS.items()
]


def summarise(
    reports: Sequence[FetchReport], markets: SelectedMarkets, store: BarStore, window: Window, snapshots: Snapshots
) -> list[dict[str, Any]]:
    """Return the numbers of each exchange. `window` is the last complete one."""
    counts = Counter(exchange for exchange, _ in markets.in_order)
    return [
        _summary(report, counts[report.exchange], store, window, snapshots.report_of(report.exchange))
        for report in reports
    ]


def _summary(
    report: FetchReport, markets: int, store: BarStore, window: Window, snapshot: SnapshotReport
) -> dict[str, Any]:
    gaps = [BarGaps(store).between_bars(report.exchange, timeframe) for timeframe in TIMEFRAMES]
    ends_ms = [times.newest_ms + STEP_MS["15m"] for times in store.last_times(report.exchange, "15m").values()]
    return {
        "exchange": report.exchange,
        "markets": markets,
        "requested": report.requested,
        "done": report.done,
        "new": report.stored.new,
        "revised": report.stored.revised,
        "unchanged": report.stored.unchanged,
        "refused": sum(report.unexpected.values()),
        "failed": len(report.failed),
        "late": len(report.late),
        "gaps": sum(map(len, gaps)),
        "gaps_not_asked_for": sum(_count_not_asked(table, window.end_ms) for table in gaps),
        "newest_bar_age_seconds": (window.end_ms - max(ends_ms)) / 1000 if ends_ms else None,
        "requests": report.usage.requests,
        "weight": report.usage.weight,
        "rate_limited": report.usage.rate_limited,
        "problem": report.problem,
        "open_interest": snapshot.open_interest,
        "funding_rate": snapshot.funding_rate,
        "open_interest_history": snapshot.history,
        "snapshot_problem": snapshot.problem,
    }


def _count_not_asked(gaps: pd.DataFrame, now_ms: int) -> int:
    """Return how many gaps were not asked for though they are old enough to be given up."""
    return int((~gaps["asked"] & (gaps["end_ms"] <= now_ms - MIN_GAP_AGE_MS)).sum())


def check_results(reports: Sequence[FetchReport], rows: Sequence[Mapping[str, Any]]) -> list[dg.AssetCheckResult]:
    """Return the results of the checks; `rows` are those of `summarise`."""
    problems = {report.exchange: report.problem for report in reports if report.problem}
    failed = {f"{report.exchange}:{symbol}": reason for report in reports for symbol, reason in report.failed.items()}
    faults: dict[str, dict[str, Any]] = {
        "exchanges_answered": {**problems, **failed},
        "bars_valid": {report.exchange: report.unexpected for report in reports if report.unexpected},
        "clock_agrees": {report.exchange: report.usage.offset_seconds for report in reports if report.is_clock_off},
        "gaps_asked_for": {row["exchange"]: row["gaps_not_asked_for"] for row in rows if row["gaps_not_asked_for"]},
        "few_bars_revised": {
            row["exchange"]: row["revised"]
            for row in rows
            if row["revised"] > MAX_REVISED_SHARE * (row["revised"] + row["unchanged"])
        },
        "snapshots_taken": {row["exchange"]: row["snapshot_problem"] for row in rows if row["snapshot_problem"]},
        "bars_up_to_date": {
            row["exchange"]: row["newest_bar_age_seconds"]
            for row in rows
            if row["markets"] and not _is_up_to_date(row["newest_bar_age_seconds"])
        },
    }
    return [_result(name, found) for name, found in faults.items()]


def _is_up_to_date(age_seconds: float | None) -> bool:
    return age_seconds is not None and age_seconds < WINDOW_LENGTH.total_seconds()


def _result(name: str, faults: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not faults,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"faults": dg.MetadataValue.json(dict(list(faults.items())[:20])), "count": len(faults)},
    )
