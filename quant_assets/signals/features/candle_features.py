"""Features from candles, as columns for many markets at once.

TA-Lib runs series by series; everything else runs on arrays with one element per market. NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant_assets.common.timeframes import HTF, LTF, STEP_MS
from quant_assets.common.windows import Window
from quant_assets.signals.features import indicators
from quant_assets.signals.features.bars import Bars, Bools, Columns, Floats, Ints, MarketBars
from quant_assets.signals.features.indicators import highest, last, lowest, position_in_range, tails
from quant_assets.signals.features.pivots import pivot_highs
from quant_assets.signals.features.tolerance import above, below
from quant_assets.signals.features.trendline_features import trendline_features
from quant_assets.signals.reasons import INSUFFICIENT_HISTORY, STALE_CANDLES
from quant_assets.signals.sides import LONG, NONE, SHORT

MIN_BARS = 50
"""Minimum number of closed bars on each timeframe; a market with fewer is unusable."""
MAX_AGE_MS = {LTF: 30 * 60 * 1000, HTF: 8 * 60 * 60 * 1000}
"""Maximum time from the close of the last bar to the window's end."""
MIN_TREND_BARS = 200
"""Minimum number of HTF bars for the HTF trend; with fewer, the LTF trend is used."""
DAY_BARS = 96
DAY_MS = 24 * 60 * 60 * 1000
VOLUME_BARS = 20
EXTREME_BARS = 100
PULLBACK_BARS = 60
PULLBACK = (0.3, 0.8)
OBV_RANGE_BARS = 30
OBV_SLOPE_BARS = 14
OBV_LEAD = 0.25
DIVERGENCE_BARS = 60
DIVERGENCE_ORDER = 2
MIN_BAND_WIDTH = 1e-9
"""Minimum width of the Bollinger bands, as a share of the price."""


@dataclass(frozen=True, slots=True)
class LastValues:
    """The last bar of one timeframe and the indicators there: arrays with one element per market."""

    bars: Ints
    """Bars used."""
    time_ms: Floats
    close: Floats
    rsi: Floats
    atr: Floats
    adx: Floats
    ema50: Floats
    ema200: Floats


@dataclass(frozen=True, slots=True)
class LtfRows:
    """What the LTF columns are computed from: arrays with one row per market, the newest value last, NaN in front."""

    last: LastValues
    turnover: Floats
    """Sum of close × volume over the last DAY_BARS; one element per market."""
    time_ms: Floats
    """The last DAY_BARS + 1."""
    close: Floats
    """The last DAY_BARS + 1."""
    high: Floats
    """The last EXTREME_BARS."""
    low: Floats
    """The last EXTREME_BARS."""
    volume: Floats
    """The last VOLUME_BARS."""
    obv: Floats
    """The last OBV_RANGE_BARS, up to a constant per row."""
    rsi: Floats
    """The last DIVERGENCE_BARS."""


def candle_features(markets: Sequence[MarketBars], window: Window) -> Columns:
    """Return the columns of `Features` that follow from candles, one element per market.

    Each market has at least one bar, and all its bars are closed by the window's end.
    """
    htf = [market.htf for market in markets]
    rsi, atr = rsi_and_atr(htf)
    return join_timeframes(
        ltf_columns(ltf_rows([market.ltf for market in markets])),
        htf_columns(htf, last_values(htf, rsi, atr), rsi, atr),
        window.end_ms,
    )


def join_timeframes(ltf_columns: Columns, htf_columns: Columns, end_ms: int | Ints) -> Columns:
    """Return the columns of both timeframes with those that need both; `end_ms` is the end of the window or of each."""
    has_ltf: Bools = ltf_columns["ltf_bars"] > 0
    ltf_close: Floats = ltf_columns["ltf_close"]
    price = np.where(has_ltf, ltf_close, htf_columns["htf_close"])
    bias = np.where(htf_columns["htf_bars"] >= MIN_TREND_BARS, htf_columns["htf_bias"], ltf_columns["ltf_bias"])
    return {
        "price": price,
        "unusable": _unusable_reasons(htf_columns | ltf_columns, end_ms),
        "trend_bias": bias,
        **htf_columns,
        **ltf_columns,
        **_pullback_columns(price, bias, ltf_columns),
    }


