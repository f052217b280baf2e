"""Reading the trades of published signals: the table is read once, and again only when it changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.dashboard.feed_repository import FeedError, Unreadable
from quant_assets.evaluation import Outcome, read_trades
from quant_assets.evaluation.trade_table import TRADES, empty_trades
from quant_assets.storage.lake import DamagedTable, Lake, LakeError

NO_TABLE: Final = "no table"


class TradeRepository:
    """The trades of published signals. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._lake = Lake(settings.lake_place)
        self._lock = threading.Lock()
        self._read: tuple[Hashable, pd.DataFrame] = (NO_TABLE, _with_categories(empty_trades()))

    @property
    def version(self) -> Hashable:
        """A value that changes when the table does; one that is used once if that cannot be known.

        Raises UnreachableObject.
        """
        version = self._lake.version(TRADES)
        if version is not None:
            return version
        return object() if self._lake.has(TRADES) else NO_TABLE

    def read(self) -> pd.DataFrame:
        """Return the trades, an empty table if there is none yet; texts are categories.

        The columns are those of `trade_table`. Raises FeedError if it is damaged or cannot be read, UnreachableObject.
        """
        with self._lock:
            version = self.version
            if self._read[0] != version:
                try:
                    table = read_trades(self._lake)
                except DamagedTable:
                    message = "the table of trades is damaged: restore lake/trades.parquet from a copy, or delete it"
                    raise FeedError("damaged_trades", message) from None
                except LakeError as error:  # its message has a folder of the server
                    logging.getLogger(__name__).warning("%s", error)
                    raise Unreadable("the table of trades cannot be read; the server's log says why") from None
                self._read = (version, _with_categories(empty_trades() if table is None else table))
            return self._read[1]

    def of_market(self, exchange: str, symbol: str, window: Window) -> pd.DataFrame:
        """Return the trades of a market that had begun by a window's end, oldest first, as they stood then."""
        table = self.read()
        is_known = (table["exchange"] == exchange) & (table["symbol"] == symbol) & (table["entry_ms"] <= window.end_ms)
        return as_of(table[is_known], window)

    def followed(self, window: Window) -> pd.DataFrame:
        """Return the trades that follow setups of a window: entered at its end, or earlier and open then."""
        table = self.read()
        is_open = (table["exit_ms"] > window.end_ms) | table["outcome"].isin([Outcome.OPEN, Outcome.PENDING])
        begins = table["entry_ms"] == window.end_ms
        return table[begins | ((table["entry_ms"] < window.end_ms) & is_open)]


def as_of(trades: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return trades without what happened after a window's end: those that had not ended are open."""
    is_later = (trades["exit_ms"] > window.end_ms).to_numpy()
    if not is_later.any():
        return trades
    results = {
        name: np.where(is_later, np.nan, trades[name]) for name in ("exit", "gross_r", "net_r", "mfe_r", "mae_r")
    }
    outcome = pd.Series(np.where(is_later, Outcome.OPEN.value, trades["outcome"].astype(str)), trades.index)
    return trades.assign(**results, outcome=outcome, exit_ms=np.where(is_later, 0, trades["exit_ms"]))


def _with_categories(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with texts as categories, which are filtered and grouped many times as fast."""
    return table.astype({name: "category" for name, dtype in table.dtypes.items() if dtype == "str"})
