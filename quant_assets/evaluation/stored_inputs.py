"""What a data folder knows of the evaluated windows besides candles: derivatives, symbols, and selected markets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.evaluation.price_bars import Market
from quant_assets.markets import ResolutionRules, market_key
from quant_assets.signals.replay import TablesOf, no_tables
from quant_assets.storage.lake import Lake

SELECTED_SINCE: Final = "selected_since_ms"


@dataclass(frozen=True, slots=True)
class StoredInputs:
    """Derivatives and the symbol map of a data folder, and since when markets of exchanges are selected (epoch ms)."""

    derivatives: TablesOf = no_tables
    symbol_map: pd.DataFrame = field(default_factory=pd.DataFrame)
    selected_since_ms: Mapping[Market, float] = field(default_factory=dict)


NOTHING_STORED: Final = StoredInputs()


def stored_derivatives(lake: Lake) -> TablesOf:
    """Return how to read the derivative tables of windows: the window's own, or those of the newest earlier one."""

    def tables_of(windows: Sequence[Window]) -> Iterator[dict[str, pd.DataFrame]]:
        keys = [window.key for window in windows]
        of_each = zip(*(lake.newest_of_each([dataset], keys) for dataset in DATASETS), strict=True)
        for found in of_each:
            yield {dataset: table for dataset, (_, table) in zip(DATASETS, found, strict=True) if len(table)}

    return tables_of


def stored_inputs(lake: Lake, rules: ResolutionRules, markets: Collection[Market]) -> StoredInputs:
    """Return what a lake knows of the markets of candles."""
    symbol_map = lake.read_undamaged(["symbol_map"])
    return StoredInputs(
        stored_derivatives(lake),
        pd.DataFrame() if symbol_map is None else symbol_map,
        selected_since(lake.read_undamaged(["exchange_markets"]), rules, markets),
    )


def selected_since(
    of_exchanges: pd.DataFrame | None, rules: ResolutionRules, markets: Collection[Market]
) -> dict[Market, float]:
    """Return market → when its exchange's list first selected it, epoch ms; markets of which nobody knows are left out.

    `of_exchanges` is the table `exchange_markets`; tables of earlier versions lack the column.
    """
    if of_exchanges is None or SELECTED_SINCE not in of_exchanges:
        return {}
    names = zip(of_exchanges["exchange"].astype(str), of_exchanges["symbol"].astype(str), strict=True)
    since = {
        market_key(*name, rules): float(since_ms)
        for name, since_ms in zip(names, of_exchanges[SELECTED_SINCE], strict=True)
        if pd.notna(since_ms)
    }
    keys = {market: market_key(*market, rules) for market in markets}
    return {market: since[key] for market, key in keys.items() if key in since}


def is_hindsight(
    table: pd.DataFrame, end_ms: pd.Series[int], selected_since_ms: Mapping[Market, float]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which windows (by their ends, epoch ms) are from before the market of the row was selected here."""
    pairs = zip(table["exchange"].astype(str), table["symbol"].astype(str), strict=True)
    since_ms = np.array([selected_since_ms.get(pair, -np.inf) for pair in pairs], dtype=np.float64)
    return end_ms.to_numpy(np.float64) < since_ms