def rsi_and_atr(histories: Sequence[Bars]) -> tuple[list[Floats], list[Floats]]:
    """Return RSI and ATR at each bar of each history."""
    rsi = [indicators.rsi(bars.close) for bars in histories]
    return rsi, [indicators.atr(bars.high, bars.low, bars.close) for bars in histories]


def last_values(histories: Sequence[Bars], rsi: Sequence[Floats], atr: Sequence[Floats]) -> LastValues:
    """Return the last bars and the indicators there; `rsi` and `atr` are those of the histories."""
    return LastValues(
        bars=np.array([len(bars) for bars in histories]),
        time_ms=last([bars.time_ms for bars in histories]),
        close=last([bars.close for bars in histories]),
        rsi=last(rsi),
        atr=last(atr),
        adx=last([indicators.adx(bars.high, bars.low, bars.close) for bars in histories]),
        ema50=last([indicators.ema(bars.close, 50) for bars in histories]),
        ema200=last([indicators.ema(bars.close, 200) for bars in histories]),
    )


def htf_columns(histories: Sequence[Bars], now: LastValues, rsi: Sequence[Floats], atr: Sequence[Floats]) -> Columns:
    """Return the columns of HTF; `now`, `rsi` and `atr` are those of the histories."""
    four_before = np.array([bars.close[-5:][0] if len(bars) else np.nan for bars in histories])
    return {
        **_shared_columns("htf", HTF, now),
        "htf_trend": np.where(np.isnan(now.close), "", np.where(now.close > four_before, "UP", "DOWN")),
        "htf_close": now.close,
        **trendline_features(histories, rsi, atr),
    }


def ltf_rows(histories: Sequence[Bars]) -> LtfRows:
    """Return what the LTF columns of some markets are computed from."""
    rsi, atr = rsi_and_atr(histories)
    day = [(bars.close[-DAY_BARS:], bars.volume[-DAY_BARS:]) for bars in histories]
    return LtfRows(
        last=last_values(histories, rsi, atr),
        turnover=np.array([prices @ volumes if len(prices) else np.nan for prices, volumes in day]),
        time_ms=tails([bars.time_ms for bars in histories], DAY_BARS + 1),
        close=tails([bars.close for bars in histories], DAY_BARS + 1),
        high=tails([bars.high for bars in histories], EXTREME_BARS),
        low=tails([bars.low for bars in histories], EXTREME_BARS),
        volume=tails([bars.volume for bars in histories], VOLUME_BARS),
        obv=tails([indicators.obv(bars.close, bars.volume) for bars in histories], OBV_RANGE_BARS),
        rsi=tails(rsi, DIVERGENCE_BARS),
    )


def ltf_columns(rows: LtfRows) -> Columns:
    """Return the columns of LTF, with `ltf_close`, which is no feature."""
    high, low, close = rows.high, rows.low, rows.close
    lower_band, upper_band = indicators.bollinger(close)
    obv_lead = position_in_range(rows.obv) - position_in_range(close[:, -OBV_RANGE_BARS:])
    return {
        **_shared_columns("ltf", LTF, rows.last),
        "ltf_close": rows.last.close,
        "vol24h": rows.turnover,
        "change_24h_pct": _change_24h_pct(rows.time_ms, close),
        "ltf_high_20": highest(high[:, -20:]),
        "ltf_low_20": lowest(low[:, -20:]),
        "ltf_high_60": highest(high[:, -PULLBACK_BARS:]),
        "ltf_low_60": lowest(low[:, -PULLBACK_BARS:]),
        "ltf_high_100": highest(high),
        "ltf_low_100": lowest(low),
        "ltf_band_lower": lower_band,
        "ltf_band_upper": upper_band,
        "is_volume_quiet": indicators.below_mean(rows.volume),
        "obv_lead": obv_lead,
        "obv_imbalance": np.where(
            above(obv_lead, OBV_LEAD), "BULLISH", np.where(below(obv_lead, -OBV_LEAD), "BEARISH", "NEUTRAL")
        ),
        "obv_slope": indicators.slope(rows.obv[:, -OBV_SLOPE_BARS:]),
        "divergence": _divergence(close[:, -DIVERGENCE_BARS:], rows.rsi),
    }


