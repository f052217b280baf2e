"""The values of a strategy's own indicators on many markets at a window's end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.signals.own.indicator import OWN_PREFIX
from quant_assets.signals.own.market_candles import MarketCandles
from quant_assets.signals.own.series import own_series, values_at
from quant_assets.signals.strategy import Strategy

Market = tuple[str, str]
"""Exchange and symbol."""
MarketWindow = tuple[str, str, int]
"""Exchange, symbol, and the window's end in epoch ms."""


@dataclass(frozen=True)
class OwnValues:
    """The values of a strategy's own indicators on markets at the ends of windows.

    `values` has those whose indicators were computed, `errors` why others could not be. `skipped` are those that were
    left when the time limit had passed, and `seconds` is the time that was taken.
    """

    names: tuple[str, ...]
    values: Mapping[MarketWindow, Mapping[str, float | None]]
    errors: Mapping[MarketWindow, str] = field(default_factory=dict)
    skipped: frozenset[MarketWindow] = frozenset()
    seconds: float = 0.0

    def of(self, market: MarketWindow) -> dict[str, float | None]:
        """Return the value of each indicator of the strategy on a market, None if it is unknown."""
        known = self.values.get(market, {})
        return {name: known.get(name) for name in self.names}

    def columns(self, markets: Iterable[MarketWindow]) -> dict[str, Any]:
        """Return the columns of the signal table that hold the values; NaN is unknown."""
        rows = [self.values.get(market, {}) for market in markets]
        return {
            f"{OWN_PREFIX}{name}": np.array([row.get(name) for row in rows], dtype=np.float64) for name in self.names
        }


def own_values(strategy: Strategy, candles: MarketCandles, markets: Iterable[Market], window: Window) -> OwnValues:
    """Return the values of a strategy's indicators on some markets at a window's end.

    Each call of the strategy gets the newest `look_back` bars that had closed by then. An error on one market affects
    no other. Once `max_indicator_seconds` have passed, the remaining markets are skipped.
    """
    started = time.monotonic()
    values: dict[MarketWindow, dict[str, float | None]] = {}
    errors: dict[MarketWindow, str] = {}
    skipped: set[MarketWindow] = set()
    names = dict.fromkeys(strategy.own_indicators)
    for market in markets:
        key = (*market, window.end_ms)
        if time.monotonic() - started > strategy.max_indicator_seconds:
            skipped.add(key)
            continue
        bars = candles.closed_bars(market, window.end_ms, strategy.look_back)
        try:
            values[key] = values_at(own_series(strategy, bars), bars, window.end_ms)
        except Exception as error:  # noqa: BLE001 - a strategy may raise anything, and must not affect other markets
            errors[key] = f"{type(error).__name__}: {error}"
        else:
            names |= dict.fromkeys(values[key])
    return OwnValues(tuple(names), values, errors, frozenset(skipped), time.monotonic() - started)


def usable_markets(features: pd.DataFrame) -> list[Market]:
    """Return the markets of a features table that strategies judge: those with enough fresh bars."""
    usable = features[features["unusable"] == ""]
    return list(zip(usable["exchange"].tolist(), usable["symbol"].tolist(), strict=True))
