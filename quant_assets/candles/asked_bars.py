"""The record of bars that were requested, and the exchange had none, so that no further fetch asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from quant_assets.candles.bar_block import BarBlock
from quant_assets.candles.bar_periods import KEY
from quant_assets.candles.bar_spans import Span, join_spans, subtract
from quant_assets.common.timeframes import STEP_MS
from quant_assets.storage.arrow_tables import ArrowTables
from quant_assets.storage.lake import Lake, LakeError

SCHEMA: Final = pa.schema([("symbol", pa.string()), ("start_ms", pa.int64()), ("end_ms", pa.int64())])


class AskedBars:
    """The bars of an exchange and timeframe that were requested, and the exchange had none. None of them is stored.

    Whoever changes the record or stores bars holds the store's lock.
    """

    def __init__(self, lake: Lake, exchange: str, timeframe: str) -> None:
        self._tables = ArrowTables(lake, [KEY, exchange], SCHEMA)
        self._name = f"{timeframe}-asked"
        self._step_ms = STEP_MS[timeframe]

    def read(self) -> dict[str, list[Span]]:
        """Return symbol → spans, sorted and apart; a damaged record is empty, so that all is asked for once more."""
        try:
            table = self._tables.read(self._name)
        except LakeError:
            return {}
        found: dict[str, list[Span]] = {}
        for row in [] if table is None else table.to_pylist():
            found.setdefault(row["symbol"], []).append(Span(row["start_ms"], row["end_ms"]))
        return found

    def add(self, spans: Mapping[str, Sequence[Span]], stored: BarBlock) -> None:
        """Add spans, without the bars that are stored. `stored` has the bars of these spans. Raises WriteError."""
        before = self.read()
        both = {symbol: [*before.get(symbol, []), *spans.get(symbol, [])] for symbol in before.keys() | spans.keys()}
        self._write(self._without(both, stored))

    def forget(self, bars: BarBlock) -> None:
        """Take bars out of the record, before they are stored. Raises WriteError."""
        before = self.read()
        after = self._without(before, bars)
        if after != before:
            self._write(after)

    def _without(self, spans: Mapping[str, Sequence[Span]], bars: BarBlock) -> dict[str, list[Span]]:
        """Return spans without some bars, sorted, and those that touch as one."""
        found = join_spans(spans)
        for symbol, start, end in bars.spans():
            times = bars.times_ms[start:end]
            left = []
            for span in found.get(symbol, []):
                first, last = np.searchsorted(times, span)
                left += subtract(span, [Span(time, time + self._step_ms) for time in times[first:last].tolist()])
            if symbol in found:
                found[symbol] = left
        return {symbol: left for symbol, left in found.items() if left}

    def _write(self, spans: Mapping[str, Sequence[Span]]) -> None:
        rows = [{"symbol": symbol, **span._asdict()} for symbol in sorted(spans) for span in spans[symbol]]
        self._tables.write(self._name, pa.Table.from_pylist(rows, schema=SCHEMA))
