"""A table of live trades with random results, of any size."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.evaluation.trade_table import COLUMNS

STEP_MS = 15 * 60_000
STRATEGIES = ("Breakout", "BreakoutV2", "Legacy")
EXCHANGES = ("BINANCE", "BYBIT", "HYPERLIQUID", "OKX")


def made_trades(count: int, end: Window, *, days: int = 80, markets: int = 200, seed: int = 1) -> pd.DataFrame:
    """Return so many trades of the days before the end of a window, sorted as in the lake; all of them are mature."""
    chance = np.random.default_rng(seed)
    limit_ms = 48 * 3_600_000
    last = (end.end_ms - limit_ms) // STEP_MS
    entry_ms = np.sort(chance.integers(last - days * 96, last, count)) * STEP_MS
    number = chance.integers(0, markets, count)
    side = chance.choice(["LONG", "SHORT"], count)
    sign = np.where(side == "LONG", 1.0, -1.0)
    entry = chance.uniform(1, 100, count)
    outcome = chance.choice(["target", "stop", "expired"], count, p=[0.3, 0.6, 0.1])
    gross = np.select([outcome == "target", outcome == "stop"], [2.0, -1.0], chance.uniform(-1, 2, count))
    held = chance.integers(1, 190, count)
    values = {
        "strategy": chance.choice(STRATEGIES, count, p=[0.2, 0.1, 0.7]),
        "exchange": np.array(EXCHANGES)[number % len(EXCHANGES)],
        "symbol": [f"M{one:03d}USDT" for one in number],
        "asset": [f"M{one // len(EXCHANGES):03d}" for one in number],
        "side": side,
        "source": "published",
        "window": pd.to_datetime(entry_ms - STEP_MS, unit="ms").strftime("%Y-%m-%d-%H:%M"),
        "published_at_ms": entry_ms + 20_000,
        "score": chance.uniform(50, 100, count).round(1),
        "rr": 2.0,
        "oi_status": chance.choice(["resolved", "aggregated", "neutral"], count),
        "hindsight": False,
        "entry_ms": entry_ms,
        "entry": entry,
        "stop": entry * (1 - sign * 0.02),
        "target": entry * (1 + sign * 0.04),
        "deadline_ms": entry_ms + limit_ms,
        "exit_ms": entry_ms + held * STEP_MS,
        "exit": entry * (1 + sign * 0.02 * gross),
        "outcome": outcome,
        "reason": "",
        "ambiguous": chance.random(count) < 0.02,
        "mature": True,
        "final": True,
        "bars_held": held,
        "gross_r": gross,
        "net_r": gross - 0.07,
        "funding_known": 1.0,
        "mfe_r": np.maximum(gross, 0) + 0.2,
        "mae_r": np.minimum(gross, 0) - 0.1,
        "chance_r": chance.normal(-0.05, 0.1, count),
        "later_r": gross - 0.1,
        "replay": "",
        "replay_r": np.nan,
    }
    table = pd.DataFrame(values, columns=list(COLUMNS)).astype({name: dtype for name, (dtype, _) in COLUMNS.items()})
    return table.sort_values(["entry_ms", "strategy", "exchange", "symbol"], kind="stable", ignore_index=True)
