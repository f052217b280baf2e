"""The series of a strategy's own indicators on the bars of one market: computed, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.signals.own.indicator import INDICATOR_NAME
from quant_assets.signals.own.market_candles import Frames, closing_ms
from quant_assets.signals.strategy import Strategy

Series = dict[str, dict[str, npt.NDArray[np.float64]]]
"""Timeframe → name → a value for each bar; NaN is unknown."""


class IndicatorsError(ValueError):
    """What `Strategy.indicators` returned is not valid; the message names the strategy, the indicator and the fault."""


def has_indicators(strategy: Strategy) -> bool:
    """Return whether a strategy has indicators of its own."""
    return type(strategy).indicators is not Strategy.indicators


def own_series(strategy: Strategy, bars: Frames) -> Series:
    """Return the series of a strategy's indicators on the bars of one market.

    The strategy gets copies of the bars. None in place of a series is unknown at every bar, and an infinite value is
    unknown. Raises IndicatorsError for anything else than series on exactly the index of their timeframe, and whatever
    the strategy raises.
    """
    copies = {timeframe: frame.copy(deep=True) for timeframe, frame in bars.items()}
    returned = strategy.indicators(copies)
    if not isinstance(returned, Mapping):
        raise _error(strategy, f"indicators returned {type(returned).__name__}, not series by timeframe and name")
    found: Series = {}
    names: set[str] = set()
    for timeframe, by_name in returned.items():
        if timeframe not in bars:
            raise _error(strategy, f"indicators of {timeframe!r}: expected the timeframes {', '.join(bars)}")
        if not isinstance(by_name, Mapping):
            raise _error(strategy, f"indicators of {timeframe} are {type(by_name).__name__}, not series by name")
        for name, series in by_name.items():
            if not isinstance(name, str) or not INDICATOR_NAME.fullmatch(name):
                raise _error(strategy, f"invalid name {name!r} of an indicator: expected a name like macd_line")
            if name in names:
                raise _error(strategy, f"the indicator {name} has two timeframes; give each its own name")
            names.add(name)
            found.setdefault(timeframe, {})[name] = _values(strategy, f"{name} ({timeframe})", series, bars[timeframe])
    return found


def values_at(series: Series, bars: Frames, end_ms: int) -> dict[str, float | None]:
    """Return the value of the last bar of each indicator's timeframe that had closed by `end_ms`; None is unknown."""
    (known,) = values_at_each(series, bars, np.array([end_ms]))
    return known


def values_at_each(series: Series, bars: Frames, ends_ms: npt.NDArray[np.int64]) -> list[dict[str, float | None]]:
    """Return what `values_at` returns for each of several moments, epoch ms."""
    known: list[dict[str, float | None]] = [{} for _ in ends_ms]
    for timeframe, by_name in series.items():
        last = closing_ms(bars[timeframe], timeframe).searchsorted(ends_ms, side="right") - 1
        for name, values in by_name.items():
            found = np.where(last >= 0, values[last], np.nan) if len(values) else np.full(len(ends_ms), np.nan)
            for place, value in zip(known, found.tolist(), strict=True):
                place[name] = value if math.isfinite(value) else None
    return known


def _values(strategy: Strategy, name: str, series: Any, bars: pd.DataFrame) -> npt.NDArray[np.float64]:
    if series is None:  # what pandas-ta-classic returns for too short a history
        return np.full(len(bars), np.nan)
    if not isinstance(series, pd.Series):
        raise _error(strategy, f"{name} is {type(series).__name__}, not a series")
    if len(series) != len(bars):
        raise _error(strategy, f"{name} has {len(series)} values for {len(bars)} bars: return a value for each bar")
    if not series.index.equals(bars.index):
        raise _error(strategy, f"{name} has another index than its bars: return it on exactly that index")
    try:
        values = np.array(series.astype(np.float64), dtype=np.float64)
    except (TypeError, ValueError):
        raise _error(strategy, f"{name} has values of the type {series.dtype}, not numbers") from None
    values[np.isinf(values)] = np.nan
    return values


def _error(strategy: Strategy, problem: str) -> IndicatorsError:
    return IndicatorsError(f"{strategy.name}: {problem}")