def _change_24h_pct(opened: Floats, close: Floats) -> Floats:
    """Return the change of the last close from that of the bar 24 hours before, percent; NaN without that bar."""
    before = highest(np.where(opened == opened[:, -1:] - DAY_MS, close, np.nan))
    return indicators.ratio(close[:, -1] - before, before) * 100.0


def _shared_columns(name: str, timeframe: str, now: LastValues) -> Columns:
    """Return the columns that exist for both timeframes."""
    is_up = above(now.close, now.ema50) & above(now.ema50, now.ema200)
    is_down = below(now.close, now.ema50) & below(now.ema50, now.ema200)
    return {
        f"{name}_bars": now.bars,
        f"{name}_closed_at_ms": now.time_ms + STEP_MS[timeframe],
        f"{name}_bias": np.where(is_up, LONG, np.where(is_down, SHORT, NONE)),
        f"{name}_rsi": now.rsi,
        f"{name}_atr": now.atr,
        f"{name}_adx": now.adx,
        f"{name}_ema50": now.ema50,
        f"{name}_ema200": now.ema200,
    }


def _unusable_reasons(columns: Columns, end_ms: int | Ints) -> Any:
    """Return why each market is unusable, empty for a usable market."""
    timeframes = (("ltf", LTF), ("htf", HTF))
    is_short = np.logical_or(*(columns[f"{name}_bars"] < MIN_BARS for name, _ in timeframes))
    is_stale = np.logical_or(
        *(end_ms - columns[f"{name}_closed_at_ms"] > MAX_AGE_MS[timeframe] for name, timeframe in timeframes)
    )
    return np.where(is_short, INSUFFICIENT_HISTORY, np.where(is_stale, STALE_CANDLES, ""))


def _pullback_columns(price: Floats, bias: Any, ltf_columns: Columns) -> Columns:
    """Return how far P came back from the extreme on the side of the bias, and whether P is overextended."""
    is_long, has_bias = bias == LONG, bias != NONE
    top, bottom = ltf_columns["ltf_high_60"], ltf_columns["ltf_low_60"]
    lower, upper = ltf_columns["ltf_band_lower"], ltf_columns["ltf_band_upper"]
    depth = indicators.ratio(np.where(is_long, top - price, price - bottom), top - bottom)
    depth[~has_bias] = np.nan
    is_wide = upper - lower > MIN_BAND_WIDTH * price
    is_beyond = np.where(is_long, above(price, upper), below(price, lower))
    return {
        "pullback_depth": depth,
        "is_pullback": ~np.isnan(depth) & ~below(depth, PULLBACK[0]) & ~above(depth, PULLBACK[1]),
        "is_overextended": has_bias & is_wide & is_beyond,
    }


def is_divergence_certain(close: Floats, rsi: Floats, error: float) -> Bools:
    """Return where an error of RSI, in RSI points, cannot change the divergence; rows as for the LTF columns."""
    found = [
        _diverges(sign * close, sign * rsi, sign * 50.0, margin) for sign in (1.0, -1.0) for margin in (error, -error)
    ]
    certain: Bools = (found[0] == found[1]) & (found[2] == found[3])
    return certain


def _divergence(close: Floats, rsi: Floats) -> Any:
    """Compare the last two lows and the last two highs of each market's close with the RSI there."""
    is_bullish = _diverges(-close, -rsi, -50.0)
    is_bearish = _diverges(close, rsi, 50.0)
    return np.where(is_bullish & ~is_bearish, "BULLISH", np.where(is_bearish & ~is_bullish, "BEARISH", NONE))


def _diverges(close: Floats, rsi: Floats, middle: float, margin: float = 0.0) -> Bools:
    """Return whether price rose and RSI fell from the last top but one, where RSI was above the middle, to the last.

    RSI must fall, and be above the middle, by more than `margin`.
    """
    market = np.arange(len(close))
    tops = np.where(pivot_highs(close, DIVERGENCE_ORDER), np.arange(close.shape[1]), -1)
    later = tops.max(axis=1)
    tops[market, later] = -1
    earlier = tops.max(axis=1)
    rsi_earlier = rsi[market, earlier]
    went_on = close[market, later] > close[market, earlier]
    fell = rsi_earlier - rsi[market, later] > margin
    diverges: Bools = (earlier >= 0) & went_on & fell & (rsi_earlier - middle > margin)
    return diverges
