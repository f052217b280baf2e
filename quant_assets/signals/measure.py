"""From the bars and the derivative inputs of one market to its `Features`.

Here: the rules that read meaning into indicators (trend, pullback, divergence, imbalance), and whether the market may
be judged at all. Not here: the indicators themselves, lines and triggers, and anything that one strategy alone knows.
"""

from __future__ import annotations

from typing import Any

from quant_assets.signals import indicators
from quant_assets.signals.bars import HTF, LTF, TIMEFRAME_MS, Bars, Floats, MarketBars
from quant_assets.signals.features import INSUFFICIENT_HISTORY, STALE_CANDLES, Features, flatten
from quant_assets.signals.indicators import highest, last, lowest, position_in_range
from quant_assets.signals.inputs import UNKNOWN, DerivativeInputs, derivative_features
from quant_assets.signals.pivots import pivots
from quant_assets.signals.rounding import above, below, within
from quant_assets.signals.sides import LONG, NONE, SHORT
from quant_assets.signals.trendlines import best_line, describe_line, draw_lines, find_breakout
from quant_assets.signals.triggers import describe_trigger
from quant_assets.windows import Window

LEAST_BARS = 50
"""Closed bars that each timeframe needs before a market is judged."""
OLDEST_MS = {LTF: 60 * 60 * 1000, HTF: 8 * 60 * 60 * 1000}
"""How long before the window's end the last bar may have closed."""
TREND_BARS = 200
"""HTF bars that the trend needs; with fewer, it is that of the LTF."""
DAY_BARS = 96
VOLUME_BARS = 20
PULLBACK_BARS = 60
PULLBACK = (0.3, 0.8)
OBV_RANGE_BARS = 30
OBV_SLOPE_BARS = 14
OBV_LEAD = 0.25
DIVERGENCE_BARS = 60
DIVERGENCE_ORDER = 2
NARROWEST_BANDS = 1e-9
"""Share of P that the Bollinger bands must be apart by."""

Values = dict[str, Any]
"""Names of `Features` fields and what they hold."""


def market_features(market: MarketBars, window: Window, derivatives: DerivativeInputs = UNKNOWN) -> Features:
    """Return what is known of one market at the window's end.

    `market` has at least one bar, and none that is not closed by then. Raises LookAheadError where a derivative value
    closed after the window's end.
    """
    ltf, htf = market.ltf, market.htf
    price = float((ltf if len(ltf) else htf).close[-1])
    slow, fast = _htf_features(htf), _ltf_features(ltf)
    bias: str = slow["htf_bias"] if len(htf) >= TREND_BARS else fast["ltf_bias"]
    return Features(
        exchange=market.exchange,
        symbol=market.symbol,
        canonical_symbol=derivatives.canonical_symbol or market.symbol,
        display_symbol=derivatives.display_symbol or market.symbol,
        window_end_ms=window.end_ms,
        unusable=_why_unusable(market, window),
        price=price,
        trend_bias=bias,
        **slow,
        **fast,
        **_place_in_trend(price, bias, fast),
        **derivative_features(derivatives, window),
    )


def _htf_features(bars: Bars) -> Values:
    if len(bars) == 0:
        return {"htf_bias": NONE}
    close = bars.close
    rsi = indicators.rsi(close)
    atr = indicators.atr(bars.high, bars.low, close)
    adx = indicators.adx(bars.high, bars.low, close)
    ema50, ema200 = last(indicators.ema(close, 50)), last(indicators.ema(close, 200))
    now, four_before = float(close[-1]), float(close[max(len(close) - 5, 0)])
    values: Values = {
        "htf_bars": len(bars),
        "htf_closed_at_ms": _closed_at_ms(bars, HTF),
        "htf_bias": _bias(now, ema50, ema200),
        "htf_trend": "UP" if now > four_before else "DOWN",
        "htf_close": now,
        "htf_rsi": last(rsi),
        "htf_adx": last(adx),
        "htf_atr": last(atr),
        "htf_ema50": ema50,
        "htf_ema200": ema200,
    }
    lines = draw_lines(rsi)
    for prefix, kind in (("resistance_", lines.resistances), ("support_", lines.supports)):
        line = best_line(kind, len(bars))
        if line is not None:
            values |= flatten(prefix, describe_line(line, bars, rsi))
    breakout = find_breakout(rsi, lines)
    if breakout is not None:
        values |= flatten("trigger_", describe_trigger(breakout, bars, rsi, atr))
    return values


