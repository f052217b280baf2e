"""What is told of a derivative table: metadata that Dagster plots, and the checks."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS, Dataset
from quant_assets.derivatives.report import RefreshReport
from quant_assets.orchestration.checks import WindowResult, window_check
from quant_assets.orchestration.partitions import Tables
from quant_assets.signals import MAX_OI_AGE_SECONDS

COVERAGE_EXPECTED: Final = 0.9
ZEROS_ALLOWED: Final = 0.5
SHOWN_PROBLEMS: Final = 20

CHECKS: Final[Mapping[str, str]] = {
    "coverage": "At least 90 % of the markets that have a symbol have data.",
    "age": "Half of what is known is at most 2 hours old.",
}
#: Of open interest alone, which is asked for in every window; the others tell how their refresh ended as metadata.
CHECKS_OF_OPEN_INTEREST: Final[Mapping[str, str]] = {
    "refresh": "The refresh was not cut short by an error.",
    "not_all_zero": "At most half of what is known is 0: an open interest of 0 is a fault more often than a fact.",
}

CHECK_SPECS: Final = {
    dataset: [
        window_check(dataset, name, description)
        for name, description in {
            **CHECKS,
            **(CHECKS_OF_OPEN_INTEREST if dataset == "open_interest" else {}),
        }.items()
    ]
    for dataset in DATASETS
}

Metadata = dict[str, dg.MetadataValue | int | float | str]


def table_account(table: pd.DataFrame, window: Window) -> Metadata:
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


def refresh_account(report: RefreshReport, dataset: Dataset, seconds: float) -> Metadata:
    """Return the metadata of the refresh behind a dataset's tables."""
    account = report.datasets[dataset]
    return {
        "calls": account.calls,
        "requests": account.requests,
        "cache_hits": account.known,
        "fetched": account.fetched,
        "empty": account.empty,
        "failed": account.failed,
        "waiting": account.waiting,
        "rate_limited": report.rate_limited,
        "retries": report.retries,
        "waited_seconds": report.waited_seconds,
        "broken_points": report.broken_points,
        "stopped": report.stopped or "no",
        "problems": dg.MetadataValue.json(report.problems[:SHOWN_PROBLEMS]),
        "seconds": seconds,
    }


def checks(
    tables: Tables, dataset: Dataset, refreshes: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[dg.AssetCheckSpec, dict[str, WindowResult]]]:
    """Give a dataset's checks with their results by window.

    `refreshes` holds the report of the refresh behind each window, as plain types.
    """
    results = {key: _results(table, Window.of_key(key), dataset, refreshes[key]) for key, table in tables.items()}
    for spec in CHECK_SPECS[dataset]:
        yield spec, {key: of_window[spec.name] for key, of_window in results.items()}


def _results(
    table: pd.DataFrame, window: Window, dataset: Dataset, refreshed: Mapping[str, Any]
) -> dict[str, WindowResult]:
    """Return the results of all checks of one window's table."""
    coverage, ages = _coverage(table), _ages(table, window)
    median = {"median_age_seconds": float(ages.median())} if len(ages) else {}
    results = {
        "coverage": WindowResult(coverage >= COVERAGE_EXPECTED, {"coverage": coverage}),
        "age": WindowResult(bool(len(ages)) and ages.median() <= MAX_OI_AGE_SECONDS, {"known": len(ages), **median}),
    }
    if dataset == "open_interest":
        failed = any(account["failed"] for account in refreshed["datasets"].values())
        values = table["value"].dropna()
        zeros = float((values == 0).mean()) if len(values) else 0.0
        results["refresh"] = WindowResult(
            refreshed["stopped"] in {"", "out_of_time"} and not failed,
            {
                "stopped": refreshed["stopped"] or "no",
                "problems": dg.MetadataValue.json(refreshed["problems"][:SHOWN_PROBLEMS]),
            },
        )
        results["not_all_zero"] = WindowResult(zeros <= ZEROS_ALLOWED, {"zeros": zeros, "known": len(values)})
    return results


def _ages(table: pd.DataFrame, window: Window) -> pd.Series:
    """Return the ages at the window's end of what is known, in seconds."""
    return (window.end_ms - table["closed_at_ms"].dropna()) / 1000


def _coverage(table: pd.DataFrame) -> float:
    """Return the share of markets with data among those that have a symbol; 1 where none has."""
    served = table["coinalyze_symbol"] != ""
    return float(table.loc[served, "closed_at_ms"].notna().mean()) if served.any() else 1.0
