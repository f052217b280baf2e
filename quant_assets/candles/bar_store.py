"""Closed bars of exchanges, kept by exchange, timeframe, and day (15m) or month (4h)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from quant_assets.candles import bar_series
from quant_assets.candles.asked_bars import AskedBars
from quant_assets.candles.bar_block import BarBlock, empty_block, join_blocks, merge_blocks
from quant_assets.candles.bar_periods import KEY, TIMES, BarPeriods, Period
from quant_assets.candles.bar_series import SeriesTimes, add_times, series_of_table, series_table
from quant_assets.candles.bar_spans import Span
from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.files import WriteError
from quant_assets.common.timeframes import STEP_MS
from quant_assets.storage.arrow_tables import ArrowTables, keys_below
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.lake import DamagedTable, Lake, LakeError
from quant_assets.storage.locks import exclusive
from quant_assets.storage.retention import Removed

NEWEST_BARS: Final = 1_500
#: Threads that read at once; Parquet is decoded outside Python's lock.
READERS: Final = 4
_LONG_AGO: Final = -(2**62)


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a merge did: bars that were new, revised, unchanged, or superseded by a later one of the same merge.

    `damaged` names the objects that were damaged and have been replaced; their other bars are lost.
    """

    new: int = 0
    revised: int = 0
    unchanged: int = 0
    superseded: int = 0
    damaged: tuple[str, ...] = ()

    def __add__(self, other: MergeCounts) -> MergeCounts:
        """Return the sum of both."""
        return MergeCounts(
            self.new + other.new,
            self.revised + other.revised,
            self.unchanged + other.unchanged,
            self.superseded + other.superseded,
            self.damaged + other.damaged,
        )


@dataclass(frozen=True, slots=True)
class StoredBars:
    """Bars with the columns and order of CandleTables.bars, and the objects that could not be read."""

    bars: pd.DataFrame
    damaged: tuple[str, ...] = ()


