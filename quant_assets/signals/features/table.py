"""The features table, and the way from its rows back to `Features`.

A value that may be unknown is float64 with NaN, also where it counts or is a moment in ms (both fit a double
exactly); a text that may be missing is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import MarketBars, market_bars
from quant_assets.signals.features.candle_features import candle_features
from quant_assets.signals.features.derivative_inputs import (
    UNKNOWN,
    Columns,
    DerivativeInputs,
    derivative_features,
    inputs_of_one,
    merged_inputs,
)
from quant_assets.signals.features.model import COLUMNS, TYPES, Count, Features, Number

_AT_ONCE = 256
"""Markets that are measured together: many enough to pay for the work by columns, few enough to stay in the cache."""

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
    markets = market_bars(bars, window)
    keys = [(market.exchange, market.symbol) for market in markets]
    inputs = merged_inputs(keys, symbol_map, derivatives)
    parts = []
    for start in range(0, len(markets), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        parts.append(_measured(markets[some], {name: values[some] for name, values in inputs.items()}, window))
        progress("features", min(start + _AT_ONCE, len(markets)), len(markets))
    return _table(parts)


def market_features(market: MarketBars, window: Window, derivatives: DerivativeInputs = UNKNOWN) -> Features:
    """Return what is known of one market at the window's end.

    `market` has at least one bar, and none that is not closed by then. Raises LookAheadError where a derivative value
    closed after the window's end.
    """
    (found,) = features_of(_table([_measured([market], inputs_of_one(derivatives), window)]))
    return found


def table_of(rows: Iterable[Features]) -> pd.DataFrame:
    """Put features into a table, in the order given."""
    read_row: Callable[[Features], tuple[Any, ...]] = attrgetter(*DTYPES)
    columns = list(zip(*map(read_row, rows), strict=True)) or [()] * len(DTYPES)
    return pd.DataFrame(
        {name: _column(values, DTYPES[name]) for name, values in zip(DTYPES, columns, strict=True)}, copy=False
    )


def features_of(table: pd.DataFrame) -> list[Features]:
    """Take the features back out of a table, in its order: exactly those that were put in.

    Those of the last table are kept, since every strategy and the feed ask for the same ones, each with a copy of the
    table of its own. A value that an earlier version did not store takes its default. Raises KeyError where a column
    without a default is missing.
    """
    for kept, found in tuple(_LAST):
        if table.equals(kept):
            return list(found)
    columns = [_stored_or_default(table, name) for name in COLUMNS]
    rows = list(map(Features._make, zip(*columns, strict=True)))
    _LAST.append((table.copy(deep=False), rows))
    return list(rows)


_LAST: deque[tuple[pd.DataFrame, list[Features]]] = deque(maxlen=1)


def _measured(markets: Sequence[MarketBars], inputs: Columns, window: Window) -> Columns:
    """Return all columns of some markets; `inputs` has an element for each."""
    symbols = np.array([market.symbol for market in markets], dtype=object)
    names = {
        name: np.where(inputs[name] == "", symbols, inputs[name]) for name in ("canonical_symbol", "display_symbol")
    }
    return {
        "exchange": [market.exchange for market in markets],
        "symbol": symbols,
        **names,
        "window_end_ms": np.full(len(markets), window.end_ms),
        **candle_features(markets, window),
        **derivative_features(inputs, window),
    }


def _table(parts: Sequence[Columns]) -> pd.DataFrame:
    """Put columns of some markets after those of others into one table."""
    columns = {}
    for name, dtype in DTYPES.items():
        values = np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
        columns[name] = _column(values, dtype)
    return pd.DataFrame(columns, copy=False)


def _column(values: Any, dtype: str) -> Any:
    if dtype == "str":
        return pd.array(list(values), dtype="str")
    return np.array(values, dtype=dtype)  # None becomes NaN


def _stored_or_default(table: pd.DataFrame, name: str) -> list[Any]:
    defaults = Features._field_defaults
    if name not in table and name in defaults:
        return [defaults[name]] * len(table)
    return _values(table[name], TYPES[name])


def _values(column: pd.Series[Any], kind: Any) -> list[Any]:
    """Take a column's values as `Features` has them: NaN becomes None, and a moment or a count a whole number."""
    if kind not in (Number, Count):
        plain: list[Any] = column.tolist()
        return plain
    numbers = column.to_numpy()
    (known,) = (numbers == numbers).nonzero()  # noqa: PLR0124 - NaN alone differs from itself
    found: list[Any] = numbers[known].astype(np.int64 if kind == Count else np.float64).tolist()
    if len(found) == len(numbers):
        return found
    values: list[Any] = [None] * len(numbers)
    for place, value in zip(known.tolist(), found, strict=True):
        values[place] = value
    return values
