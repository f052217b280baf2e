"""What is due: what a symbol map can ask for, held against what the store knows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS, Dataset
from quant_assets.derivatives.planner import distinct, items_table, needed_from, rank
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.store import DerivativesStore


def items_and_due(
    store: DerivativesStore,
    symbol_map: pd.DataFrame,
    window: Window,
    policy: RefreshPolicy,
    *,
    first: Window | None = None,
    datasets: Sequence[Dataset] = DATASETS,
    interest: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return everything that a symbol map can ask for, and of it what is due for `window`, the worthiest first.

    Both as in `items_table`. Known counts what is known of all that the windows from `first` on need.
    """
    start = needed_from(first or window)
    known = {dataset: store.known(dataset, distinct(symbol_map[f"{dataset}_symbol"]), start) for dataset in datasets}
    items = items_table(symbol_map, known, interest, datasets)
    return items, rank(items, window.end_seconds, policy)