class BarStore:
    """Closed bars of exchanges in a lake, by exchange, timeframe, and day or month.

    Bars are those that `check_fetched_bars` lets pass: closed, on the grid, with volume in base units. Writers of an
    exchange and timeframe wait for each other at a lock, in a file of the folder `locks` or in a database, which all
    processes must share; a lock in a file ends with its process. Readers wait for nobody. A damaged object costs its
    own bars: reads name it and go on, and the merge of a bar into it replaces it. Times are epoch ms, and a bar's time
    is its open.
    """

    def __init__(self, lake: Lake, locks: Path | DatabaseServer) -> None:
        self.lake = lake
        self._locks = locks

    def exchanges(self) -> list[str]:
        """Return the exchanges that have bars, sorted."""
        return keys_below(self.lake, KEY)

    def merge(self, exchange: str, timeframe: str, bars: pd.DataFrame) -> MergeCounts:
        """Store bars with the columns symbol, time_ms, open, high, low, close, volume, in any order.

        A bar replaces the stored one of its symbol and time, and a later row an earlier one. Objects are written in
        the order of time, each as a whole, so a merge that is killed or fails has stored some of its days. Merge many
        bars at once: each object that they touch is written again. Raises ValueError for an invalid bar, WriteError,
        and LakeError if an object cannot be read for another reason than damage.
        """
        periods = BarPeriods(self.lake, exchange, timeframe)
        block = BarBlock.of_frame(bars, periods.step_ms)
        counts = MergeCounts(superseded=len(bars) - len(block))
        with self.lock(exchange, timeframe):
            AskedBars(self.lake, exchange, timeframe).forget(block)
            series = self._stored_series(exchange, timeframe)
            for period in periods.of(block):
                fetched = block.between(period.start_ms, period.end_ms)
                done, added = self._merge_period(exchange, timeframe, periods, period, fetched)
                counts += done
                if series is not None:
                    series = None if done.damaged else add_times(series, added)
            if series is None:
                self._count_again(exchange, timeframe, TIMES)
            elif counts.new:
                self._series_tables(exchange).write(timeframe, series_table(series))
        return counts

    def read(
        self, exchange: str, timeframe: str, start_ms: int, end_ms: int, symbols: Collection[str] | None = None
    ) -> StoredBars:
        """Read the bars that open in `[start_ms, end_ms)`, of all symbols or of some."""
        block, damaged = self._read_between(exchange, timeframe, start_ms, end_ms, symbols)
        return StoredBars(block.frame(exchange, timeframe), damaged)

    def newest(
        self, exchange: str, timeframe: str, count: int = NEWEST_BARS, closed_by_ms: int | None = None
    ) -> StoredBars:
        """Read the newest `count` bars of each series that has a bar in the last `count` steps.

        The last step is that of the newest bar of the exchange and timeframe. A series with missing bars gets older
        ones in their place, from up to `count` steps more. With `closed_by_ms`, later bars count as not stored.
        """
        periods = BarPeriods(self.lake, exchange, timeframe)
        end_ms = 2**62 if closed_by_ms is None else closed_by_ms - periods.step_ms + 1
        left = [period for period in periods.stored() if period.start_ms < end_ms]
        blocks, first_ms = [empty_block()], _LONG_AGO
        damaged: tuple[str, ...] = ()
        while left and left[-1].end_ms > first_ms:
            block, unreadable = periods.read([left.pop()])
            blocks, damaged = [block.between(_LONG_AGO, end_ms), *blocks], unreadable + damaged
            if first_ms == _LONG_AGO and len(blocks[0]):
                first_ms = int(blocks[0].times_ms.max()) - (count - 1) * periods.step_ms
        block, oldest_ms = join_blocks(blocks), first_ms - count * periods.step_ms
        if short := self._with_older_bars(exchange, timeframe, block, count, first_ms):
            older, unreadable = periods.read([period for period in left if period.end_ms > oldest_ms], symbols=short)
            block, damaged = join_blocks([older, block]), unreadable + damaged
        block = block.between(oldest_ms, end_ms)
        live = {symbol for symbol, _, end in block.spans() if block.times_ms[end - 1] >= first_ms}
        return StoredBars(block.of_symbols(live).newest(count).frame(exchange, timeframe), damaged)

    def newest_of_all(self, count: int = NEWEST_BARS, closed_by_ms: int | None = None) -> list[StoredBars]:
        """Read the newest bars of all exchanges and timeframes, as `newest` does for each."""
        found = [(exchange, timeframe) for exchange in self.exchanges() for timeframe in STEP_MS]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(lambda names: self.newest(names[0], names[1], count, closed_by_ms), found))

    def for_windows(self, first_end_ms: int, last_end_ms: int, count: int = NEWEST_BARS) -> list[StoredBars]:
        """Read the bars of all exchanges and timeframes that windows need, from the first window's end to the last's.

        These are the bars that close by the last window's end, and not more than `count` steps before the first's.
        """
        return [
            self.read(exchange, timeframe, first_end_ms - count * step_ms, last_end_ms - step_ms + 1)
            for exchange in self.exchanges()
            for timeframe, step_ms in STEP_MS.items()
        ]

    def times(
        self, exchange: str, timeframe: str, start_ms: int, end_ms: int, symbols: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Read only exchange, symbol, timeframe and time_ms of the bars that open in `[start_ms, end_ms)`."""
        block, _ = self._read_between(exchange, timeframe, start_ms, end_ms, symbols, TIMES)
        return block.frame(exchange, timeframe)

    def last_times(self, exchange: str, timeframe: str) -> dict[str, SeriesTimes]:
        """Return what is stored of each symbol, from one small object.

        It is counted from the bars again after a merge that was killed or failed.
        """
        series = self._stored_series(exchange, timeframe)
        if series is None and BarPeriods(self.lake, exchange, timeframe).stored():
            with self.lock(exchange, timeframe):
                series = self._stored_series(exchange, timeframe)
                if series is None:
                    series, _ = self._count_again(exchange, timeframe, TIMES)
        return series or {}

    def asked(self, exchange: str, timeframe: str) -> dict[str, list[Span]]:
        """Return the bars that were requested, and the exchange had none, symbol → spans. None of them is stored."""
        return AskedBars(self.lake, exchange, timeframe).read()

    def record_asked(self, exchange: str, timeframe: str, spans: Mapping[str, Sequence[Span]]) -> None:
        """Record that the exchange was asked for the bars of these spans; those that are stored are left out.

        Raises WriteError.
        """
        with self.lock(exchange, timeframe):
            start_ms = min(span.start_ms for each in spans.values() for span in each)
            end_ms = max(span.end_ms for each in spans.values() for span in each)
            stored, _ = self._read_between(exchange, timeframe, start_ms, end_ms, spans.keys(), TIMES)
            AskedBars(self.lake, exchange, timeframe).add(spans, stored)

    def recount(self, exchange: str, timeframe: str) -> tuple[str, ...]:
        """Count the stored bars again, after a read found damage; return the objects that cannot be read.

        Their bars then count as missing, in `last_times` and as gaps, so that they are fetched and merged again.
        """
        with self.lock(exchange, timeframe):
            return self._count_again(exchange, timeframe, None)[1]

    def recount_all(self) -> None:
        """Count the stored bars of all exchanges and timeframes again, as `recount` does for one."""
        for exchange in self.exchanges():
            for timeframe in STEP_MS:
                self.recount(exchange, timeframe)

    def remove_before(self, time_ms: int) -> Removed:
        """Remove the objects all of whose bars open before a time."""
        removed = Removed()
        for exchange in self.exchanges():
            for timeframe in STEP_MS:
                periods = BarPeriods(self.lake, exchange, timeframe)
                with self.lock(exchange, timeframe):
                    old = [period for period in periods.stored() if period.end_ms <= time_ms]
                    if old:
                        self._series_tables(exchange).delete(timeframe)
                        removed += Removed(len(old), sum(map(periods.delete, old)))
                        self._count_again(exchange, timeframe, TIMES)
        return removed

    def size(self) -> int:
        """Return the size in bytes of everything stored."""
        return sum(self._series_tables(exchange).size() for exchange in self.exchanges())

    @contextmanager
    def lock(self, exchange: str, timeframe: str) -> Iterator[None]:
        """Exclude other writers of an exchange and timeframe. After LostLock the work must be repeated."""
        BarPeriods(self.lake, exchange, timeframe)  # refuses a name that would lead out of the folder
        with exclusive(self._locks, f"{KEY}-{exchange}-{timeframe}") as lock:
            yield
            try:
                lock.require()
            except LostLock:
                # Another writer may have written the same objects, so what is stored has to be counted again.
                self._series_tables(exchange).delete(timeframe)
                raise

    def _merge_period(
        self, exchange: str, timeframe: str, periods: BarPeriods, period: Period, fetched: BarBlock
    ) -> tuple[MergeCounts, BarBlock]:
        """Merge the bars of one period; return what was done, and the bars that were new."""
        damaged: tuple[str, ...] = ()
        try:
            stored = periods.read_one(period)
        except DamagedTable as error:
            logging.getLogger(__name__).warning("%s; it is replaced", error)
            stored, damaged = empty_block(), (periods.describe(period),)
        merged, is_new, differs = merge_blocks(stored, fetched, period.start_ms, period.end_ms, periods.step_ms)
        new, revised = int(is_new.sum()), int(differs.sum())
        if new:
            # A merge that is killed now leaves no counts, so that they are made again from the bars.
            self._series_tables(exchange).delete(timeframe)
        if new or revised:
            periods.write(period, merged)
        return MergeCounts(new, revised, len(fetched) - new - revised, 0, damaged), fetched.where(is_new)

    def _read_between(
        self,
        exchange: str,
        timeframe: str,
        start_ms: int,
        end_ms: int,
        symbols: Collection[str] | None,
        columns: Sequence[str] | None = None,
    ) -> tuple[BarBlock, tuple[str, ...]]:
        periods = BarPeriods(self.lake, exchange, timeframe)
        chosen = [period for period in periods.stored() if period.start_ms < end_ms and period.end_ms > start_ms]
        block, damaged = periods.read(chosen, columns, symbols)
        return block.between(start_ms, end_ms), damaged

    def _with_older_bars(self, exchange: str, timeframe: str, block: BarBlock, count: int, first_ms: int) -> set[str]:
        """Return the symbols with a bar since a time that have less than `count` in a block, but older ones stored."""
        series = self._stored_series(exchange, timeframe)
        return {
            symbol
            for symbol, start, end in block.spans()
            if end - start < count
            and block.times_ms[end - 1] >= first_ms
            and (series is None or symbol not in series or series[symbol].oldest_ms < block.times_ms[start])
        }

    def _series_tables(self, exchange: str) -> ArrowTables:
        return ArrowTables(self.lake, [KEY, exchange], bar_series.SCHEMA)

    def _stored_series(self, exchange: str, timeframe: str) -> dict[str, SeriesTimes] | None:
        """Return the counts of series; None if they must be made again."""
        try:
            table = self._series_tables(exchange).read(timeframe)
        except LakeError:
            return None
        return None if table is None else series_of_table(table)

    def _count_again(
        self, exchange: str, timeframe: str, columns: Sequence[str] | None
    ) -> tuple[dict[str, SeriesTimes], tuple[str, ...]]:
        """Count the bars of each series, and write the counts if the disk has room for them."""
        periods = BarPeriods(self.lake, exchange, timeframe)
        block, damaged = periods.read(periods.stored(), columns)
        series = add_times({}, block)
        try:
            self._series_tables(exchange).write(timeframe, series_table(series))
        except WriteError as error:
            logging.getLogger(__name__).warning("%s; bars are counted again each time", error)
        return series, damaged
