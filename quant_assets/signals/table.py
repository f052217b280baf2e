"""The features table, and the way from its rows back to `Features`.

Here: one row per market and window, in plain columns (float64, int64, str, bool) that pass through Parquet unchanged.
Not here: what the columns mean (`features.py`) and how a row is computed (`measure.py`).

A value that may be unknown is float64 with NaN, also where it counts or is a moment in ms (both fit a double
exactly); a text that may be missing is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.progress import Progress, silent
from quant_assets.signals.bars import market_bars
from quant_assets.signals.features import COLUMNS, TYPES, Count, Features, Number
from quant_assets.signals.inputs import UNKNOWN, merge_inputs
from quant_assets.signals.measure import market_features
from quant_assets.windows import Window

_REPORT_EVERY = 100
_DTYPES: dict[Any, str] = {
    str: "str",
    float: "float64",
    int: "int64",
    bool: "bool",
    Number: "float64",
    Count: "float64",
}
DTYPES: dict[str, str] = {name: _DTYPES[kind] for name, kind in TYPES.items()}
"""Column of the features table → its dtype."""


def features_table(
    bars: pd.DataFrame,
    symbol_map: pd.DataFrame,
    derivatives: Mapping[str, pd.DataFrame],
    window: Window,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the features of every market that has a bar closed by the window's end, sorted by exchange and symbol.

    `bars` is the candles table, `symbol_map` the symbol map, `derivatives` the four tables by dataset
    ("open_interest", "funding_rate", "long_short_ratio", "liquidations") for this window; each may be missing, empty
    or without a market, whose values are then unknown. Columns and their meaning: `features.COLUMNS`.
    Raises LookAheadError where a derivative value closed after the window's end, ValueError where `bars` is not sorted.
    """
    inputs = merge_inputs(symbol_map, derivatives)
    markets = market_bars(bars, window)
    rows = []
    for done, market in enumerate(markets, start=1):
        rows.append(market_features(market, window, inputs.get((market.exchange, market.symbol), UNKNOWN)))
        if done % _REPORT_EVERY == 0 or done == len(markets):
            progress("features", done, len(markets))
    return table_of(rows)


def table_of(rows: Iterable[Features]) -> pd.DataFrame:
    """Put features into a table, in the order given."""
    read_row: Callable[[Features], tuple[Any, ...]] = attrgetter(*DTYPES)
    columns = list(zip(*map(read_row, rows), strict=True)) or [()] * len(DTYPES)
    return pd.DataFrame(
        {name: _column(values, DTYPES[name]) for name, values in zip(DTYPES, columns, strict=True)}, copy=False
    )


def features_of(table: pd.DataFrame) -> list[Features]:
    """Take the features back out of a table, in its order: exactly those that were put in.

    Raises KeyError where a column is missing.
    """
    columns = [_values(table[name], TYPES[name]) for name in COLUMNS]
    return [Features(*row) for row in zip(*columns, strict=True)]


def _column(values: tuple[Any, ...], dtype: str) -> Any:
    if dtype == "str":
        return pd.array(list(values), dtype="str")
    return np.array(values, dtype=dtype)  # None becomes NaN


def _values(column: pd.Series[Any], kind: Any) -> list[Any]:
    """Take a column's values as `Features` has them: NaN becomes None, and a moment or a count a whole number."""
    if kind not in (Number, Count):
        plain: list[Any] = column.tolist()
        return plain
    numbers = column.to_numpy()
    is_unknown = np.isnan(numbers)
    if kind == Count:
        numbers = np.where(is_unknown, 0.0, numbers).astype(np.int64)
    values = numbers.astype(object)
    values[is_unknown] = None
    found: list[Any] = values.tolist()
    return found
