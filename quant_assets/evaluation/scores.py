"""Whether a strategy's score says anything about the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from quant_assets.evaluation.exits import Outcome
from quant_assets.evaluation.price_bars import Floats, Ints
from quant_assets.evaluation.statistics import clustered_mean, days_of, is_too_few


def quartile_bounds(scores: Floats) -> Floats:
    """Return the three quartiles of scores, by linear interpolation."""
    return np.quantile(scores, [0.25, 0.5, 0.75])


def quartiles_of(scores: Floats, bounds: Floats) -> Ints:
    """Return the quartile (1 to 4) of each score: 1 + the number of bounds below it. Equal scores stay together."""
    return 1 + bounds.searchsorted(scores)


def by_quartile(trades: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry for each score quartile of trades that count: n, scores, mean net result and interval."""
    if trades.empty:
        return []
    scores = trades["score"].to_numpy(np.float64)
    bounds = quartile_bounds(scores)
    quartile = quartiles_of(scores, bounds)
    found = []
    for number in range(1, 5):
        part = trades[quartile == number]
        days = days_of(part["entry_ms"].to_numpy(np.int64))
        mean = clustered_mean(part["net_r"].to_numpy(np.float64), days)
        found.append(
            {
                "quartile": number,
                "n": len(part),
                "days": len(np.unique(days)),
                "too_few": is_too_few(len(part), len(np.unique(days))),
                "min_score": float(part["score"].min()) if len(part) else None,
                "max_score": float(part["score"].max()) if len(part) else None,
                "mean_r": mean.value,
                "mean_r_interval": mean.interval,
            }
        )
    return found


def target_share(trades: pd.DataFrame) -> dict[str, float | None]:
    """Return how many of the trades that ended at target or stop reached the target, and how many would break even.

    A trade breaks even if the target is reached with the probability (1 + costs in R) / (1 + rr).
    """
    ended = trades[trades["outcome"].isin([Outcome.TARGET, Outcome.STOP])]
    if ended.empty:
        return {"target_share": None, "break_even_share": None}
    cost_r = ended["gross_r"] - ended["net_r"]
    return {
        "target_share": float((ended["outcome"] == Outcome.TARGET).mean()),
        "break_even_share": float(((1 + cost_r) / (1 + ended["rr"])).mean()),
    }
