"""The checks of the asset `features`: markets that cannot be judged, unknown open interest, infinite numbers."""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg
import numpy as np
import pandas as pd

from quant_assets.orchestration.checks import Evaluated, WindowResult, window_check, window_results
from quant_assets.orchestration.partitions import Tables

#: Candle folders keep the files of delisted markets, and new listings are short: of 317 real markets 27 % could not be
#: judged at a good moment. More than a third means that the candles have stopped.
MAX_UNUSABLE_SHARE: Final = 1 / 3
#: The check `coverage` of open_interest expects 90 % to be known at all. A z-score takes more: 24 hours that are not
#: flat, and a last bar of at most two hours. That costs new and idle markets a little, and all of them an old table.
MIN_OPEN_INTEREST_SHARE: Final = 0.8

CHECKS: Final[Mapping[str, str]] = {
    "unusable": "At most a third of the markets cannot be judged: too little history, or candles that are too old.",
    "with_open_interest": "Of the markets that have a symbol for open interest, 80 % have its z-score.",
    "finite": "No infinity in any column; what is unknown is empty.",
}
SEVERITY: Final = dict.fromkeys(CHECKS, dg.AssetCheckSeverity.WARN) | {"finite": dg.AssetCheckSeverity.ERROR}
CHECK_SPECS: Final = {name: window_check("features", name, description) for name, description in CHECKS.items()}


def checks(context: dg.AssetExecutionContext, tables: Tables) -> Iterator[Evaluated]:
    """Give the results of the checks for each window of a run."""
    results = {key: check_results(table) for key, table in tables.items()}
    for name, spec in CHECK_SPECS.items():
        yield from window_results(context, spec, {key: found[name] for key, found in results.items()}, SEVERITY[name])


def check_results(table: pd.DataFrame) -> dict[str, WindowResult]:
    """Return the results of the checks of one window's table, by the name of the check."""
    unusable, known, infinite = _unusable_share(table), _open_interest_share(table), _infinities(table)
    return {
        "unusable": WindowResult(unusable <= MAX_UNUSABLE_SHARE, {"share": unusable}),
        "with_open_interest": WindowResult(known >= MIN_OPEN_INTEREST_SHARE, {"share": known}),
        "finite": WindowResult(not infinite, {"infinite": dg.MetadataValue.json(infinite)}),
    }


def _unusable_share(table: pd.DataFrame) -> float:
    """Return the share of markets that cannot be judged; 0 where there is no market."""
    return float((table["unusable"] != "").mean()) if len(table) else 0.0


def _open_interest_share(table: pd.DataFrame) -> float:
    """Return the share with a z-score among the markets that have a symbol for open interest; 1 where none has."""
    served = table["oi_symbol"] != ""
    return float(table.loc[served, "oi_z"].notna().mean()) if served.any() else 1.0


def _infinities(table: pd.DataFrame) -> dict[str, int]:
    """Return how many values of each float column are infinite, without the columns that have none."""
    numbers = table.select_dtypes("float")
    counts = np.isinf(numbers.to_numpy()).sum(axis=0)
    return {str(name): int(count) for name, count in zip(numbers.columns, counts, strict=True) if count}
