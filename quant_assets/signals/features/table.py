"""The features table, and its conversion from and to `Features`.

A value that may be unknown is float64 with NaN, also a count or a time in ms (both fit a double exactly); a text that
may be missing is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import Columns, MarketBars, market_bars
from quant_assets.signals.features.candle_features import candle_features
from quant_assets.signals.features.derivative_inputs import (
    DERIVATIVE_FEATURES,
    UNKNOWN,
    DerivativeInputs,
    derivative_features,
    merge_inputs,
    single_market_inputs,
)
from quant_assets.signals.features.extra import EXTRA_COLUMNS, extra_key
from quant_assets.signals.features.model import FIELDS, TYPES, Count, Features, Number

_BATCH_SIZE = 256
"""Markets per batch: enough for vectorized work to pay, few enough to fit into the CPU cache."""

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
_NAMES = ("canonical_symbol", "display_symbol")
CANDLE_DTYPES: dict[str, str] = {
    name: dtype for name, dtype in DTYPES.items() if name not in {*_NAMES, *DERIVATIVE_FEATURES}
}
"""Column of the table of candle features → its dtype."""


def candle_features_table(bars: pd.DataFrame, window: Window, progress: Progress = silent) -> pd.DataFrame:
    """Return the features that follow from candles, of every market that has a bar closed by the window's end.

    `bars` is the candles table. The rows are sorted by exchange and symbol; `CANDLE_DTYPES` has the columns.
    Raises ValueError if `bars` is not sorted.
    """
    markets = market_bars(bars, window)
    batches = []
    for start in range(0, len(markets), _BATCH_SIZE):
        batches.append(_candle_columns(markets[start : start + _BATCH_SIZE], window))
        progress("features", min(start + _BATCH_SIZE, len(markets)), len(markets))
    return _concat(batches)


def join_features(
    candle_features: pd.DataFrame, symbol_map: pd.DataFrame, derivatives: Mapping[str, pd.DataFrame], window: Window
) -> pd.DataFrame:
    """Return the features of the markets of a table of candle features, in its order.

    `candle_features` is the table of the same window, `symbol_map` the symbol map, `derivatives` its tables by dataset.
    A table may be missing, empty or lack a market, whose values are then unknown. `COLUMNS` describes the columns.
    Raises LookAheadError if a derivative value closed after the window's end.
    """
    markets = list(zip(candle_features["exchange"].tolist(), candle_features["symbol"].tolist(), strict=True))
    return _join(candle_features, merge_inputs(markets, symbol_map, derivatives), window)


def features_table(
    bars: pd.DataFrame,
    symbol_map: pd.DataFrame,
    derivatives: Mapping[str, pd.DataFrame],
    window: Window,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the features of every market that has a bar closed by the window's end, sorted by exchange and symbol.

    `bars` is the candles table; the other tables are those of `join_features`.
    Raises LookAheadError if a derivative value closed after the window's end, ValueError if `bars` is not sorted.
    """
    return join_features(candle_features_table(bars, window, progress), symbol_map, derivatives, window)


def market_features(market: MarketBars, window: Window, derivatives: DerivativeInputs = UNKNOWN) -> Features:
    """Return the features of one market at the window's end.

    `market` has at least one bar, and all its bars are closed by then. Raises LookAheadError if a derivative value
    closed after the window's end.
    """
    table = _concat([_candle_columns([market], window)])
    (found,) = features_of(_join(table, single_market_inputs(derivatives), window))
    return found


def table_of(rows: Iterable[Features]) -> pd.DataFrame:
    """Return a table of the features, in the order given."""
    read_row: Callable[[Features], tuple[Any, ...]] = attrgetter(*FIELDS, "extra")
    *columns, extra = list(zip(*map(read_row, rows), strict=True)) or [()] * (len(FIELDS) + 1)
    columns += [
        tuple(values.get(extra_key(name), column.neutral) for values in extra) for name, column in EXTRA_COLUMNS.items()
    ]
    return pd.DataFrame(
        {name: _column(values, DTYPES[name]) for name, values in zip(DTYPES, columns, strict=True)}, copy=False
    )


