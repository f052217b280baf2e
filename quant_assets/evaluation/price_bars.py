"""The 15-minute bars that trades are followed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.common.timeframes import LTF, STEP_MS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Market = tuple[str, str]
"""Exchange and symbol."""

STEP: Final = STEP_MS[LTF]
#: A trade is lost at a bar that opens later than this after the opening of the bar before.
MAX_GAP_MS: Final = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class PriceBars:
    """Closed 15-minute bars of one market, oldest first; all arrays have the same length, which is not 0."""

    time_ms: Ints
    """Opening of each bar, epoch ms."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats

    @property
    def end_ms(self) -> int:
        """The close of the newest bar, epoch ms."""
        return int(self.time_ms[-1]) + STEP

    def until(self, end_ms: int) -> PriceBars | None:
        """Return the bars that had closed by a moment, None if there is none."""
        stop = int(self.time_ms.searchsorted(end_ms - STEP, side="right"))
        if stop == 0:
            return None
        return PriceBars(self.time_ms[:stop], self.open[:stop], self.high[:stop], self.low[:stop], self.close[:stop])


def price_bars(candles: pd.DataFrame) -> dict[Market, PriceBars]:
    """Return the 15-minute bars of each market of a candles table.

    `candles` has the columns exchange, symbol, timeframe, time_ms, open, high, low, close, sorted by time within each
    market and timeframe.
    """
    rows = candles[candles["timeframe"] == LTF]
    return {
        (str(exchange), str(symbol)): PriceBars(
            np.ascontiguousarray(of_market["time_ms"].to_numpy(np.int64)),
            *(np.ascontiguousarray(of_market[name].to_numpy(np.float64)) for name in ("open", "high", "low", "close")),
        )
        for (exchange, symbol), of_market in rows.groupby(["exchange", "symbol"], observed=True, sort=True)
    }


def newest_close_ms(bars: Mapping[Market, PriceBars]) -> dict[str, int]:
    """Return the close of the newest bar of each exchange, epoch ms."""
    newest: dict[str, int] = {}
    for (exchange, _), of_market in bars.items():
        newest[exchange] = max(newest.get(exchange, 0), of_market.end_ms)
    return newest
