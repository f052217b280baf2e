"""A strategy that buys at one hour of the day, and markets in which that hour is worth something, or is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from quant_assets.common.timeframes import STEP_MS
from quant_assets.signals import FeatureColumns, Features, Limits, Strategy, Verdict, Verdicts, valid_setup
from quant_assets.signals.verdict_columns import Refusals, valid_setups

START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
DAY_MS = 86_400_000
NOON_MS = DAY_MS // 2
DAY_BARS = 96


@dataclass(frozen=True)
class Noon(Strategy):
    """LONG in the window that ends at noon; stop and target are at the same distance."""

    name = "Noon"
    key = "noon"
    description = "LONG at noon."
    strategy_type = "test"
    parts = ("all",)
    max_holding_minutes = 720
    limits: ClassVar[Limits] = {"distance_pct": (0.6, 1.6)}
    steps: ClassVar = {"distance_pct": 0.2}

    distance_pct: float = 0.6

    def judge(self, features: Features) -> Verdict:
        price, distance = features.price, self.distance_pct / 100
        if features.window_end_ms % DAY_MS != NOON_MS:
            return Verdict.of("LONG", {"all": 1.0}, "not_noon", None)
        setup = valid_setup("LONG", price, price * (1 - distance), price * (1 + distance))
        return Verdict.of("LONG", {"all": 1.0}, "", setup)

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        price, distance = features["price"], self.distance_pct / 100
        sign = np.ones(len(price))
        refusals = Refusals(len(price))
        refusals.refuse(features["window_end_ms"] % DAY_MS != NOON_MS, "not_noon")
        return refusals.verdicts(
            sign, {"all": sign}, valid_setups(sign, price, price * (1 - distance), price * (1 + distance))
        )


def walking_candles(days: int, edge: float, markets: int = 4, seed: int = 1) -> pd.DataFrame:
    """Return candles of markets whose price walks at random, and rises by `edge` (a share) in four hours from noon on.

    What it rises, it falls in the other hours of the day.
    """
    generator = np.random.default_rng(seed)
    hour = np.arange(days * DAY_BARS) // 4 % 24
    drift = np.where((hour >= 12) & (hour < 16), edge / 16, -edge / 80)
    tables = []
    for number in range(markets):
        moves = drift + generator.normal(0, 0.002, days * DAY_BARS)
        close = 100 * np.exp(np.cumsum(moves))
        opened = np.concatenate(([100.0], close[:-1]))
        spread = 1 + np.abs(generator.normal(0, 0.0005, len(close)))
        bars = {
            "time_ms": START_MS + np.arange(len(close)) * STEP_MS["15m"],
            "open": opened,
            "high": np.maximum(opened, close) * spread,
            "low": np.minimum(opened, close) / spread,
            "close": close,
        }
        for timeframe, count in (("15m", 1), ("4h", 16)):
            table = pd.DataFrame(
                {
                    "time_ms": bars["time_ms"][::count],
                    "open": bars["open"][::count],
                    "high": bars["high"].reshape(-1, count).max(axis=1),
                    "low": bars["low"].reshape(-1, count).min(axis=1),
                    "close": bars["close"][count - 1 :: count],
                    "volume": 1.0,
                }
            )
            tables.append(table.assign(exchange="BINANCE", symbol=f"M{number}USDT", timeframe=timeframe))
    return pd.concat(tables, ignore_index=True)