def features_of(table: pd.DataFrame) -> list[Features]:
    """Return the features of a table, in its order: exactly those that it was made from.

    A column that an earlier version did not store takes its default. Raises KeyError if a column
    without a default is missing.
    """
    columns = [_stored_or_default(table, name) for name in FIELDS]
    own = [Features._field_defaults["own"]] * len(table)
    return list(map(Features._make, zip(*columns, _extra_values(table), own, strict=True)))


class FeaturesCache:
    """Keeps the features of the last table: every strategy and the feed read the same ones, each from its own copy."""

    def __init__(self) -> None:
        self._last: tuple[pd.DataFrame, list[Features]] | None = None

    def features_of(self, table: pd.DataFrame) -> list[Features]:
        """Return the features of a table, as the function `features_of` does."""
        last = self._last
        if last is None or not table.equals(last[0]):
            last = self._last = (table.copy(deep=False), features_of(table))
        return list(last[1])


def _candle_columns(markets: Sequence[MarketBars], window: Window) -> Columns:
    """Return the columns of some markets that follow from candles."""
    return {
        "exchange": [market.exchange for market in markets],
        "symbol": [market.symbol for market in markets],
        "window_end_ms": np.full(len(markets), window.end_ms),
        **candle_features(markets, window),
    }


def _concat(batches: Sequence[Columns]) -> pd.DataFrame:
    """Concatenate the columns of batches of markets into one table of candle features."""
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in CANDLE_DTYPES} if batches else {}
    return candle_table(columns)


def candle_table(columns: Columns) -> pd.DataFrame:
    """Return a table of candle features from its columns; an empty one from none."""
    return pd.DataFrame(
        {name: _column(columns.get(name, ()), dtype) for name, dtype in CANDLE_DTYPES.items()}, copy=False
    )


def _join(candle_features: pd.DataFrame, inputs: Columns, window: Window) -> pd.DataFrame:
    """Return all columns of the markets of a table of candle features; `inputs` has one element per market."""
    joined = joined_columns(candle_features["symbol"].to_numpy(dtype=object), inputs, window)
    columns = {
        name: _column(joined[name], dtype) if name in joined else candle_features[name].array
        for name, dtype in DTYPES.items()
    }
    return pd.DataFrame(columns, copy=False)


def joined_columns(symbols: Any, inputs: Columns, window: Window) -> Columns:
    """Return the columns that are no candle features; `inputs` has one element per market, as `symbols` has.

    Raises LookAheadError if a derivative value closed after the window's end.
    """
    return {
        **{name: np.where(inputs[name] == "", symbols, inputs[name]) for name in _NAMES},
        **derivative_features(inputs, window),
    }


def table_of_columns(columns: Columns) -> pd.DataFrame:
    """Return a features table from all its columns."""
    return pd.DataFrame({name: _column(columns[name], dtype) for name, dtype in DTYPES.items()}, copy=False)


def _column(values: Any, dtype: str) -> Any:
    if dtype == "str":
        return pd.array(list(values), dtype="str")
    return np.array(values, dtype=dtype)  # None becomes NaN


def _stored_or_default(table: pd.DataFrame, name: str) -> list[Any]:
    defaults = Features._field_defaults
    if name not in table and name in defaults:
        return [defaults[name]] * len(table)
    return _values(table[name], TYPES[name])


def _extra_values(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    """Return `Features.extra` of each row; a column that the table lacks is unknown."""
    if not EXTRA_COLUMNS:
        return [Features._field_defaults["extra"]] * len(table)
    columns = {}
    for name, column in EXTRA_COLUMNS.items():
        stored = _values(table[name], column.kind) if name in table else [None] * len(table)
        columns[extra_key(name)] = [column.neutral if value is None else value for value in stored]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pd.Series[Any], kind: Any) -> list[Any]:
    """Return a column's values as in `Features`: NaN becomes None, and a time or a count an int."""
    if kind not in (Number, Count):
        plain: list[Any] = column.tolist()
        return plain
    numbers = column.to_numpy()
    (known,) = (numbers == numbers).nonzero()  # noqa: PLR0124 - only NaN differs from itself
    found: list[Any] = numbers[known].astype(np.int64 if kind == Count else np.float64).tolist()
    if len(found) == len(numbers):
        return found
    values: list[Any] = [None] * len(numbers)
    for place, value in zip(known.tolist(), found, strict=True):
        values[place] = value
    return values
