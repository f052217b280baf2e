"""What is told of a derivative table: metadata that Dagster plots, and the checks.

Here: coverage, ages, what was spent, and what counts as degraded. Not here: the asset (derivatives.py).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.defs.partitions import Tables
from quant_assets.derivatives.datasets import DATASETS, Dataset
from quant_assets.derivatives.report import RefreshReport
from quant_assets.signals import OLDEST_OI_SECONDS
from quant_assets.windows import Window

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

CHECK_SPECS: Final = [
    *(
        dg.AssetCheckSpec(name, asset=dataset, description=description)
        for dataset in DATASETS
        for name, description in CHECKS.items()
    ),
    *(
        dg.AssetCheckSpec(name, asset="open_interest", description=description)
        for name, description in CHECKS_OF_OPEN_INTEREST.items()
    ),
]

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


def checks(tables: Tables, dataset: Dataset, report: RefreshReport) -> Iterator[dg.AssetCheckResult]:
    """Give the results of a dataset's checks, over all windows of the run; the worst window decides."""
    coverages = {key: _coverage(table) for key, table in tables.items()}
    medians = {key: float(_ages(table, Window.of_key(key)).median()) for key, table in tables.items()}
    worst = min(coverages, key=lambda key: coverages[key])
    yield _result(dataset, "coverage", coverages[worst] >= COVERAGE_EXPECTED, coverage=coverages[worst], window=worst)
    known = {key: median for key, median in medians.items() if not math.isnan(median)}
    oldest = max(known, key=lambda key: known[key], default="")
    yield _result(
        dataset,
        "age",
        len(known) == len(tables) and known[oldest] <= OLDEST_OI_SECONDS,
        windows_without_data=len(tables) - len(known),
        **({"median_age_seconds": known[oldest]} if known else {}),
    )
    if dataset == "open_interest":
        yield _result(
            dataset,
            "refresh",
            report.stopped in {"", "out_of_time"} and not any(account.failed for account in report.datasets.values()),
            stopped=report.stopped or "no",
            problems=dg.MetadataValue.json(report.problems[:SHOWN_PROBLEMS]),
        )
        values = pd.concat([table["value"] for table in tables.values()]).dropna()
        zeros = float((values == 0).mean()) if len(values) else 0.0
        yield _result(dataset, "not_all_zero", zeros <= ZEROS_ALLOWED, zeros=zeros, known=len(values))


def _result(
    dataset: Dataset, name: str, passed: bool, **metadata: dg.MetadataValue[Any] | float | str
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=dataset,
        check_name=name,
        passed=bool(passed),
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _ages(table: pd.DataFrame, window: Window) -> pd.Series:
    """Return the ages at the window's end of what is known, in seconds."""
    return (window.end_ms - table["closed_at_ms"].dropna()) / 1000


def _coverage(table: pd.DataFrame) -> float:
    """Return the share of markets with data among those that have a symbol; 1 where none has."""
    served = table["coinalyze_symbol"] != ""
    return float(table.loc[served, "closed_at_ms"].notna().mean()) if served.any() else 1.0
