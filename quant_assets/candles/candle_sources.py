"""Join the candles of files and of exchanges in one table, each market once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.bar_store import NEWEST_BARS
from quant_assets.candles.candle_tables import NUMBERS, repeat_values
from quant_assets.markets import MarketKey, ResolutionRules, market_key

SERIES_DTYPES: Final = {
    **dict.fromkeys(("exchange", "symbol", "timeframe", "source", "stored_exchange", "stored_symbol"), "str"),
    **dict.fromkeys(("bars", "file_bars", "first_ms", "last_ms"), "int64"),
}
_DEFAULT_RULES: Final = ResolutionRules()


class CandleSource(StrEnum):
    """Where the bars of a series come from."""

    FILE = "file"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class JoinedCandles:
    """The candles of both sources, each market once.

    bars: as CandleTables.bars.
    series, one row for each series of bars, in the same order: exchange, symbol, timeframe; source: a value of
        CandleSource; stored_exchange, stored_symbol: the names in the bar store, "" for a file; bars: their number;
        file_bars: how many bars the file has, up to the limit, 0 without a file; first_ms, last_ms.
    """

    bars: pd.DataFrame
    series: pd.DataFrame

    @property
    def longer_files(self) -> pd.DataFrame:
        """The series that the exchange serves with less bars than the file of the same market has, of those in use."""
        file_bars = self.series["file_bars"].clip(upper=NEWEST_BARS)
        is_longer = (self.series["source"] == CandleSource.EXCHANGE) & (file_bars > self.series["bars"])
        return self.series[is_longer].reset_index(drop=True)


@dataclass(frozen=True, slots=True)
class _Series:
    """A series: its names, the columns of NUMBERS of its table, and its rows there."""

    exchange: str
    symbol: str
    timeframe: str
    columns: Mapping[str, npt.NDArray[Any]]
    rows: slice

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def market(self) -> tuple[str, str]:
        return self.exchange, self.symbol

    @property
    def key(self) -> tuple[str, str, str]:
        return self.exchange, self.symbol, self.timeframe

    @property
    def ends_ms(self) -> tuple[int, int]:
        """The opens of the first and the last bar."""
        times = self.columns["time_ms"]
        return int(times[self.rows.start]), int(times[self.rows.stop - 1])


def join_sources(
    files: pd.DataFrame | None,
    stored: Sequence[pd.DataFrame],
    rules: ResolutionRules = _DEFAULT_RULES,
    max_bars: int = NEWEST_BARS,
) -> JoinedCandles:
    """Join the bars of candle files with those of the bar store; keep the newest `max_bars` of each series.

    All tables have the columns and the order of CandleTables.bars; those of `stored` share no series. A series comes
    from one source as a whole. Where the names of a file and of the exchange have the same market key, the exchange's
    series serves the market under the name of the file. Of several names of one source with the same key, only one
    that both sources write alike is joined, since otherwise nothing says which of them is meant.
    """
    of_files = [] if files is None else list(_series_of(files, max_bars))
    of_store = [series for table in stored for series in _series_of(table, max_bars)]
    names = _names_of_files(of_files, of_store, rules)
    file_bars = {series.key: len(series) for series in of_files}
    chosen = {series.key: (series, CandleSource.FILE) for series in of_files}
    for series in of_store:
        exchange, symbol = names.get(series.market, series.market)
        chosen[exchange, symbol, series.timeframe] = (series, CandleSource.EXCHANGE)
    rows, parts = [], []
    for key, (series, source) in sorted(chosen.items()):
        stored_names = series.market if source is CandleSource.EXCHANGE else ("", "")
        rows.append((*key, source, *stored_names, len(series), file_bars.get(key, 0), *series.ends_ms))
        parts.append((key, series))
    return JoinedCandles(_bars_of(parts), pd.DataFrame(rows, columns=list(SERIES_DTYPES)).astype(SERIES_DTYPES))


def _series_of(table: pd.DataFrame, max_bars: int) -> Iterable[_Series]:
    """Yield the series of a sorted table of bars, cut to their newest bars."""
    names = [table[name] for name in ("exchange", "symbol", "timeframe")]
    is_first = np.ones(len(table), np.bool_)
    is_first[1:] = np.any([np.diff(column.cat.codes.to_numpy()) != 0 for column in names], axis=0)
    columns = {name: table[name].to_numpy() for name in NUMBERS}
    starts = np.flatnonzero(is_first)
    ends = np.append(starts, len(table))[1:].tolist()
    texts = [column.iloc[starts].tolist() for column in names]
    for exchange, symbol, timeframe, start, end in zip(*texts, starts.tolist(), ends, strict=True):
        yield _Series(exchange, symbol, timeframe, columns, slice(max(start, end - max_bars), end))


def _names_of_files(
    of_files: Iterable[_Series], of_store: Iterable[_Series], rules: ResolutionRules
) -> Mapping[tuple[str, str], tuple[str, str]]:
    """Return (exchange, symbol) in the store → that of the file of the same market, if there is one."""
    files, stored = _by_key(of_files, rules), _by_key(of_store, rules)
    names = {}
    for key in files.keys() & stored.keys():
        alike = {symbol: (exchange, symbol) for exchange, symbol in files[key]}
        if len(files[key]) == len(stored[key]) == 1:
            names[stored[key][0]] = files[key][0]
        else:
            names.update({market: alike[market[1]] for market in stored[key] if market[1] in alike})
    return names


def _by_key(found: Iterable[_Series], rules: ResolutionRules) -> dict[MarketKey, list[tuple[str, str]]]:
    by_key: dict[MarketKey, list[tuple[str, str]]] = defaultdict(list)
    for market in sorted({series.market for series in found}):
        by_key[market_key(*market, rules)].append(market)
    return by_key


def _bars_of(chosen: Sequence[tuple[tuple[str, str, str], _Series]]) -> pd.DataFrame:
    """Return the bars of the chosen series in this order, under the names of their keys."""
    counts = [len(series) for _, series in chosen]
    data: dict[str, Any] = {
        name: repeat_values([key[place] for key, _ in chosen], counts)
        for place, name in enumerate(("exchange", "symbol", "timeframe"))
    }
    for name, dtype in NUMBERS.items():
        parts = [series.columns[name][series.rows] for _, series in chosen]
        data[name] = np.concatenate(parts or [np.empty(0, dtype)])
    return pd.DataFrame(data, copy=False)
