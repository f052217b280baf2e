"""The values of each dataset at a window's end: one table for each dataset, one row for each market.

Bars that closed after the window's end are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.dataset_spec import CLOSED_AT
from quant_assets.derivatives.datasets import SPECS, Dataset, DatasetSpec
from quant_assets.derivatives.exchange_values import OwnSnapshots
from quant_assets.derivatives.planner import distinct_symbols
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.providers.registry import provider_name


def snapshot(
    store: DerivativesStore | None,
    symbol_map: pd.DataFrame,
    dataset: Dataset,
    window: Window,
    on_failure: Callable[[str], None] | None = None,
    own: OwnSnapshots | None = None,
) -> pd.DataFrame:
    """Return the values of `dataset` at the end of `window`, one row for each row of the symbol map.

    `own` are the snapshots of the markets' own exchanges in this window and before; without them all values are those
    of the dataset's provider. Without a store all values are missing. If a function of the dataset's entry raises
    anything but StoreError, all values are missing too, and `on_failure` is called with a message; without `on_failure`
    the exception is raised.

    Columns: exchange, symbol, coinalyze_symbol (the symbol at its provider), provider, source_exchange, status, unit,
    simulated (whether the data are from an emulator), closed_at_ms (close of the newest bar used, NaN without data),
    and the values of the dataset's entry, NaN without data (0 for a count).
    """
    try:
        return _table(store, symbol_map, SPECS[dataset], window, own)
    except StoreError:
        raise
    except Exception as error:  # the code of an installed package may raise anything
        if on_failure is None or store is None:
            raise
        on_failure(f"{dataset} of window {window.key} is unknown: {type(error).__name__}: {error}")
        return _table(None, symbol_map, replace(SPECS[dataset], complete=None), window, None)


def with_provider(table: pd.DataFrame) -> pd.DataFrame:
    """Return a window's table with the column `provider`: the name of each symbol's provider, "" without a symbol."""
    return table.assign(provider=list(map(provider_name, table["coinalyze_symbol"])))


def _table(
    store: DerivativesStore | None,
    symbol_map: pd.DataFrame,
    spec: DatasetSpec,
    window: Window,
    own: OwnSnapshots | None,
) -> pd.DataFrame:
    dataset, symbols = spec.name, symbol_map[f"{spec.name}_symbol"]
    values = {} if store is None else spec.read(spec, store, distinct_symbols(symbols), window)
    unit = symbol_map[f"{dataset}_unit"] if spec.has_unit else ""
    table = pd.DataFrame(
        {
            "exchange": symbol_map["exchange"].astype(str),
            "symbol": symbol_map["symbol"].astype(str),
            "coinalyze_symbol": symbols.astype(str),
            "provider": list(map(provider_name, symbols)),
            "source_exchange": symbol_map[f"{dataset}_exchange"].astype(str),
            "status": symbol_map[f"{dataset}_status"].astype(str),
            "unit": pd.Series(unit, index=symbol_map.index, dtype=str),
            "simulated": store is not None and store.simulated,
        }
    )
    dtypes = {CLOSED_AT: "float64", **{value.name: value.dtype for value in spec.values}}
    for column, dtype in dtypes.items():
        if dtype == "str":
            table[column] = pd.Series("", index=symbol_map.index, dtype=str)
            continue
        known = [values.get(symbol, {}).get(column, math.nan) for symbol in symbols]
        numbers = np.asarray(known, dtype=np.float64)
        table[column] = np.nan_to_num(numbers).astype(np.int64) if dtype == "int64" else numbers
    if spec.complete is not None:
        table = spec.complete(table)
    if spec.own_values is not None and own is not None:
        table = spec.own_values(table, own, window)
    return table.reset_index(drop=True)
