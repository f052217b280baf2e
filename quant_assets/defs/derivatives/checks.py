"""The metadata and the checks of the derivative tables."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS, PRIMARY_DATASET, Dataset
from quant_assets.derivatives.report import RefreshReport, StopReason
from quant_assets.orchestration.checks import WindowCheckResult, window_check_spec
from quant_assets.orchestration.partitions import Tables
from quant_assets.signals import MAX_OI_AGE_SECONDS

MIN_COVERAGE: Final = 0.9
MAX_ZERO_SHARE: Final = 0.5
SHOWN_PROBLEMS: Final = 20

CHECKS: Final[Mapping[str, str]] = {
    "coverage": "At least 90 % of the markets that have a symbol have data.",
    "age": "Half of the known values are at most 2 hours old.",
}
#: Only of open interest, which is refreshed in every window; the others have the end of their refresh as metadata.
OPEN_INTEREST_CHECKS: Final[Mapping[str, str]] = {
    "refresh": "The refresh was not cut short by an error.",
    "not_all_zero": "At most half of the known values are 0: an open interest of 0 is usually an error.",
}

CHECK_SPECS: Final = {
    dataset: [
        window_check_spec(dataset, name, description)
        for name, description in {
            **CHECKS,
            **(OPEN_INTEREST_CHECKS if dataset == PRIMARY_DATASET else {}),
        }.items()
    ]
    for dataset in DATASETS
}

Metadata = dict[str, dg.MetadataValue | int | float | str]


def table_metadata(table: pd.DataFrame, window: Window) -> Metadata:
    """Return the metadata of one window's table."""
    ages = _ages(table, window)
    metadata: Metadata = {
        "dagster/row_count": len(table),
        "coverage": _coverage(table),
        "markets_known": len(ages),
        **{status: int((table["status"] == status).sum()) for status in ("resolved", "aggregated", "neutral")},
    }
    if len(ages):
        metadata["median_age_seconds"] = float(ages.median())
        metadata["p95_age_seconds"] = float(ages.quantile(0.95))
    return metadata


def refresh_metadata(report: RefreshReport, dataset: Dataset, seconds: float) -> Metadata:
    """Return the metadata of the refresh of a dataset."""
    account = report.datasets[dataset]
    return {
        "calls": account.calls,
        "requests": account.requests,
        "cache_hits": account.cached,
        "fetched": account.fetched,
        "empty": account.empty,
        "failed": account.failed,
        "waiting": account.pending,
        "rate_limited": report.rate_limited,
        "retries": report.retries,
        "waited_seconds": report.waited_seconds,
        "broken_points": report.invalid_points,
        "stopped": report.stopped.value or "no",
        "problems": dg.MetadataValue.json(report.problems[:SHOWN_PROBLEMS]),
        "seconds": seconds,
    }


def check_results(
    tables: Tables, dataset: Dataset, reports: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[dg.AssetCheckSpec, dict[str, WindowCheckResult]]]:
    """Yield the checks of a dataset with their results by window key.

    `reports` holds the refresh report of each window, as plain types.
    """
    results = {key: _results(table, Window.of_key(key), dataset, reports[key]) for key, table in tables.items()}
    for spec in CHECK_SPECS[dataset]:
        yield spec, {key: of_window[spec.name] for key, of_window in results.items()}


def _results(
    table: pd.DataFrame, window: Window, dataset: Dataset, report: Mapping[str, Any]
) -> dict[str, WindowCheckResult]:
    """Return the results of all checks of one window's table."""
    coverage, ages = _coverage(table), _ages(table, window)
    median = {"median_age_seconds": float(ages.median())} if len(ages) else {}
    results = {
        "coverage": WindowCheckResult(coverage >= MIN_COVERAGE, {"coverage": coverage}),
        "age": WindowCheckResult(
            bool(len(ages)) and ages.median() <= MAX_OI_AGE_SECONDS, {"known": len(ages), **median}
        ),
    }
    if dataset == PRIMARY_DATASET:
        failed = any(account["failed"] for account in report["datasets"].values())
        values = table["value"].dropna()
        zeros = float((values == 0).mean()) if len(values) else 0.0
        results["refresh"] = WindowCheckResult(
            report["stopped"] in {StopReason.COMPLETED, StopReason.OUT_OF_TIME} and not failed,
            {
                "stopped": report["stopped"] or "no",
                "problems": dg.MetadataValue.json(report["problems"][:SHOWN_PROBLEMS]),
            },
        )
        results["not_all_zero"] = WindowCheckResult(zeros <= MAX_ZERO_SHARE, {"zeros": zeros, "known": len(values)})
    return results


def _ages(table: pd.DataFrame, window: Window) -> pd.Series:
    """Return the ages (seconds) of the known values at the window's end."""
    return (window.end_ms - table["closed_at_ms"].dropna()) / 1000


def _coverage(table: pd.DataFrame) -> float:
    """Return the share of markets with data among those that have a symbol; 1 if none has a symbol."""
    has_symbol = table["coinalyze_symbol"] != ""
    return float(table.loc[has_symbol, "closed_at_ms"].notna().mean()) if has_symbol.any() else 1.0
