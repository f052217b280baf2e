"""What many windows know of derivatives and symbols, as columns of their features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import Columns, Ints
from quant_assets.signals.features.derivative_inputs import merge_inputs
from quant_assets.signals.features.table import joined_columns

Market = tuple[str, str]
"""Exchange and symbol."""
TablesOf = Callable[[Sequence[Window]], Iterable[Mapping[str, pd.DataFrame]]]
"""Gives for each of several windows dataset → its table as it was known at the window's end; none if nothing was."""
NO_TABLE = pd.DataFrame()


def no_tables(windows: Sequence[Window]) -> Iterable[Mapping[str, pd.DataFrame]]:
    """Give windows in which nothing was known."""
    return ({} for _ in windows)


@dataclass(frozen=True, slots=True)
class WindowInputs:
    """The columns of the features that follow from derivatives and the symbol map, of all markets and windows.

    Windows in which nothing was known share a row of the columns.
    """

    markets: Sequence[Market]
    windows: Sequence[Window]
    _columns: Columns
    _row: Ints

    @classmethod
    def of(
        cls,
        markets: Sequence[Market],
        windows: Sequence[Window],
        tables_of: TablesOf = no_tables,
        symbol_map: pd.DataFrame = NO_TABLE,
        progress: Progress = silent,
    ) -> WindowInputs:
        """Read the tables of each window once, in the order of `windows`.

        Raises LookAheadError if a derivative value closed after its window's end.
        """
        symbols = np.array([symbol for _, symbol in markets], dtype=object)

        def columns(tables: Mapping[str, pd.DataFrame], window: Window) -> Columns:
            return joined_columns(symbols, merge_inputs(markets, symbol_map, tables), window)

        rows, row_of_window = [], np.zeros(len(windows), dtype=np.int64)
        for number, (window, tables) in enumerate(zip(windows, tables_of(windows), strict=True)):
            progress("derivatives read", number, len(windows))
            if tables:
                rows.append(columns(tables, window))
                row_of_window[number] = len(rows)
        unknown = columns({}, windows[0]) if windows else {}
        joined = {name: np.stack([values, *(row[name] for row in rows)]) for name, values in unknown.items()}
        return cls(markets, windows, joined, row_of_window)

    def count_known(self, first: Window) -> int:
        """Return the number of windows from `first` on in which anything was known."""
        return int((self._row[[window >= first for window in self.windows]] > 0).sum())

    def of_markets(self, markets: Sequence[Market]) -> WindowInputs:
        """Return the inputs of some of the markets."""
        if markets == self.markets:
            return self
        place = {market: number for number, market in enumerate(self.markets)}
        chosen = [place[market] for market in markets]
        return WindowInputs(
            markets, self.windows, {name: values[:, chosen] for name, values in self._columns.items()}, self._row
        )

    def columns(self, market: Ints, window: Ints) -> Columns:
        """Return the columns of market-windows, given by their places in `markets` and `windows`."""
        row = self._row[window]
        return {name: values[row, market] for name, values in self._columns.items()}

    def values(self, name: str, keys: Sequence[tuple[str, str, int]]) -> np.ndarray[Any, Any]:
        """Return one column of market-windows, given by exchange, symbol and the window's end (epoch ms)."""
        market = {key: number for number, key in enumerate(self.markets)}
        row = dict(zip((window.end_ms for window in self.windows), self._row.tolist(), strict=True))
        found = [self._columns[name][row[end_ms], market[exchange, symbol]] for exchange, symbol, end_ms in keys]
        return np.array(found, dtype=object)