def _ltf_features(bars: Bars) -> Values:
    if len(bars) == 0:
        return {"ltf_bias": NONE}
    high, low, close, volume = bars.high, bars.low, bars.close, bars.volume
    rsi = indicators.rsi(close)
    obv = indicators.obv(close, volume)
    ema50, ema200 = last(indicators.ema(close, 50)), last(indicators.ema(close, 200))
    lower_band, upper_band = indicators.bollinger(close) or (None, None)
    obv_lead = _obv_lead(obv[-OBV_RANGE_BARS:], close[-OBV_RANGE_BARS:])
    return {
        "ltf_bars": len(bars),
        "ltf_closed_at_ms": _closed_at_ms(bars, LTF),
        "vol24h": float(close[-DAY_BARS:] @ volume[-DAY_BARS:]),
        "ltf_bias": _bias(float(close[-1]), ema50, ema200),
        "ltf_rsi": last(rsi),
        "ltf_adx": last(indicators.adx(high, low, close)),
        "ltf_atr": last(indicators.atr(high, low, close)),
        "ltf_ema50": ema50,
        "ltf_ema200": ema200,
        "ltf_high_20": highest(high, 20),
        "ltf_low_20": lowest(low, 20),
        "ltf_high_60": highest(high, PULLBACK_BARS),
        "ltf_low_60": lowest(low, PULLBACK_BARS),
        "ltf_high_100": highest(high, 100),
        "ltf_low_100": lowest(low, 100),
        "ltf_band_lower": lower_band,
        "ltf_band_upper": upper_band,
        "is_volume_quiet": indicators.below_mean(volume[-VOLUME_BARS:]),
        "obv_lead": obv_lead,
        "obv_imbalance": _imbalance(obv_lead),
        "obv_slope": indicators.slope(obv[-OBV_SLOPE_BARS:]),
        "divergence": _divergence(close[-DIVERGENCE_BARS:], rsi[-DIVERGENCE_BARS:]),
    }


def _why_unusable(market: MarketBars, window: Window) -> str:
    sides = ((market.ltf, LTF), (market.htf, HTF))
    if any(len(bars) < LEAST_BARS for bars, _ in sides):
        return INSUFFICIENT_HISTORY
    ages_ms = {timeframe: window.end_ms - _closed_at_ms(bars, timeframe) for bars, timeframe in sides}
    return STALE_CANDLES if any(age > OLDEST_MS[timeframe] for timeframe, age in ages_ms.items()) else ""


def _closed_at_ms(bars: Bars, timeframe: str) -> int:
    return int(bars.time_ms[-1]) + TIMEFRAME_MS[timeframe]


def _bias(close: float, ema50: float | None, ema200: float | None) -> str:
    if ema50 is None or ema200 is None:
        return NONE
    if above(close, ema50) and above(ema50, ema200):
        return LONG
    return SHORT if below(close, ema50) and below(ema50, ema200) else NONE


def _place_in_trend(price: float, bias: str, fast: Values) -> Values:
    """Return how far P came back from the extreme on the side of the bias, and whether it ran too far there."""
    if bias == NONE or "ltf_bars" not in fast:
        return {}
    top, bottom = fast["ltf_high_60"], fast["ltf_low_60"]
    lower, upper = fast["ltf_band_lower"], fast["ltf_band_upper"]
    values: Values = {}
    if top > bottom:
        depth = (top - price if bias == LONG else price - bottom) / (top - bottom)
        values = {"pullback_depth": depth, "is_pullback": within(depth, *PULLBACK)}
    if upper is not None and upper - lower > NARROWEST_BANDS * price:
        values["is_overextended"] = above(price, upper) if bias == LONG else below(price, lower)
    return values


def _obv_lead(obv: Floats, close: Floats) -> float | None:
    volume_position, price_position = position_in_range(obv), position_in_range(close)
    if volume_position is None or price_position is None:
        return None
    return volume_position - price_position


def _imbalance(obv_lead: float | None) -> str:
    if obv_lead is None:
        return "NEUTRAL"
    if above(obv_lead, OBV_LEAD):
        return "BULLISH"
    return "BEARISH" if below(obv_lead, -OBV_LEAD) else "NEUTRAL"


def _divergence(close: Floats, rsi: Floats) -> str:
    """Compare the last two lows and the last two highs of the close with the RSI there."""
    highs, lows = (found[-2:].tolist() for found in pivots(close, DIVERGENCE_ORDER))
    is_bullish = len(lows) == 2 and _diverges(-close, -rsi, lows, -50.0)
    is_bearish = len(highs) == 2 and _diverges(close, rsi, highs, 50.0)
    if is_bullish == is_bearish:
        return NONE
    return "BULLISH" if is_bullish else "BEARISH"


def _diverges(close: Floats, rsi: Floats, tops: list[int], middle: float) -> bool:
    """Whether price went on from top to top and RSI came back, having been beyond the middle at the earlier."""
    earlier, later = tops
    return bool(close[later] > close[earlier] and rsi[later] < rsi[earlier] and rsi[earlier] > middle)
