"""The items (a symbol of a dataset each) of a symbol map, with what the store knows of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.bar_times import needed_since
from quant_assets.derivatives.datasets import DATASETS, Dataset
from quant_assets.derivatives.planner import build_items, distinct_symbols
from quant_assets.derivatives.store import DerivativesStore


def load_items(
    store: DerivativesStore,
    symbol_map: pd.DataFrame,
    first: Window,
    *,
    datasets: Sequence[Dataset] = DATASETS,
    watchlist: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return all items of a symbol map, as `build_items` does.

    `known_through` is the time through which everything is known that the windows from `first` on need.
    """
    start = needed_since(first)
    known = {
        dataset: store.known_through(dataset, distinct_symbols(symbol_map[f"{dataset}_symbol"]), start)
        for dataset in datasets
    }
    return build_items(symbol_map, known, watchlist, datasets)
