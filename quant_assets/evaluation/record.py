"""The record of strategies: what their trades were worth."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.evaluation.costs import HOUR_MS, Costs
from quant_assets.evaluation.exits import Outcome
from quant_assets.evaluation.scores import by_quartile, target_share
from quant_assets.evaluation.statistics import clustered_mean, count_days, days_of, is_too_few, rank_correlation

_HOURS: Final = [f"{hour:02d}:00" for hour in range(24)]
#: Outcomes with a result.
ENDED: Final = (Outcome.TARGET.value, Outcome.STOP.value, Outcome.EXPIRED.value)


def counted(trades: pd.DataFrame) -> pd.DataFrame:
    """Return the trades that enter a statistic: mature ones that ended at target, stop or time limit.

    Stops lie nearer than targets, so that losing trades end first: all ended trades would look worse than they are.
    """
    return trades[trades["mature"] & trades["outcome"].isin(ENDED)]


def record(trades: pd.DataFrame, costs: Costs) -> dict[str, Any]:
    """Return the statistics of the trades of one strategy, or of a part of them.

    `trades` has the columns of `follow_setups`, `score`, `rr`, `asset` (the base asset), `chance_r` (mean result of
    random entries) and `later_r` (the result with the entry one bar later). Numbers that cannot be computed are None.
    """
    entered = counted(trades)
    net = entered["net_r"].to_numpy(np.float64)
    days = days_of(entered["entry_ms"].to_numpy(np.int64))
    rank = rank_correlation(entered["score"].to_numpy(np.float64), net, days)
    losses = float(-net[net < 0].sum())
    return {
        **summary(entered),
        "median_r": float(np.median(net)) if len(net) else None,
        "profit_factor": float(net[net > 0].sum()) / losses if losses else None,
        "score_rank_correlation": rank.value,
        "score_rank_interval": rank.interval,
        "quartiles": by_quartile(entered),
        **target_share(entered),
        "outcomes": {outcome.value: int((trades["outcome"] == outcome).sum()) for outcome in Outcome},
        "ambiguous_share": float(entered["ambiguous"].mean()) if len(entered) else None,
        "bars_held_mean": float(entered["bars_held"].mean()) if len(entered) else None,
        "max_drawdown_r": max_drawdown(entered),
        **assumptions(trades, costs),
    }


def summary(entered: pd.DataFrame) -> dict[str, Any]:
    """Return the main statistics of trades that count: their number, share won, mean result, and edge over chance."""
    net = entered["net_r"].to_numpy(np.float64)
    days = days_of(entered["entry_ms"].to_numpy(np.int64))
    day_count = count_days(days)
    mean, won = clustered_mean(net, days), clustered_mean((net > 0).astype(np.float64), days)
    edge = net - entered["chance_r"].to_numpy(np.float64)
    has_chance = ~np.isnan(edge)
    over_chance = clustered_mean(edge[has_chance], days[has_chance])
    assets, names = pd.factorize(entered["asset"])
    return {
        "n": len(entered),
        "days": day_count,
        "asset_days": len(np.unique(days * len(names) + assets)),
        "too_few": is_too_few(len(entered), day_count),
        "win_share": won.value,
        "win_interval": won.interval,
        "mean_r": mean.value,
        "mean_r_interval": mean.interval,
        "edge_r": over_chance.value,
        "edge_r_interval": over_chance.interval,
    }


def assumptions(trades: pd.DataFrame, costs: Costs) -> dict[str, float | None]:
    """Return the mean result under other assumptions: how much it hangs on what the bars do not say."""
    entered = counted(trades)
    lost = trades[trades["mature"] & (trades["outcome"] == Outcome.LOST)]
    reward = (entered["target"] - entered["entry"]).abs() / (entered["entry"] - entered["stop"]).abs()
    at_target = reward - (entered["gross_r"] - entered["net_r"])
    paid = costs.of_a_side * (lost["entry"] + lost["stop"]) / (lost["entry"] - lost["stop"]).abs()
    return {
        "mean_r_ambiguous_at_target": _mean(entered["net_r"].where(~entered["ambiguous"], at_target)),
        "mean_r_lost_at_stop": _mean(pd.concat([entered["net_r"], -1.0 - paid])),
        "mean_r_one_bar_later": _mean(entered["later_r"].dropna()),
    }


def max_drawdown(trades: pd.DataFrame) -> float | None:
    """Return the deepest fall (R, positive) of the net results summed in order of their exits."""
    if trades.empty:
        return None
    curve = np.append(0.0, cumulated(trades)["cumulated_r"].to_numpy(np.float64))
    return float((np.maximum.accumulate(curve) - curve).max())


def cumulated(trades: pd.DataFrame) -> pd.DataFrame:
    """Return the curve of the summed net results: exit_ms, cumulated_r, in order of exits."""
    order = trades.sort_values(["exit_ms", "entry_ms", "exchange", "symbol"], kind="stable")
    return pd.DataFrame({"exit_ms": order["exit_ms"].to_numpy(), "cumulated_r": order["net_r"].cumsum().to_numpy()})


def summaries_by_group(trades: pd.DataFrame) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return by title of a group strategy, name and summary of each part of each strategy's trades.

    The groups are side, exchange, status of open interest, and UTC hour of the entry.
    """
    needed = ["strategy", "side", "exchange", "oi_status", "entry_ms", "asset", "net_r", "chance_r"]
    entered = counted(trades)[needed]
    hour = np.array(_HOURS)[(entered["entry_ms"] // HOUR_MS % 24).to_numpy(np.int64)]
    keys = {"side": "side", "exchange": "exchange", "open interest": "oi_status", "UTC hour of entry": hour}
    return {
        title: [
            (str(strategy), str(name), summary(part))
            for (strategy, name), part in entered.groupby(["strategy", key], observed=True, sort=True)
        ]
        for title, key in keys.items()
    }


def _mean(values: pd.Series[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
