"""The files that `quant-assets strategy new` writes: a strategy with an indicator of its own, and its test."""

from __future__ import annotations

from typing import Final

STRATEGY: Final = '''"""CLASS: follows the 4h close to the side of its average."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pandas as pd
import talib

from quant_assets.signals import Features, Gate, Indicator, Limits, Reads, Refusal, Strategy, Verdict, valid_setup


@dataclass(frozen=True)
class CLASS(Strategy):
    """LONG above the 4h EMA(20), SHORT below it."""

    name = "CLASS"
    key = "KEY"
    description = "LONG if the 4h close is far enough above its EMA(20), SHORT if below."
    strategy_type = "momentum"
    parts = ("distance",)
    max_points: ClassVar = {"distance": 100.0}
    limits: ClassVar[Limits] = {"min_distance_pct": (0.0, 20.0)}
    steps: ClassVar = {"min_distance_pct": 0.5}
    max_holding_minutes = 2_880
    look_back = 500
    own_indicators: ClassVar = {
        "ema20": Indicator("EMA(20) of 4h closes, price.", chart="price"),
        "distance_pct": Indicator("Distance of the 4h close from it, percent.", chart="Distance from EMA 20, %"),
    }
    reads: ClassVar[Reads] = {
        "bias": ("own_distance_pct", "htf_atr"),
        "distance": ("own_distance_pct",),
        "setup": ("own_distance_pct", "htf_atr", "price"),
    }

    min_distance_pct: Annotated[float, "Minimum distance of the 4h close from its EMA(20), percent."] = 1.0

    def indicators(self, bars: Mapping[str, pd.DataFrame]) -> Mapping[str, Mapping[str, pd.Series]]:
        """Return the average, and the distance of the close from it."""
        close = bars["4h"]["close"]
        average = talib.EMA(close, 20)
        return {"4h": {"ema20": average, "distance_pct": (close / average - 1) * 100}}

    def judge(self, features: Features) -> Verdict:
        """Score by the distance."""
        distance, atr, price = features.own["distance_pct"], features.htf_atr, features.price
        if distance is None or atr is None:
            return Verdict.of("NONE", {"distance": 0.0}, "unknown_average", None)
        points = min(abs(distance) * 10, 100.0)
        if abs(distance) < self.min_distance_pct:
            refusal = Refusal("too_close", abs(distance), self.min_distance_pct)
            return Verdict.of("NONE", {"distance": points}, refusal, None)
        side, sign = ("LONG", 1) if distance > 0 else ("SHORT", -1)
        setup = valid_setup(side, price, price - sign * 2 * atr, price + sign * 4 * atr)
        return Verdict.of(side, {"distance": points}, "" if setup else "no_valid_setup", setup)

    def explanations(self) -> Mapping[str, str]:
        """Return how the score and the setup are computed."""
        return {
            "bias": "LONG above the EMA(20) of 4h closes, SHORT below it.",
            "distance": "10 for each percent between the 4h close and its EMA(20).",
            "setup": "The stop is 2 ATR(14) of the last 4h bar from the price, the target 4 ATR.",
        }

    def gates(self) -> Mapping[str, Gate]:
        """Return the conditions of a setup."""
        return {
            "unknown_average": Gate("There must be 20 bars of 4h."),
            "too_close": Gate("The 4h close must be at least {limit} from its EMA(20).", self.min_distance_pct, " %"),
        }


strategy = CLASS()
'''

TEST: Final = '''"""CLASS does not look ahead, and its indicators settle."""

from pathlib import Path

import numpy as np
import pandas as pd

from quant_assets.signals import check_strategy, discover_strategies

FOUND = discover_strategies(Path(__file__).parent)
(STRATEGY,) = [found for found in FOUND.strategies if found.key == "KEY"]


def random_bars(timeframe: str, minutes: int, volatility: float) -> pd.DataFrame:
    """Return 1,500 bars of a random walk that end on 2026-01-19 at 16:00 UTC."""
    random = np.random.default_rng(minutes)
    close = 100 * np.exp(np.cumsum(random.normal(0, volatility, 1_500)))
    opening = np.concatenate(([100.0], close[:-1]))
    end_ms = 1_768_838_400_000
    return pd.DataFrame(
        {
            "exchange": "TEST",
            "symbol": "BTCUSDT",
            "timeframe": timeframe,
            "time_ms": end_ms - minutes * 60_000 * np.arange(1_500, 0, -1),
            "open": opening,
            "high": np.maximum(opening, close) * 1.002,
            "low": np.minimum(opening, close) * 0.998,
            "close": close,
            "volume": random.uniform(1, 100, 1_500),
        }
    )


def test_KEY_does_not_look_ahead_and_settles() -> None:
    candles = pd.concat([random_bars("15m", 15, 0.005), random_bars("4h", 240, 0.02)], ignore_index=True)
    report = check_strategy(STRATEGY, candles, max_setups=5)
    assert [finding.text for finding in report.findings] == []
    assert report.setups > 0
'''


def strategy_files(class_name: str, key: str) -> dict[str, str]:
    """Return the names and contents of the files of a new strategy."""
    files = {f"{key}.py": STRATEGY, f"test_{key}.py": TEST}
    return {name: text.replace("CLASS", class_name).replace("KEY", key) for name, text in files.items()}
