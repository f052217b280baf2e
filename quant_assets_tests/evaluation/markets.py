"""Bars and setups of small markets for the tests of trades."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from quant_assets.evaluation import PriceBars, price_bars

START = 1_767_225_600_000  # 2026-01-01T00:00Z
STEP = 15 * 60_000
MARKET = ("HYPERLIQUID", "BTC")


class Bar(NamedTuple):
    time: int
    open: float
    high: float
    low: float
    close: float


def candles(bars: Sequence[Bar], exchange: str = MARKET[0], symbol: str = MARKET[1]) -> pd.DataFrame:
    table = pd.DataFrame(bars, columns=["time_ms", "open", "high", "low", "close"])
    return table.assign(exchange=exchange, symbol=symbol, timeframe="15m", volume=1.0)


def bars_of(bars: Sequence[Bar]) -> PriceBars:
    return price_bars(candles(bars))[MARKET]


def flat(count: int, price: float = 100.0) -> list[Bar]:
    return [Bar(START + number * STEP, price, price, price, price) for number in range(count)]


def random_bars(count: int, seed: int) -> list[Bar]:
    """Bars with jumps between close and open, equal prices, missing bars, and now and then a gap of many hours."""
    chance = random.Random(seed)
    found, time, price = [], START, 100.0
    for _ in range(count):
        opened = price + chance.choice([0.0, 0.0, 0.0, chance.uniform(-2, 2)])
        closed = round(opened + chance.uniform(-1, 1), 2)
        high = max(opened, closed) + chance.choice([0.0, chance.uniform(0, 1)])
        low = min(opened, closed) - chance.choice([0.0, chance.uniform(0, 1)])
        found.append(Bar(time, opened, high, low, closed))
        time += STEP * chance.choice([1] * 60 + [2, 3, 32, 33, 34, 50])
        price = min(max(closed, 60.0), 140.0)
    return found


def setup(end_ms: int, side: str, stop: float, target: float, **more: object) -> dict[str, object]:
    return {
        "strategy": "Legacy",
        "exchange": MARKET[0],
        "symbol": MARKET[1],
        "end_ms": end_ms,
        "side": side,
        "stop": stop,
        "target": target,
        **more,
    }
