"""What a data folder knows of the evaluated windows besides candles: derivatives, symbols, and selected markets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.evaluation.price_bars import Market
from quant_assets.markets import ResolutionRules, market_key
from quant_assets.signals.replay import TablesOf
from quant_assets.storage.lake import Lake

SELECTED_SINCE: Final = "selected_since_ms"


@dataclass(frozen=True, slots=True)
class StoredInputs:
    """Derivatives and the symbol map of a data folder, and since when markets of exchanges are selected (epoch ms)."""

    derivatives: TablesOf = lambda _: {}
    symbol_map: pd.DataFrame = field(default_factory=pd.DataFrame)
    selected_since_ms: Mapping[Market, float] = field(default_factory=dict)


NOTHING_STORED: Final = StoredInputs()


class StoredDerivatives:
    """Reads the derivative tables of windows: its own of each window, or that of the newest earlier one.

    Windows are asked for in the order of time, so that a table which serves many windows is read once.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._stored = {dataset: sorted(lake.partitions([dataset])) for dataset in DATASETS}
        self._last: dict[str, tuple[str, pd.DataFrame]] = {}

    def __call__(self, window: Window) -> dict[str, pd.DataFrame]:
        """Return dataset → its table; datasets of which nothing is stored by then are left out."""
        tables = {dataset: self._table(dataset, keys, window.key) for dataset, keys in self._stored.items()}
        return {dataset: table for dataset, table in tables.items() if table is not None}

    def _table(self, dataset: str, keys: list[str], up_to: str) -> pd.DataFrame | None:
        newest = bisect_right(keys, up_to) - 1
        if newest < 0:
            return None
        last = self._last.get(dataset)
        if last is None or last[0] != keys[newest]:
            # A damaged table is passed over, as in a scan.
            self._last[dataset] = last = (keys[newest], self._lake.newest_undamaged([dataset], keys[newest]))
        return last[1] if len(last[1]) else None


def stored_inputs(lake: Lake, rules: ResolutionRules, markets: Collection[Market]) -> StoredInputs:
    """Return what a lake knows of the markets of candles."""
    symbol_map = lake.read_undamaged(["symbol_map"])
    return StoredInputs(
        StoredDerivatives(lake),
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
