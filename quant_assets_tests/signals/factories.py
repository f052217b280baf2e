"""Build bars, candles tables and features for tests, and read the real candles if there are any."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from quant_assets.candles import read_candles
from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals import Features
from quant_assets.signals.features.bars import Bars, MarketBars

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
REAL_CANDLES = Path(__file__).parents[3] / "shared" / "market_data" / "candles"
NO_TABLE = pd.DataFrame()


def bars(close: Any, timeframe: str = LTF, *, high: Any = None, low: Any = None, volume: Any = None) -> Bars:
    """Make bars of which the last closes at the end of the last whole `timeframe` in WINDOW."""
    closes = np.asarray(close, dtype=float)
    length_ms = STEP_MS[timeframe]
    last_opening = WINDOW.end_ms // length_ms * length_ms - length_ms
    return Bars(
        time_ms=last_opening - length_ms * np.arange(len(closes) - 1, -1, -1),
        high=closes.copy() if high is None else np.asarray(high, dtype=float),
        low=closes.copy() if low is None else np.asarray(low, dtype=float),
        close=closes,
        volume=np.ones(len(closes)) if volume is None else np.asarray(volume, dtype=float),
    )


def market(ltf: Any, htf: Any) -> MarketBars:
    """Make a market from bars, or from closes alone."""
    ltf = ltf if isinstance(ltf, Bars) else bars(ltf, LTF)
    htf = htf if isinstance(htf, Bars) else bars(htf, HTF)
    return MarketBars("HYPERLIQUID", "BTCUSDT", ltf, htf)


def walk(seed: int, count: int, timeframe: str = LTF, volatility: float = 0.01) -> Bars:
    """Make a random walk with highs and lows around it, the same for the same seed."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, volatility, count)))
    opening = np.concatenate(([100.0], close[:-1]))[:count]
    return bars(
        close,
        timeframe,
        high=np.maximum(opening, close) * (1.0 + random.uniform(0.0, volatility, count)),
        low=np.minimum(opening, close) * (1.0 - random.uniform(0.0, volatility, count)),
        volume=random.uniform(1.0, 100.0, count),
    )


def candles(*markets: MarketBars) -> pd.DataFrame:
    """Put markets into a candles table."""
    parts = []
    for each in markets:
        for timeframe, part in ((LTF, each.ltf), (HTF, each.htf)):
            columns = {"time_ms": part.time_ms, "open": part.close, "high": part.high, "low": part.low}
            table = pd.DataFrame({**columns, "close": part.close, "volume": part.volume})
            table.insert(0, "exchange", each.exchange)
            table.insert(1, "symbol", each.symbol)
            table.insert(2, "timeframe", timeframe)
            parts.append(table)
    table = pd.concat(parts, ignore_index=True)
    for name in ("exchange", "symbol", "timeframe"):
        table[name] = table[name].astype("category")
    return table.sort_values(["exchange", "symbol", "timeframe", "time_ms"], ignore_index=True)


def random_candles(count: int = 12, ltf_bars: int = 400, htf_bars: int = 300) -> pd.DataFrame:
    """Put `count` random markets into a candles table; volatile enough that some break out."""
    return candles(
        *(
            MarketBars("MEXC", f"M{seed:03d}USDT", walk(seed, ltf_bars), walk(1000 + seed, htf_bars, HTF, 0.02))
            for seed in range(count)
        )
    )


@cache
def real_candles() -> pd.DataFrame:
    """Read the real candles, or skip the test if there are none."""
    if not REAL_CANDLES.is_dir():
        pytest.skip(f"no real candles at {REAL_CANDLES}")
    return read_candles(REAL_CANDLES).bars


def features(**known: Any) -> Features:
    """Make features with the values of `known` and the defaults of the rest."""
    named = Features("HYPERLIQUID", "BTCUSDT", "BTC", "BTC/USDT", WINDOW.end_ms, 100.0)
    return named._replace(**known)


def breakout_features(side: str = "LONG", **known: Any) -> Features:
    """Make features of a market at 100 that broke out at 100 two bars ago, with an ATR of 2.

    Both breakout strategies have a setup: LONG has its stop at 95 and its target at 116.18 (Breakout); SHORT mirrored.
    """
    is_long = side == "LONG"
    found: dict[str, Any] = {
        "trigger_side": side,
        "trigger_index": 297,
        "trigger_time_ms": WINDOW.end_ms - 13 * 3_600_000,
        "trigger_strength": 5.0,
        "trigger_start_index": 250,
        "trigger_start_rsi": 70.0 if is_long else 30.0,
        "trigger_start_ms": 0,
        "trigger_end_index": 270,
        "trigger_end_rsi": 60.0 if is_long else 40.0,
        "trigger_end_ms": 1,
        "trigger_slope": -0.5 if is_long else 0.5,
        "trigger_intercept": 195.0 if is_long else -95.0,
        "trigger_touches": 2,
        "trigger_at_last_bar": 45.5 if is_long else 54.5,
        "trigger_close": 100.0,
        "trigger_atr": 2.0,
        "trigger_start_close": 110.0 if is_long else 90.0,
        "trigger_end_close": 99.0,
        "trigger_before_high": 103.0,
        "trigger_before_low": 97.0,
        "trigger_line_high": 105.0,
        "trigger_line_low": 95.0,
        "trigger_leg_high": 107.0,
        "trigger_leg_low": 93.0,
        "trigger_after_high": 101.0,
        "trigger_after_low": 99.0,
        "htf_atr": 2.0,
        "htf_rsi": 60.0 if is_long else 40.0,
        "obv_slope": 1.0 if is_long else -1.0,
        "htf_bars": 300,
    }
    return features(**(found | known))


def as_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as an Arrow stream, to compare tables bit by bit."""
    sink = io.BytesIO()
    written = pa.Table.from_pandas(table, preserve_index=False)
    with pa.ipc.new_stream(sink, written.schema) as stream:
        stream.write_table(written)
    return sink.getvalue()
