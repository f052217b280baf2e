"""Bars that are missing in the bar store, and which of them were requested, and the exchange had none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.bar_series import SeriesTimes
from quant_assets.candles.bar_spans import Span, inside, subtract
from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import STEP_MS

GAP_DTYPES: Final = {
    **dict.fromkeys(("exchange", "symbol", "timeframe"), "str"),
    **dict.fromkeys(("start_ms", "end_ms", "bars"), "int64"),
    "asked": "bool",
}


class BarGaps:
    """The bars that are missing in a store. Nothing is ever filled.

    Tables of gaps have a row for each stretch of missing bars: exchange, symbol, timeframe: str; start_ms: the open of
    the first missing bar; end_ms: where the last one ends; bars: how many are missing; asked: whether all of them are
    recorded as requested, and the exchange had none.
    """

    def __init__(self, store: BarStore) -> None:
        self._store = store

    def between_bars(self, exchange: str, timeframe: str) -> pd.DataFrame:
        """Return the gaps between the first and the last stored bar of each series.

        The bars of a series are looked at only if their number says that there is a gap that was not asked for.
        """
        series, asked = self._store.last_times(exchange, timeframe), self._store.asked(exchange, timeframe)
        missing = {
            symbol: inside(asked.get(symbol, []), Span(times.oldest_ms, times.newest_ms))
            for symbol, times in series.items()
        }
        unclear = [symbol for symbol, times in series.items() if _lacks_others(times, missing[symbol], timeframe)]
        missing.update(self._gaps_of(exchange, timeframe, unclear, series))
        rows = [(symbol, span) for symbol in sorted(missing) for span in missing[symbol]]
        return _gap_table(exchange, timeframe, rows, asked)

    def to_fetch(
        self, exchange: str, timeframe: str, symbols: Iterable[str], start_ms: int, end_ms: int
    ) -> pd.DataFrame:
        """Return what to ask for so that the bars that open in `[start_ms, end_ms)` are stored.

        That is what is stored of no symbol yet, what comes before and behind its bars, and its gaps, without the bars
        that were requested, and the exchange had none.
        """
        series, asked = self._store.last_times(exchange, timeframe), self._store.asked(exchange, timeframe)
        known = {symbol: series[symbol] for symbol in symbols if symbol in series}
        unclear = [
            symbol
            for symbol, times in known.items()
            if _lacks_others(times, inside(asked.get(symbol, []), Span(times.oldest_ms, times.newest_ms)), timeframe)
        ]
        gaps, whole, rows = self._gaps_of(exchange, timeframe, unclear, series), Span(start_ms, end_ms), []
        for symbol in sorted(set(symbols)):
            missing = [whole]
            if symbol in known:
                times = known[symbol]
                before = Span(start_ms, min(times.oldest_ms, end_ms))
                behind = Span(max(times.newest_ms + STEP_MS[timeframe], start_ms), end_ms)
                missing = [before, *inside(gaps.get(symbol, []), whole), behind]
            rows += [(symbol, left) for span in missing for left in subtract(span, asked.get(symbol, []))]
        return _gap_table(exchange, timeframe, rows, {})

    def record_asked(self, gaps: pd.DataFrame) -> None:
        """Record that gaps were asked for and the exchange has no such bars, so that they are not asked for again.

        Gaps are rows of a table that this class returned. Raises WriteError.
        """
        for (exchange, timeframe), rows in gaps.groupby(["exchange", "timeframe"], sort=True):
            spans: dict[str, list[Span]] = {}
            for symbol, start_ms, end_ms in zip(rows["symbol"], rows["start_ms"], rows["end_ms"], strict=True):
                spans.setdefault(symbol, []).append(Span(int(start_ms), int(end_ms)))
            self._store.record_asked(str(exchange), str(timeframe), spans)

    def _gaps_of(
        self, exchange: str, timeframe: str, symbols: Sequence[str], series: Mapping[str, SeriesTimes]
    ) -> dict[str, list[Span]]:
        """Read the times of some series, and return their gaps."""
        if not symbols:
            return {}
        oldest_ms = min(series[symbol].oldest_ms for symbol in symbols)
        newest_ms = max(series[symbol].newest_ms for symbol in symbols)
        times = self._store.times(exchange, timeframe, oldest_ms, newest_ms + 1, frozenset(symbols))
        found: dict[str, list[Span]] = {symbol: [] for symbol in symbols}
        for symbol, span in find_gaps(times["symbol"], times["time_ms"].to_numpy(), STEP_MS[timeframe]):
            found[symbol].append(span)
        return found


def find_gaps(symbols: pd.Series[str], times_ms: npt.NDArray[np.int64], step_ms: int) -> list[tuple[str, Span]]:
    """Return the gaps between bars of a symbol; the bars, given by a categorical and times, are sorted by both."""
    is_same = np.diff(symbols.cat.codes.to_numpy()) == 0
    places = np.flatnonzero(is_same & (np.diff(times_ms) > step_ms))
    names, starts, ends = symbols.iloc[places], times_ms[places] + step_ms, times_ms[places + 1]
    return [(name, Span(*span)) for name, *span in zip(names, starts.tolist(), ends.tolist(), strict=True)]


def _gap_table(
    exchange: str, timeframe: str, rows: Sequence[tuple[str, Span]], asked: Mapping[str, Sequence[Span]]
) -> pd.DataFrame:
    data = [
        (
            *(exchange, symbol, timeframe, *span, (span.end_ms - span.start_ms) // STEP_MS[timeframe]),
            not subtract(span, asked.get(symbol, [])),
        )
        for symbol, span in rows
    ]
    return pd.DataFrame(data, columns=list(GAP_DTYPES)).astype(GAP_DTYPES)


def _lacks_others(times: SeriesTimes, missing: Iterable[Span], timeframe: str) -> bool:
    """Return whether a series has another number of bars than it would have with nothing else missing."""
    step_ms = STEP_MS[timeframe]
    length_ms = times.newest_ms + step_ms - times.oldest_ms - sum(span.end_ms - span.start_ms for span in missing)
    return times.bars != length_ms // step_ms
