"""Which markets are worth the next calls: those in a setup, or close to one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.strategy import Strategy, run_strategy

#: RSI points from a trendline within which a breakout may come in the next bars.
WITHIN_REACH = 3.0
#: Points that open interest and sentiment can still add to a score that is neutral so far.
POINTS_TO_COME = 15.0


def market_interest(features: pd.DataFrame, strategies: Sequence[Strategy] | None = None) -> pd.DataFrame:
    """Return the interest in each market of a features table: exchange, symbol, setup, focus (bool), volume (float64).

    `setup` is True where a strategy has a setup on the market. In `focus` is a market with a setup, one whose RSI has
    broken a trendline or stands within three points of one, and one whose score lacks no more of its strategy's
    threshold than its derivatives could still give. `volume` is close × volume of 24 hours, 0 where unknown.
    """
    chosen = discover_strategies().strategies if strategies is None else strategies
    usable = (features["unusable"] == "").to_numpy()
    setup = np.zeros(len(features), dtype=bool)
    near = (features["trigger_side"] != "").to_numpy() | _near_a_line(features)
    for strategy in chosen:
        table = run_strategy(strategy, features, on_failure=_unheard)
        setup |= (table["side"] != "").to_numpy()
        threshold = getattr(strategy, "threshold", None)
        if threshold is not None:
            near |= (table["score"] >= threshold - POINTS_TO_COME).to_numpy()
    return pd.DataFrame(
        {
            "exchange": features["exchange"].to_numpy(),
            "symbol": features["symbol"].to_numpy(),
            "setup": setup,
            "focus": setup | (near & usable),
            "volume": features["vol24h"].fillna(0.0).to_numpy(dtype=np.float64),
        }
    )


def _near_a_line(features: pd.DataFrame) -> npt.NDArray[np.bool_]:
    rsi = features["htf_rsi"].to_numpy(dtype=np.float64)
    near = np.zeros(len(rsi), dtype=bool)
    for line in ("resistance_at_last_bar", "support_at_last_bar"):
        near |= np.abs(rsi - features[line].to_numpy(dtype=np.float64)) <= WITHIN_REACH
    return near


def _unheard(failure: str) -> None:
    """A strategy that fails has no say in what is worth asking for; its own table tells of the failure."""
