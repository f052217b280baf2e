"""The closed bars of one market as DataFrames, cut at a window's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.common.timeframes import STEP_MS

PRICES: Final = ("open", "high", "low", "close", "volume")
"""Columns of the bars that a strategy gets."""
Frames = Mapping[str, pd.DataFrame]
"""Timeframe → bars; the index is their opening in UTC."""


class MarketCandles:
    """A candles table by market, from which the bars of any market are cut at any moment."""

    def __init__(self, candles: pd.DataFrame) -> None:
        """Find the rows of each market; `candles` has its rows of a market and timeframe together, sorted by time."""
        self._times: npt.NDArray[np.int64] = candles["time_ms"].to_numpy(np.int64)
        self._columns = {name: candles[name].to_numpy(np.float64) for name in PRICES}
        self._rows: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
        keys = [candles[name].astype("category") for name in ("exchange", "symbol", "timeframe")]
        is_first = np.ones(len(candles), dtype=bool)
        if len(candles):
            codes = np.stack([key.cat.codes.to_numpy() for key in keys])
            is_first[1:] = (codes[:, 1:] != codes[:, :-1]).any(axis=0)
        starts = np.flatnonzero(is_first).tolist()
        for start, stop in zip(starts, [*starts[1:], len(candles)], strict=False):
            exchange, symbol, timeframe = (str(key.iloc[start]) for key in keys)
            if timeframe in STEP_MS:
                self._rows.setdefault((exchange, symbol), {})[timeframe] = (start, stop)

    @property
    def markets(self) -> list[tuple[str, str]]:
        """Return exchange and symbol of each market, sorted."""
        return sorted(self._rows)

    def closed_bars(self, market: tuple[str, str], end_ms: int, count: int) -> dict[str, pd.DataFrame]:
        """Return the newest `count` bars of each timeframe that had closed by `end_ms`, epoch ms.

        The frames are copies, so that a strategy may change them. A timeframe without bars has an empty frame.
        """
        rows = self._rows.get(market, {})
        return {
            timeframe: self._frame(*rows.get(timeframe, (0, 0)), end_ms - step_ms, count)
            for timeframe, step_ms in STEP_MS.items()
        }

    def all_bars(self, market: tuple[str, str]) -> dict[str, pd.DataFrame]:
        """Return all bars of each timeframe, as copies."""
        return self.closed_bars(market, np.iinfo(np.int64).max, len(self._times))

    def _frame(self, start: int, stop: int, newest_opening: int, count: int) -> pd.DataFrame:
        stop = start + int(self._times[start:stop].searchsorted(newest_opening, side="right"))
        start = max(start, stop - count)
        openings = pd.DatetimeIndex(self._times[start:stop].astype("datetime64[ms]"), name="time")
        index = openings.as_unit("us").tz_localize("UTC")  # the unit of times that pandas parses
        return pd.DataFrame({name: column[start:stop] for name, column in self._columns.items()}, index=index)


def closing_ms(bars: pd.DataFrame, timeframe: str) -> npt.NDArray[np.int64]:
    """Return when each bar closed, epoch ms."""
    openings: npt.NDArray[np.int64] = bars.index.as_unit("ms").asi8  # type: ignore[attr-defined]
    return openings + STEP_MS[timeframe]
