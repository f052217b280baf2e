"""A bar store for tests, a model of it as a dictionary, and bars to store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.common.timeframes import STEP_MS
from quant_assets.storage.lake import Lake

EXCHANGE = "BYBIT"
VALUES = ("open", "high", "low", "close", "volume")
DAY_MS = 86_400_000
START_MS = 1_768_780_800_000  # 2026-01-19T00:00Z

#: (symbol, place of the bar behind START_MS, a number from which its values follow)
Row = tuple[str, int, int]
#: (symbol, time_ms) → values
Model = dict[tuple[str, int], tuple[float, ...]]


def store_in(folder: Path) -> BarStore:
    return BarStore(Lake(folder / "lake"), folder / "locks")


def values_of(number: int) -> tuple[float, ...]:
    return (10.0 + number, 12.5 + number, 9.25 + number, 11.1 + number, 100.3 * number)


def table_of(rows: Iterable[Row], timeframe: str = "15m") -> pd.DataFrame:
    """Return rows as the table that a merge takes."""
    step_ms = STEP_MS[timeframe]
    data = [(symbol, START_MS + place * step_ms, *values_of(number)) for symbol, place, number in rows]
    frame = pd.DataFrame(data, columns=["symbol", "time_ms", *VALUES])
    return frame.astype({"symbol": "str", "time_ms": "int64", **dict.fromkeys(VALUES, "float64")})


def model_of(rows: Iterable[Row], timeframe: str = "15m") -> Model:
    step_ms = STEP_MS[timeframe]
    return {(symbol, START_MS + place * step_ms): values_of(number) for symbol, place, number in rows}


def model_of_table(bars: pd.DataFrame) -> Model:
    """Return bars as a model, after checking that they are sorted and none is twice."""
    keys = list(zip(bars["symbol"].astype("str"), bars["time_ms"].tolist(), strict=True))
    assert keys == sorted(set(keys))
    rows = bars[list(VALUES)].to_numpy().tolist()
    return {key: tuple(row) for key, row in zip(keys, rows, strict=True)}


def everything(store: BarStore, timeframe: str = "15m", exchange: str = EXCHANGE) -> Model:
    """Return all stored bars, none of which may be damaged."""
    found = store.read(exchange, timeframe, 0, 2**60)
    assert found.damaged == ()
    return model_of_table(found.bars)


def last_times(model: Mapping[tuple[str, int], object]) -> dict[str, tuple[int, int, int | None, int]]:
    """Return what `BarStore.last_times` must say of a model, as tuples."""
    times: dict[str, list[int]] = {}
    for symbol, time in sorted(model):
        times.setdefault(symbol, []).append(time)
    return {
        symbol: (len(found), found[0], found[-2] if len(found) > 1 else None, found[-1])
        for symbol, found in times.items()
    }


def stored_times(
    store: BarStore, timeframe: str = "15m", exchange: str = EXCHANGE
) -> dict[str, tuple[int, int, int | None, int]]:
    """Return what the store says of its series, as tuples."""
    found = store.last_times(exchange, timeframe).items()
    return {symbol: (one.bars, one.oldest_ms, one.previous_ms, one.newest_ms) for symbol, one in found}
