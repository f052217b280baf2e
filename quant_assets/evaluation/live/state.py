"""What the live record keeps between two scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.evaluation.grouping import keys_of
from quant_assets.evaluation.live.episodes import LIVE_TRADER
from quant_assets.evaluation.live.published import empty_setups
from quant_assets.evaluation.trade_table import COLUMNS, PART_PREFIX, TRADES, empty_trades
from quant_assets.storage.lake import Lake

EPISODES: Final[Sequence[str]] = ("trade_episodes",)
WINDOWS: Final[Sequence[str]] = ("followed_windows",)
WINDOW: Final = "window"
#: The columns by which a trade is found.
TRADE_KEY: Final = (*LIVE_TRADER, "entry_ms")


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """The trades, and what is needed to go on.

    `episodes` has the setup of the first window of each episode that still goes on or whose trade has not ended:
    the columns of published setups, `last_ms` (end of its last window) and `decided` (whether it was passed over, or
    its trade has ended). `windows` are the keys of the windows that were followed.
    """

    trades: pd.DataFrame
    episodes: pd.DataFrame
    windows: frozenset[str]

    def with_parts(self, parts: Sequence[str]) -> LiveRecord:
        """Return the record with the columns of these parts of scores, empty where they are new, after the others."""
        known = [*COLUMNS, *(f"{PART_PREFIX}{part}" for part in parts)]
        if list(self.trades.columns) == known:
            return self
        names = [*known, *(str(name) for name in self.trades if name not in known)]
        missing = dict.fromkeys(set(names) - set(self.trades.columns), np.nan)
        return replace(self, trades=self.trades.assign(**missing)[names])

    def with_replay(self, compared: pd.DataFrame) -> LiveRecord:
        """Return the record with what was found by comparing some of its trades with a replay."""
        if compared.empty:
            return self
        place = {key: row for row, key in enumerate(keys_of(self.trades, TRADE_KEY))}
        rows = [place[key] for key in keys_of(compared, TRADE_KEY)]
        found = {name: self.trades[name].copy() for name in ("replay", "replay_r")}
        for name, column in found.items():
            column.iloc[rows] = compared[name].to_numpy()
        return replace(self, trades=self.trades.assign(**found))

    def without_trades_before(self, entry_ms: int) -> LiveRecord:
        """Return the record without final trades that were entered before a time, epoch ms."""
        is_kept = ~self.trades["final"] | (self.trades["entry_ms"] >= entry_ms)
        if is_kept.all():
            return self
        return replace(self, trades=self.trades[is_kept].reset_index(drop=True))


def empty_live_record() -> LiveRecord:
    """Return a record without trades."""
    episodes = empty_setups().assign(last_ms=pd.Series(dtype="int64"), decided=pd.Series(dtype="bool"))
    return LiveRecord(empty_trades(), episodes, frozenset())


def load_live_record(lake: Lake) -> LiveRecord:
    """Return the stored record, an empty one if there is none. Raises LakeError if one of its tables is damaged."""
    empty = empty_live_record()
    trades, episodes, windows = (lake.read(key) for key in (TRADES, EPISODES, WINDOWS))
    return LiveRecord(
        empty.trades if trades is None else trades,
        empty.episodes if episodes is None else episodes,
        empty.windows if windows is None else frozenset(windows[WINDOW]),
    )


def save_live_record(lake: Lake, record: LiveRecord) -> None:
    """Store the record. Raises WriteError.

    The trades come first: after a crash in between, the last windows are followed again, with the same trades.
    """
    lake.write(TRADES, None, record.trades)
    lake.write(EPISODES, None, record.episodes)
    lake.write(WINDOWS, None, pd.DataFrame({WINDOW: sorted(record.windows)}, dtype="str"))
