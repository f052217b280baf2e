"""The checks of the asset `features`: unusable markets, missing open interest, infinite numbers."""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg
import numpy as np
import pandas as pd

from quant_assets.orchestration.checks import CheckEvent, WindowCheckResult, window_check_results, window_check_spec
from quant_assets.orchestration.partitions import Tables

#: Candle folders keep the files of delisted markets, and new listings have few bars: of 317 real markets 27 % were
#: unusable in a healthy window. More than a third means that the candles have stopped.
MAX_UNUSABLE_SHARE: Final = 1 / 3
#: Lower than the 90 % of the check `coverage` of open_interest, since a z-score needs more: 24 hours that are not flat,
#: and a last bar that is at most two hours old. New and idle markets lack it, and all markets if the table is old.
MIN_OPEN_INTEREST_SHARE: Final = 0.8

CHECKS: Final[Mapping[str, str]] = {
    "unusable": "At most a third of the markets are unusable: too little history, or stale candles.",
    "with_open_interest": "Of the markets that have a symbol for open interest, 80 % have its z-score.",
    "finite": "No column has an infinite value; unknown values are empty.",
}
SEVERITY: Final = dict.fromkeys(CHECKS, dg.AssetCheckSeverity.WARN) | {"finite": dg.AssetCheckSeverity.ERROR}
CHECK_SPECS: Final = {name: window_check_spec("features", name, description) for name, description in CHECKS.items()}


def run_checks(context: dg.AssetExecutionContext, tables: Tables) -> Iterator[CheckEvent]:
    """Yield the results of the checks for each window of a run."""
    results = {key: check_results(table) for key, table in tables.items()}
    for name, spec in CHECK_SPECS.items():
        yield from window_check_results(
            context, spec, {key: found[name] for key, found in results.items()}, SEVERITY[name]
        )


def check_results(table: pd.DataFrame) -> dict[str, WindowCheckResult]:
    """Return the results of the checks of one window's table, by the name of the check."""
    unusable, known, infinite = _unusable_share(table), _open_interest_share(table), _infinities(table)
    return {
        "unusable": WindowCheckResult(unusable <= MAX_UNUSABLE_SHARE, {"share": unusable}),
        "with_open_interest": WindowCheckResult(known >= MIN_OPEN_INTEREST_SHARE, {"share": known}),
        "finite": WindowCheckResult(not infinite, {"infinite": dg.MetadataValue.json(infinite)}),
    }


def _unusable_share(table: pd.DataFrame) -> float:
    """Return the share of unusable markets; 0 if there is no market."""
    return float((table["unusable"] != "").mean()) if len(table) else 0.0


def _open_interest_share(table: pd.DataFrame) -> float:
    """Return the share with a z-score among the markets with a symbol for open interest; 1 if none has a symbol."""
    has_symbol = table["oi_symbol"] != ""
    return float(table.loc[has_symbol, "oi_z"].notna().mean()) if has_symbol.any() else 1.0


def _infinities(table: pd.DataFrame) -> dict[str, int]:
    """Return the number of infinite values of each float column that has any."""
    numbers = table.select_dtypes("float")
    counts = np.isinf(numbers.to_numpy()).sum(axis=0)
    return {str(name): int(count) for name, count in zip(numbers.columns, counts, strict=True) if count}
