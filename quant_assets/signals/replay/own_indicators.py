"""Values of a strategy's own indicators in many windows, from one call of the strategy for each market."""

from __future__ import annotations

import numpy as np

from quant_assets.signals.features.bars import Columns, Ints
from quant_assets.signals.own.market_candles import Frames, MarketCandles
from quant_assets.signals.own.series import Series, own_series, values_at, values_at_each
from quant_assets.signals.own.values import Market, MarketWindow, OwnValues
from quant_assets.signals.strategy import Strategy


class ReplayedIndicators:
    """The own indicators of one strategy in a replay.

    The series are computed on all bars of a market, not on `look_back` of them, so that recursive indicators differ
    from those of single windows by what `strategy check` measures. If the strategy raises on all bars, its indicators
    are computed window by window.
    """

    def __init__(self, strategy: Strategy, candles: MarketCandles) -> None:
        self._strategy = strategy
        self._candles = candles
        #: The market of the last call and its series; markets come one after another.
        self._last: tuple[Market, tuple[Frames, Series] | None] | None = None

    def of(self, features: Columns) -> OwnValues:
        """Return the values for the usable rows of some columns of features."""
        (rows,) = (features["unusable"] == "").nonzero()
        names = dict.fromkeys(self._strategy.own_indicators)
        values: dict[MarketWindow, dict[str, float | None]] = {}
        errors: dict[MarketWindow, str] = {}
        by_market: dict[Market, list[int]] = {}
        keys = zip(features["exchange"][rows], features["symbol"][rows], strict=True)
        for row, (exchange, symbol) in zip(rows.tolist(), keys, strict=True):
            by_market.setdefault((str(exchange), str(symbol)), []).append(row)
        for market, of_market in by_market.items():
            ends_ms = np.asarray(features["window_end_ms"][of_market], dtype=np.int64)
            series = self._series(market)
            if series is None:
                self._one_by_one(market, ends_ms, values, errors)
                continue
            known = values_at_each(series[1], series[0], ends_ms)
            names |= dict.fromkeys(name for by_name in series[1].values() for name in by_name)
            values |= {(*market, end_ms): found for end_ms, found in zip(ends_ms.tolist(), known, strict=True)}
        return OwnValues(tuple(names), values, errors)

    def _series(self, market: Market) -> tuple[Frames, Series] | None:
        """Return all bars of a market and the series on them, None if the strategy raises."""
        if self._last is None or self._last[0] != market:
            bars = self._candles.all_bars(market)
            try:
                self._last = market, (bars, own_series(self._strategy, bars))
            except Exception:  # noqa: BLE001 - a strategy may raise anything; single windows tell where
                self._last = market, None
        return self._last[1]

    def _one_by_one(
        self,
        market: Market,
        ends_ms: Ints,
        values: dict[MarketWindow, dict[str, float | None]],
        errors: dict[MarketWindow, str],
    ) -> None:
        for end_ms in ends_ms.tolist():
            bars = self._candles.closed_bars(market, end_ms, self._strategy.look_back)
            try:
                values[*market, end_ms] = values_at(own_series(self._strategy, bars), bars, end_ms)
            except Exception as error:  # noqa: BLE001 - a strategy may raise anything
                errors[*market, end_ms] = f"{type(error).__name__}: {error}"
