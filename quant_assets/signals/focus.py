"""Which markets are worth the next calls: those in a setup, or close to one.

Here: the interest in each market, from its candles alone. Not here: what the calls are spent on
(quant_assets.derivatives), and the signals themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from quant_assets.signals.features import Features
from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.strategy import Strategy, judge
from quant_assets.signals.table import features_of

#: RSI points from a trendline within which a breakout may come in the next bars.
WITHIN_REACH = 3.0
#: Points that open interest and sentiment can still add to a score that is neutral so far.
POINTS_TO_COME = 15.0


def market_interest(features: pd.DataFrame, strategies: Sequence[Strategy] | None = None) -> pd.DataFrame:
    """Return the interest in each market of a features table: exchange, symbol, focus (bool), volume (float64).

    In focus is a market for which a strategy has a setup, whose RSI has broken a trendline or stands within three
    points of one, or whose score lacks no more of its strategy's threshold than its derivatives could still give.
    `volume` is close × volume of 24 hours, 0 where unknown.
    """
    chosen = discover_strategies().strategies if strategies is None else strategies
    markets = list(features_of(features))
    return pd.DataFrame(
        {
            "exchange": features["exchange"].to_numpy(),
            "symbol": features["symbol"].to_numpy(),
            "focus": np.fromiter((_in_focus(market, chosen) for market in markets), dtype=bool, count=len(markets)),
            "volume": np.fromiter((market.vol24h or 0.0 for market in markets), dtype=np.float64, count=len(markets)),
        }
    )


def _in_focus(market: Features, strategies: Sequence[Strategy]) -> bool:
    if market.unusable:
        return False
    if market.trigger_side or _is_near_a_line(market):
        return True
    for strategy in strategies:
        verdict = judge(strategy, market)
        threshold = getattr(strategy, "threshold", None)
        if verdict.setup is not None:
            return True
        if threshold is not None and verdict.score >= threshold - POINTS_TO_COME:
            return True
    return False


def _is_near_a_line(market: Features) -> bool:
    if market.htf_rsi is None:
        return False
    lines = (market.resistance_at_last_bar, market.support_at_last_bar)
    return any(line is not None and abs(market.htf_rsi - line) <= WITHIN_REACH for line in lines)
