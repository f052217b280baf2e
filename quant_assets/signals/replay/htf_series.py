"""HTF columns of many windows: they change with each closed 4h bar, so they are computed once for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quant_assets.signals.features import indicators
from quant_assets.signals.features.bars import MAX_BARS, Bars, Columns, Floats, Ints, newest_bars
from quant_assets.signals.features.candle_features import LastValues, htf_columns, last_values, rsi_and_atr


@dataclass(frozen=True, slots=True)
class HtfRow:
    """The 4h bars that a window uses, with their indicators."""

    bars: Bars
    last: LastValues
    """Arrays with one element."""
    rsi: Floats
    atr: Floats


class HtfSeries:
    """The 4h bars of one market, and the indicators at each of them, computed over the whole series."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        (self._rsi,), (self._atr,) = rsi_and_atr([bars])
        self._last = (
            bars.time_ms.astype(np.float64),
            bars.close,
            self._rsi,
            self._atr,
            indicators.adx(bars.high, bars.low, bars.close),
            indicators.ema(bars.close, 50),
            indicators.ema(bars.close, 200),
        )

    def rows(self, stops: Ints) -> list[HtfRow]:
        """Return the rows of the windows that use the newest bars of the first `stops`, one for each; 0 for none.

        While a window uses all bars since the beginning, the indicators of the whole series are the same to the last
        bit. After that each window gets its own.
        """
        return [self._whole_row(stop) if stop <= MAX_BARS else self._own_row(stop) for stop in stops.tolist()]

    def _whole_row(self, stop: int) -> HtfRow:
        last = [values[stop - 1 : stop] if stop else np.full(1, np.nan) for values in self._last]
        return HtfRow(
            newest_bars(self._bars, stop), LastValues(np.array([stop]), *last), self._rsi[:stop], self._atr[:stop]
        )

    def _own_row(self, stop: int) -> HtfRow:
        bars = newest_bars(self._bars, stop)
        rsi, atr = rsi_and_atr([bars])
        return HtfRow(bars, last_values([bars], rsi, atr), rsi[0], atr[0])


def columns_of(rows: Sequence[HtfRow]) -> Columns:
    """Return the HTF columns, one element for each row."""
    last = LastValues(*(np.concatenate([getattr(row.last, name) for row in rows]) for name in LastValues.__slots__))
    return htf_columns([row.bars for row in rows], last, [row.rsi for row in rows], [row.atr for row in rows])
