"""Interest in markets: which have a setup, which are close to one, and their volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.signals.registry import discover_strategies
from quant_assets.signals.run import run_strategy
from quant_assets.signals.strategy import Strategy

#: RSI points from a trendline within which a breakout is likely in the next bars.
MAX_RSI_DISTANCE = 3.0
#: Points that open interest and sentiment can add to a score with neutral derivatives.
MAX_PENDING_POINTS = 15.0


def market_interest(features: pd.DataFrame, strategies: Sequence[Strategy] | None = None) -> pd.DataFrame:
    """Return the interest in each market of a features table: exchange, symbol, setup, focus (bool), volume (float64).

    `setup` is True if any strategy has a setup on the market. `focus` is True if the market has a setup, if its RSI has
    broken a trendline or is within three points of one, or if derivatives could still lift its score to the strategy's
    threshold. `volume` is close × volume of 24 hours, 0 if unknown.
    """
    chosen = discover_strategies().strategies if strategies is None else strategies
    usable = (features["unusable"] == "").to_numpy()
    setup = np.zeros(len(features), dtype=bool)
    near = (features["trigger_side"] != "").to_numpy() | _near_a_trendline(features)
    for strategy in chosen:
        table = run_strategy(strategy, features, on_failure=_ignore_failure)
        setup |= (table["side"] != "").to_numpy()
        threshold = getattr(strategy, "threshold", None)
        if threshold is not None:
            near |= (table["score"] >= threshold - MAX_PENDING_POINTS).to_numpy()
    return pd.DataFrame(
        {
            "exchange": features["exchange"].to_numpy(),
            "symbol": features["symbol"].to_numpy(),
            "setup": setup,
            "focus": setup | (near & usable),
            "volume": features["vol24h"].fillna(0.0).to_numpy(dtype=np.float64),
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
