"""The stored objects of an exchange and timeframe: one for each day (15m) or month (4h)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from quant_assets.candles.bar_block import SCHEMA, BarBlock, empty_block, join_blocks
from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.storage.arrow_tables import ArrowTables
from quant_assets.storage.lake import DamagedTable, Lake, LakeError

KEY: Final = "exchange_bars"
TIMES: Final = ("symbol", "time_ms")
#: numpy's unit of the period that one object holds: about 100 to 200 bars of each symbol.
_UNITS: Final[Mapping[str, Literal["D", "M"]]] = {LTF: "D", HTF: "M"}


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A day or month in UTC, `[start_ms, end_ms)` in epoch ms; `name` is that of its object."""

    start_ms: int
    end_ms: int
    name: str

    @classmethod
    def starting(cls, start: np.datetime64) -> Period:
        """Return the day or month that starts then; the unit says which."""
        ends = [int(moment.astype("datetime64[ms]").astype(np.int64)) for moment in (start, start + 1)]
        return cls(ends[0], ends[1], str(start))


class BarPeriods:
    """The bars of an exchange and timeframe in a lake."""

    def __init__(self, lake: Lake, exchange: str, timeframe: str) -> None:
        self.step_ms = STEP_MS[timeframe]
        self._unit = _UNITS[timeframe]
        self._tables = ArrowTables(lake, [KEY, exchange, timeframe], SCHEMA, TIMES)

    def stored(self) -> list[Period]:
        """Return the periods that have an object, in the order of time; what is named otherwise is ignored."""
        found = (self._named(name) for name in self._tables.names())
        return sorted(period for period in found if period is not None)

    def of(self, block: BarBlock) -> list[Period]:
        """Return the periods in which a block has bars, in the order of time."""
        starts = np.unique(block.times_ms.view("datetime64[ms]").astype(f"datetime64[{self._unit}]"))
        return [Period.starting(start) for start in starts]

    def describe(self, period: Period) -> str:
        """Return where the object of a period is, for messages."""
        return self._tables.describe(period.name)

    def read_one(self, period: Period, columns: Sequence[str] | None = None) -> BarBlock:
        """Read the bars of a period. Raises DamagedTable, and LakeError if the object cannot be read at all."""
        table = self._tables.read(period.name, columns)
        if table is None:
            return empty_block(columns)
        try:
            return BarBlock.of_table(table, period.start_ms, period.end_ms, self.step_ms)
        except ValueError as error:
            raise DamagedTable(f"{self.describe(period)} is damaged ({error})") from error

    def read(
        self,
        periods: Sequence[Period],
        columns: Sequence[str] | None = None,
        symbols: Collection[str] | None = None,
    ) -> tuple[BarBlock, tuple[str, ...]]:
        """Read the bars of periods in the order of time; also return which objects could not be read."""
        blocks, damaged = [empty_block(columns)], []
        for period in periods:
            try:
                block = self.read_one(period, columns)
            except LakeError as error:
                logging.getLogger(__name__).warning("%s; its bars are left out until they are fetched again", error)
                damaged.append(self.describe(period))
                continue
            blocks.append(block if symbols is None else block.of_symbols(symbols).without_unused_symbols())
        return join_blocks(blocks), tuple(damaged)

    def write(self, period: Period, block: BarBlock) -> None:
        """Write the bars of a period as a whole. Raises WriteError."""
        self._tables.write(period.name, block.table())

    def delete(self, period: Period) -> int:
        """Delete the object of a period; return its size in bytes."""
        size = self._tables.size_of(period.name)
        self._tables.delete(period.name)
        return size

    def _named(self, name: str) -> Period | None:
        try:
            start = np.datetime64(name, self._unit)
        except ValueError:
            return None
        return Period.starting(start) if str(start) == name and not np.isnat(start) else None
