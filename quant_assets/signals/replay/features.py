"""Candle features of many windows, in batches of market-windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.signals.features.bars import Columns, Ints, MarketBars, closed_bars, market_series
from quant_assets.signals.features.candle_features import LtfRows, join_timeframes, ltf_columns
from quant_assets.signals.features.table import CANDLE_DTYPES, candle_table
from quant_assets.signals.replay.htf_series import HtfRow, HtfSeries, columns_of
from quant_assets.signals.replay.ltf_series import LtfSeries, concat_rows

BATCH_SIZE = 2048
"""Market-windows computed together: enough for array operations to pay, few enough for the processor's cache."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Candle features of some market-windows: arrays with one element for each."""

    market: Ints
    """Place of the market among all markets."""
    window: Ints
    """Place of the window among all windows."""
    columns: Columns
    """The columns of `Features` that follow from candles, without exchange, symbol and window_end_ms."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some windows of one market."""

    market: int
    windows: Ints
    ltf: LtfRows
    htf: list[HtfRow]
    htf_place: Ints
    """Place of each window's row in `htf`."""


def candle_features_tables(candles: pd.DataFrame, windows: Sequence[Window]) -> dict[str, pd.DataFrame]:
    """Return the candle features of each window, by its key: equal to `candle_features_table` of each.

    `candles` is the candles table. Raises ValueError if it is not sorted.
    """
    markets = market_series(candles)
    batches = list(feature_batches(markets, windows))
    if not batches:
        return {window.key: candle_table({}) for window in windows}
    market, place = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("market", "window"))
    order = np.lexsort((market, place))
    columns: Columns = {
        "exchange": np.array([one.exchange for one in markets], dtype=object)[market[order]],
        "symbol": np.array([one.symbol for one in markets], dtype=object)[market[order]],
        "window_end_ms": np.array([window.end_ms for window in windows])[place[order]],
    }
    for name in CANDLE_DTYPES.keys() - columns.keys():
        columns[name] = np.concatenate([batch.columns[name] for batch in batches])[order]
    table = candle_table(columns)
    bounds = place[order].searchsorted(np.arange(len(windows) + 1)).tolist()
    return {
        window.key: table.iloc[start:stop].reset_index(drop=True)
        for window, start, stop in zip(windows, bounds[:-1], bounds[1:], strict=True)
    }


def feature_batches(markets: Sequence[MarketBars], windows: Sequence[Window]) -> Iterator[Batch]:
    """Yield the candle features of all market-windows with a closed bar, market by market, the oldest window first.

    `windows` are in any order without repetition; `markets` have all their bars.
    """
    end_ms = np.array([window.end_ms for window in windows], dtype=np.int64)
    waiting: list[_Piece] = []
    count = 0
    for number, market in enumerate(markets):
        for piece in _pieces(number, market, end_ms):
            waiting.append(piece)
            count += len(piece.windows)
            if count >= BATCH_SIZE:
                yield _batch(waiting, end_ms)
                waiting, count = [], 0
    if waiting:
        yield _batch(waiting, end_ms)


def _pieces(number: int, market: MarketBars, end_ms: Ints) -> Iterator[_Piece]:
    """Yield the windows of a market that have a closed bar, at most BATCH_SIZE at a time."""
    ltf_stops, htf_stops = closed_bars(market.ltf, LTF, end_ms), closed_bars(market.htf, HTF, end_ms)
    (windows,) = ((ltf_stops > 0) | (htf_stops > 0)).nonzero()
    ltf, htf = LtfSeries(market.ltf), HtfSeries(market.htf)
    for start in range(0, len(windows), BATCH_SIZE):
        some = windows[start : start + BATCH_SIZE]
        distinct, place = np.unique(htf_stops[some], return_inverse=True)
        yield _Piece(number, some, ltf.rows(ltf_stops[some]), htf.rows(distinct), place)


def _batch(pieces: Sequence[_Piece], end_ms: Ints) -> Batch:
    counts = [len(piece.windows) for piece in pieces]
    windows = np.concatenate([piece.windows for piece in pieces])
    firsts = np.cumsum([0, *(len(piece.htf) for piece in pieces)])
    place = np.concatenate([piece.htf_place + first for piece, first in zip(pieces, firsts, strict=False)])
    htf = columns_of([row for piece in pieces for row in piece.htf])
    columns = join_timeframes(
        ltf_columns(concat_rows([piece.ltf for piece in pieces])),
        {name: values[place] for name, values in htf.items()},
        end_ms[windows],
    )
    return Batch(np.repeat([piece.market for piece in pieces], counts), windows, columns)
