"""A table of trades of published signals for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quant_assets.evaluation.trade_table import COLUMNS

DAY = 86_400_000
HOUR = 3_600_000
#: 2026-03-31T00:00Z.
END = 1_774_915_200_000


def random_trades(count: int, seed: int = 1, end_ms: int = END) -> pd.DataFrame:
    """Return mature trades of the hundred days before a moment, of two strategies and both sides."""
    random = np.random.default_rng(seed)
    entry_ms = end_ms - random.integers(0, 100 * 96, count) * (DAY // 96)
    table = pd.DataFrame(
        {
            "strategy": random.choice(["Legacy", "Breakout"], count),
            "exchange": "HYPERLIQUID",
            "symbol": random.choice(["BTC", "ETH", "SOL"], count),
            "side": random.choice(["LONG", "SHORT"], count),
            "source": "published",
            "window": "",
            "published_at_ms": entry_ms + 20_000,
            "score": random.choice([50.0, 60.0, 65.0, 70.0, 80.0], count),
            "rr": 2.0,
            "oi_status": "resolved",
            "hindsight": False,
            "entry_ms": entry_ms,
            "entry": 100.0,
            "stop": 99.0,
            "target": 102.0,
            "deadline_ms": entry_ms + 48 * HOUR,
            "exit_ms": entry_ms + random.integers(1, 48, count) * HOUR,
            "exit": 101.0,
            "outcome": random.choice(["target", "stop", "expired", "lost"], count),
            "reason": "",
            "ambiguous": False,
            "mature": True,
            "final": True,
            "bars_held": 4,
            "gross_r": 1.0,
            "net_r": random.normal(size=count),
            "funding_known": 1.0,
            "mfe_r": 1.0,
            "mae_r": -0.5,
            "chance_r": random.normal(scale=0.3, size=count),
            "later_r": 0.5,
            "replay": "",
            "replay_r": np.nan,
        }
    ).assign(asset=lambda table: table["symbol"])
    return table[list(COLUMNS)]
