"""The watchlist of a window: its markets in the order in which their derivatives are worth fetching."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.signals.features.table import FeaturesCache, join_features
from quant_assets.signals.own.market_candles import MarketCandles
from quant_assets.signals.own.series import has_indicators
from quant_assets.signals.own.values import own_values, usable_markets
from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.run import run_strategy
from quant_assets.signals.strategy import Strategy

#: RSI points from a trendline within which a breakout is likely in the next bars.
MAX_RSI_DISTANCE = 3.0
#: Points that open interest and sentiment can add to a score with neutral derivatives.
MAX_PENDING_POINTS = 15.0


def build_watchlist(
    candle_features: pd.DataFrame,
    window: Window,
    strategies: Sequence[Strategy] | None = None,
    candles: MarketCandles | None = None,
    run: Callable[..., pd.DataFrame] = run_strategy,
) -> pd.DataFrame:
    """Return the watchlist of a table of candle features, one row for each row of it, in its order.

    `candles` is for strategies with indicators of their own; without it they are left out.
    Columns: exchange, symbol, setup, near (bool), volume (float64), rank (int64, 0 is first). `setup` is True if any
    strategy has a setup on the market, judged with neutral derivatives. `near` is True if the market has a setup, if
    its RSI has broken a trendline or is within three points of one, or if derivatives could still lift its score to the
    strategy's threshold. `volume` is close × volume of 24 hours, 0 if unknown. `rank` orders by setup, near and volume.
    `run` runs a strategy: `run_strategy` or `run_strategy_by_columns`.
    """
    chosen = discover_strategies().strategies if strategies is None else strategies
    features = join_features(candle_features, pd.DataFrame(), {}, window)
    usable = (features["unusable"] == "").to_numpy()
    setup = np.zeros(len(features), dtype=bool)
    near = (features["trigger_side"] != "").to_numpy() | _near_a_trendline(features)
    cache = FeaturesCache()
    for strategy in chosen:
        if not has_indicators(strategy):
            table = run(strategy, features, on_failure=_ignore_failure, cache=cache)
        elif candles is not None:
            own = own_values(strategy, candles, usable_markets(features), window)
            table = run_strategy(strategy, features, on_failure=_ignore_failure, cache=cache, own=own)
        else:
            continue
        setup |= (table["side"] != "").to_numpy()
        threshold = getattr(strategy, "threshold", None)
        if threshold is not None:
            near |= (table["score"] >= threshold - MAX_PENDING_POINTS).to_numpy()
    near = setup | (near & usable)
    volume = features["vol24h"].fillna(0.0).to_numpy(dtype=np.float64)
    rank = np.empty(len(features), dtype=np.int64)
    rank[np.lexsort((-volume, ~near, ~setup))] = np.arange(len(features))
    return pd.DataFrame(
        {
            "exchange": features["exchange"].array,
            "symbol": features["symbol"].array,
            "setup": setup,
            "near": near,
            "volume": volume,
            "rank": rank,
        }
    )


def _near_a_trendline(features: pd.DataFrame) -> npt.NDArray[np.bool_]:
    rsi = features["htf_rsi"].to_numpy(dtype=np.float64)
    near = np.zeros(len(rsi), dtype=bool)
    for line in ("resistance_at_last_bar", "support_at_last_bar"):
        near |= np.abs(rsi - features[line].to_numpy(dtype=np.float64)) <= MAX_RSI_DISTANCE
    return near


def _ignore_failure(failure: str) -> None:
    """Ignore a strategy's failure: it is reported with its signal table."""
