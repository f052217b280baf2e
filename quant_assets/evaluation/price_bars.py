"""The 15-minute bars that trades are followed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
#: Markets are ordered before times by adding their number shifted by so many bits; times are below 2**42 ms until 2109.
_TIME_BITS: Final = 42


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
        return self.between(0, end_ms)

    def between(self, start_ms: int, end_ms: int) -> PriceBars | None:
        """Return the bars that opened and closed between two moments, None if there is none."""
        start = int(self.time_ms.searchsorted(start_ms))
        stop = int(self.time_ms.searchsorted(end_ms - STEP, side="right"))
        return self[start:stop] if start < stop else None

    def __getitem__(self, part: slice) -> PriceBars:
        """Return some of the bars; there must be one at least."""
        return PriceBars(self.time_ms[part], self.open[part], self.high[part], self.low[part], self.close[part])


class JoinedBars(Mapping[Market, PriceBars]):
    """The bars of many markets, one market after the other in the same arrays.

    A market has a number, its place in `markets`. All bars from `begin[number]` to before `end[number]` are its own.
    """

    def __init__(self, bars: PriceBars, markets: list[Market], begin: Ints) -> None:
        self.bars = bars
        self.markets = markets
        self.begin = begin
        self.end = np.append(begin[1:], len(bars.time_ms)).astype(np.int64)
        self._numbers = {market: number for number, market in enumerate(markets)}
        number = np.repeat(np.arange(len(markets)), self.end - self.begin)
        self._order = (number << _TIME_BITS) + bars.time_ms
        is_gap = np.diff(bars.time_ms, prepend=bars.time_ms[:1]) > MAX_GAP_MS
        is_gap[begin] = False
        self.gaps: Ints = np.flatnonzero(is_gap)
        """Positions of bars that open so long after the bar before that a trade is lost."""

    @classmethod
    def of(cls, bars: Mapping[Market, PriceBars]) -> JoinedBars:
        """Join the bars of markets."""
        if isinstance(bars, JoinedBars):
            return bars
        each = list(bars.values())
        begin = np.cumsum([0, *(len(one.time_ms) for one in each)], dtype=np.int64)[:-1]
        columns = ("open", "high", "low", "close")
        joined = PriceBars(
            np.concatenate([np.empty(0, np.int64), *(one.time_ms for one in each)]),
            *(np.concatenate([np.empty(0), *(getattr(one, name) for one in each)]) for name in columns),
        )
        return cls(joined, list(bars), begin)

    def __getitem__(self, market: Market) -> PriceBars:
        """Return the bars of a market. Raises KeyError."""
        number = self._numbers[market]
        return self.bars[self.begin[number] : self.end[number]]

    def __contains__(self, market: object) -> bool:
        """Return whether a market has bars."""
        return market in self._numbers

    def __iter__(self) -> Iterator[Market]:
        """Iterate over the markets."""
        return iter(self.markets)

    def __len__(self) -> int:
        """Return the number of markets."""
        return len(self.markets)

    def number_of(self, market: Market) -> int:
        """Return the number of a market, −1 if it has no bars."""
        return self._numbers.get(market, -1)

    def find(self, number: Ints, time_ms: Ints) -> Ints:
        """Return the position of the first bar of each market that opens at or after a time; its end if none does."""
        return self._order.searchsorted((number << _TIME_BITS) + time_ms).astype(np.int64)

    def end_ms(self, number: Ints) -> Ints:
        """Return the close of the newest bar of each of these markets, epoch ms."""
        return self.bars.time_ms[self.end[number] - 1] + STEP


def price_bars(candles: pd.DataFrame) -> JoinedBars:
    """Return the 15-minute bars of each market of a candles table.

    `candles` has the columns exchange, symbol, timeframe, time_ms, open, high, low, close, sorted by time within each
    market and timeframe.
    """
    rows = candles.loc[candles["timeframe"] == LTF, ["exchange", "symbol", "time_ms", "open", "high", "low", "close"]]
    by_market = rows.groupby(["exchange", "symbol"], observed=True, sort=True)
    number = by_market.ngroup().to_numpy(np.int64)
    if (np.diff(number) < 0).any():
        order = number.argsort(kind="stable")
        rows, number = rows.iloc[order], number[order]
    begin = np.flatnonzero(np.diff(number, prepend=-1)).astype(np.int64)
    names = (rows[name].iloc[begin].astype(str) for name in ("exchange", "symbol"))
    bars = PriceBars(
        np.ascontiguousarray(rows["time_ms"].to_numpy(np.int64)),
        *(np.ascontiguousarray(rows[name].to_numpy(np.float64)) for name in ("open", "high", "low", "close")),
    )
    return JoinedBars(bars, list(zip(*names, strict=True)), begin)


def newest_close_ms(bars: Mapping[Market, PriceBars]) -> dict[str, int]:
    """Return the close of the newest bar of each exchange, epoch ms."""
    newest: dict[str, int] = {}
    for (exchange, _), of_market in bars.items():
        newest[exchange] = max(newest.get(exchange, 0), of_market.end_ms)
    return newest
