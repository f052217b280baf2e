"""Check the bars of an exchange's answer before they are stored, by the rules of candle files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.candles.bar_cleaning import FIELDS, BarFault, find_faults, invalid_times, sort_by_time
from quant_assets.candles.bar_parsing import MAX_VALUE


class Refusal(StrEnum):
    """Why a fetched bar is not stored."""

    NOT_NUMBERS = "not_numbers"
    """It is not six finite numbers, like the rows of None that an HTML page gives."""
    INVALID_TIME = "invalid_time"
    """Its time is off the grid of the timeframe, or not between 2009 and 2100: perhaps of another unit."""
    FUTURE = "future"
    """It opens after the exchange's time."""
    NOT_CLOSED = "not_closed"
    """It has not closed by the exchange's time. The newest bar of most answers has not."""
    NOT_POSITIVE = "price_not_positive"
    NEGATIVE_VOLUME = "negative_volume"
    CONTRADICTORY = "contradictory"
    """Its high is not the highest, or its low not the lowest of its prices."""
    SUPERSEDED = "superseded"
    """Another bar of the same time follows it."""


#: Refusals that a sound answer has too.
EXPECTED_REFUSALS: Final = frozenset({Refusal.NOT_CLOSED, Refusal.SUPERSEDED})
_REFUSALS: Final = {
    BarFault.NOT_POSITIVE: Refusal.NOT_POSITIVE,
    BarFault.NEGATIVE_VOLUME: Refusal.NEGATIVE_VOLUME,
    BarFault.CONTRADICTORY: Refusal.CONTRADICTORY,
}


@dataclass(frozen=True, slots=True)
class FetchedBars:
    """The bars of an answer that can be stored, sorted by time, each time once.

    Attributes:
        columns: float64 of shape (6, bars), rows as FIELDS; times in epoch ms.
        refused: how many bars were refused for each reason; without reasons that no bar has.
    """

    columns: npt.NDArray[np.float64]
    refused: Mapping[Refusal, int]


def check_fetched_bars(rows: Sequence[Any], step_ms: int, exchange_time_ms: float) -> FetchedBars:
    """Return the valid closed bars among rows of (time in epoch ms, open, high, low, close, volume in base units).

    Rows can be in any order, and can be anything. A bar is closed if it has ended by the exchange's own time.
    """
    columns = _to_columns(rows)
    refused: dict[Refusal, int] = {}

    def refuse(reason: Refusal, is_refused: npt.NDArray[np.bool_]) -> None:
        nonlocal columns
        if is_refused.any():
            refused[reason] = int(is_refused.sum())
            columns = columns[:, ~is_refused]

    too_large = np.any(np.abs(columns[1:]) > MAX_VALUE, axis=0)
    refuse(Refusal.NOT_NUMBERS, ~np.isfinite(columns).all(axis=0) | too_large)
    refuse(Refusal.INVALID_TIME, invalid_times(columns[0], step_ms))
    refuse(Refusal.FUTURE, columns[0] > exchange_time_ms)
    refuse(Refusal.NOT_CLOSED, columns[0] + step_ms > exchange_time_ms)
    faults = find_faults(columns)
    remaining = np.ones(columns.shape[1], np.bool_)
    for fault, found in faults.items():
        if found.any():
            refused[_REFUSALS[fault]] = int(found.sum())
            remaining &= ~found
    columns, superseded = sort_by_time(columns[:, remaining])
    if superseded.any():
        refused[Refusal.SUPERSEDED] = int(superseded.sum())
    return FetchedBars(columns, refused)


def table_of_fetched(fetched: Iterable[tuple[str, FetchedBars]]) -> pd.DataFrame:
    """Return the bars of symbols as a table that `BarStore.merge` takes."""
    found = list(fetched)
    symbols = sorted({symbol for symbol, _ in found})
    place = {symbol: code for code, symbol in enumerate(symbols)}
    counts = [bars.columns.shape[1] for _, bars in found]
    codes = np.repeat(np.array([place[symbol] for symbol, _ in found], np.int32), counts)
    columns = np.concatenate([bars.columns for _, bars in found] or [np.empty((len(FIELDS), 0))], axis=1)
    symbol = pd.Categorical.from_codes(codes, categories=pd.Index(symbols, dtype="str"))
    values = dict(zip(FIELDS[1:], columns[1:], strict=True))
    return pd.DataFrame({"symbol": symbol, "time_ms": columns[0].astype(np.int64), **values})


def _to_columns(rows: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return rows as columns, with NaN in those that are not six numbers."""
    try:
        columns = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        columns = np.empty(0)
    if columns.ndim != 2 or columns.shape[1] != len(FIELDS):
        columns = np.array([_to_numbers(row) for row in rows], np.float64).reshape(-1, len(FIELDS))
    return columns.T


def _to_numbers(row: Any) -> list[float]:
    try:
        numbers = [float(value) for value in row]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    return numbers if len(numbers) == len(FIELDS) else [np.nan] * len(FIELDS)
