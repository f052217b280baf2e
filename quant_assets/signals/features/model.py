"""Features of one market at the end of one window: the row that strategies and the feed read.

The columns of the features table, their descriptions and the schema check are derived from the fields of `Features`.

"LTF" is 15m and "HTF" 4h; "last" is the last closed bar. Prices are in the market's quote currency, volumes as the
candle files have them. None is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

from quant_assets.derivatives.funding import rate_for_8_hours
from quant_assets.signals.features.extra import EXTRA_COLUMNS, extra_key
from quant_assets.signals.features.tolerance import above
from quant_assets.signals.features.trendlines import TrendLine
from quant_assets.signals.features.triggers import Trigger
from quant_assets.signals.sides import NONE

Number = float | None
Count = int | None
View = TypeVar("View", TrendLine, Trigger)

OI_Z_VALID = 1.5
"""Threshold above which a z-score of open interest is unusually high."""


class Features(NamedTuple):
    """One market at the end of one window; a tuple, since thousands are created from the rows of a table."""

    exchange: Annotated[str, "exchange, as the candle files name it"]
    symbol: Annotated[str, "symbol on that exchange, as the candle files name it"]
    canonical_symbol: Annotated[str, "the asset, like BTC; the symbol itself if not in the symbol map"]
    display_symbol: Annotated[str, "base and quote for display; the symbol itself if not in the symbol map"]
    window_end_ms: Annotated[int, "end of the window, epoch ms; no value here closed later"]

    price: Annotated[float, "P: close of the last LTF bar, or of the last HTF bar without LTF bars"]
    unusable: Annotated[str, "why strategies do not run: insufficient_history, stale_candles, or empty"] = ""
    vol24h: Annotated[Number, "sum of close × volume over the last 96 LTF bars, or as many as there are"] = None
    change_24h_pct: Annotated[
        Number, "change of the last LTF close from that 24 hours before, percent; unknown if missing"
    ] = None
    ltf_bars: Annotated[int, "LTF bars used, at most 1500"] = 0
    htf_bars: Annotated[int, "HTF bars used, at most 1500; the last has the index htf_bars − 1"] = 0
    ltf_closed_at_ms: Annotated[Count, "when the last LTF bar closed, epoch ms"] = None
    htf_closed_at_ms: Annotated[Count, "when the last HTF bar closed, epoch ms"] = None

    trend_bias: Annotated[str, "htf_bias, or ltf_bias with fewer than 200 HTF bars: LONG, SHORT, NONE"] = NONE.value
    htf_bias: Annotated[str, "LONG: HTF close > EMA50 > EMA200; SHORT: <, <; NONE otherwise"] = NONE.value
    ltf_bias: Annotated[str, "LONG: LTF close > EMA50 > EMA200; SHORT: <, <; NONE otherwise"] = NONE.value
    htf_trend: Annotated[str, "UP or DOWN: last HTF close above that of 4 bars before, or not; empty: no bar"] = ""

    htf_close: Annotated[Number, "last HTF close"] = None
    htf_rsi: Annotated[Number, "HTF RSI(14), 0 to 100"] = None
    htf_adx: Annotated[Number, "HTF ADX(14), 0 to 100"] = None
    htf_atr: Annotated[Number, "HTF ATR(14), price"] = None
    htf_ema50: Annotated[Number, "HTF EMA(50) of the close; unknown with fewer than 50 bars"] = None
    htf_ema200: Annotated[Number, "HTF EMA(200) of the close; unknown with fewer than 200 bars"] = None

    ltf_rsi: Annotated[Number, "LTF RSI(14), 0 to 100"] = None
    ltf_adx: Annotated[Number, "LTF ADX(14), 0 to 100"] = None
    ltf_atr: Annotated[Number, "LTF ATR(14), price"] = None
    ltf_ema50: Annotated[Number, "LTF EMA(50) of the close; unknown with fewer than 50 bars"] = None
    ltf_ema200: Annotated[Number, "LTF EMA(200) of the close; unknown with fewer than 200 bars"] = None
    ltf_high_20: Annotated[Number, "highest high of the last 20 LTF bars"] = None
    ltf_low_20: Annotated[Number, "lowest low of the last 20 LTF bars"] = None
    ltf_high_60: Annotated[Number, "highest high of the last 60 LTF bars"] = None
    ltf_low_60: Annotated[Number, "lowest low of the last 60 LTF bars"] = None
    ltf_high_100: Annotated[Number, "highest high of the last 100 LTF bars"] = None
    ltf_low_100: Annotated[Number, "lowest low of the last 100 LTF bars"] = None
    ltf_band_lower: Annotated[Number, "lower Bollinger band (20, 2) of LTF closes, price"] = None
    ltf_band_upper: Annotated[Number, "upper Bollinger band (20, 2) of LTF closes, price"] = None
    is_overextended: Annotated[bool, "P is beyond the band on the side of trend_bias"] = False
    is_volume_quiet: Annotated[bool, "last LTF volume below the mean of the last 20, itself included"] = False
    pullback_depth: Annotated[Number, "retracement from the 60-bar extreme of trend_bias, share of the range"] = None
    is_pullback: Annotated[bool, "pullback_depth is 0.3 to 0.8"] = False
    obv_lead: Annotated[Number, "position of OBV in its 30-bar range minus that of the close, −1 to 1"] = None
    obv_imbalance: Annotated[str, "BULLISH: obv_lead > 0.25; BEARISH: < −0.25; NEUTRAL otherwise"] = "NEUTRAL"
    obv_slope: Annotated[Number, "least-squares slope of the last 14 LTF OBV values, volume per bar"] = None
    divergence: Annotated[str, "BULLISH, BEARISH or NONE: LTF price against RSI over 60 bars"] = "NONE"

    resistance_start_index: Annotated[Count, "HTF resistance of RSI: first pivot, index into the bars used"] = None
    resistance_start_rsi: Annotated[Number, "HTF resistance: RSI at its first pivot"] = None
    resistance_start_ms: Annotated[Count, "HTF resistance: opening of its first pivot's bar, epoch ms"] = None
    resistance_end_index: Annotated[Count, "HTF resistance: second pivot, index into the bars used"] = None
    resistance_end_rsi: Annotated[Number, "HTF resistance: RSI at its second pivot"] = None
    resistance_end_ms: Annotated[Count, "HTF resistance: opening of its second pivot's bar, epoch ms"] = None
    resistance_slope: Annotated[Number, "HTF resistance: RSI points per bar"] = None
    resistance_intercept: Annotated[Number, "HTF resistance: its RSI at index 0"] = None
    resistance_touches: Annotated[Count, "HTF resistance: pivots within 1.0 of it, its own two included"] = None
    resistance_at_last_bar: Annotated[Number, "HTF resistance: its RSI at the last bar"] = None
    resistance_reverse_price: Annotated[Number, "next HTF close that puts RSI on the resistance; price"] = None

    support_start_index: Annotated[Count, "HTF support of RSI: first pivot, index into the bars used"] = None
    support_start_rsi: Annotated[Number, "HTF support: RSI at its first pivot"] = None
    support_start_ms: Annotated[Count, "HTF support: opening of its first pivot's bar, epoch ms"] = None
    support_end_index: Annotated[Count, "HTF support: second pivot, index into the bars used"] = None
    support_end_rsi: Annotated[Number, "HTF support: RSI at its second pivot"] = None
    support_end_ms: Annotated[Count, "HTF support: opening of its second pivot's bar, epoch ms"] = None
    support_slope: Annotated[Number, "HTF support: RSI points per bar"] = None
    support_intercept: Annotated[Number, "HTF support: its RSI at index 0"] = None
    support_touches: Annotated[Count, "HTF support: pivots within 1.0 of it, its own two included"] = None
    support_at_last_bar: Annotated[Number, "HTF support: its RSI at the last bar"] = None
    support_reverse_price: Annotated[Number, "next HTF close that puts RSI on the support; price"] = None

    trigger_side: Annotated[str, "breakout of an RSI trendline: LONG, SHORT, or empty without one"] = ""
    trigger_index: Annotated[Count, "s: the HTF bar that broke the line, index into the bars used"] = None
    trigger_time_ms: Annotated[Count, "opening of bar s, epoch ms"] = None
    trigger_strength: Annotated[Number, "distance of RSI beyond the line at s, RSI points"] = None
    trigger_start_index: Annotated[Count, "a: first pivot of the broken line, index into the bars used"] = None
    trigger_start_rsi: Annotated[Number, "RSI at a"] = None
    trigger_start_ms: Annotated[Count, "opening of bar a, epoch ms"] = None
    trigger_end_index: Annotated[Count, "b: second pivot of the broken line, index into the bars used"] = None
    trigger_end_rsi: Annotated[Number, "RSI at b"] = None
    trigger_end_ms: Annotated[Count, "opening of bar b, epoch ms"] = None
    trigger_slope: Annotated[Number, "broken line: RSI points per bar"] = None
    trigger_intercept: Annotated[Number, "broken line: its RSI at index 0"] = None
    trigger_touches: Annotated[Count, "broken line: pivots within 1.0 of it that were known before s"] = None
    trigger_at_last_bar: Annotated[Number, "broken line: its RSI at the last bar"] = None
    trigger_close: Annotated[Number, "close of bar s"] = None
    trigger_atr: Annotated[Number, "HTF ATR(14) at s, price"] = None
    trigger_start_close: Annotated[Number, "close of bar a"] = None
    trigger_end_close: Annotated[Number, "close of bar b"] = None
    trigger_before_high: Annotated[Number, "highest high of the 5 bars before s"] = None
    trigger_before_low: Annotated[Number, "lowest low of the 5 bars before s"] = None
    trigger_line_high: Annotated[Number, "highest high of bars a to b"] = None
    trigger_line_low: Annotated[Number, "lowest low of bars a to b"] = None
    trigger_leg_high: Annotated[Number, "highest high of bars b to s"] = None
    trigger_leg_low: Annotated[Number, "lowest low of bars b to s"] = None
    trigger_after_high: Annotated[Number, "highest high of the HTF bars after s; unknown if s is the last"] = None
    trigger_after_low: Annotated[Number, "lowest low of the HTF bars after s; unknown if s is the last"] = None

    simulated: Annotated[bool, "whether the symbol map or any derivative input comes from an emulator"] = False
    oi_status: Annotated[str, "source of open interest: resolved, aggregated (a stand-in) or neutral"] = "neutral"
    oi_symbol: Annotated[str, "symbol of open interest at its provider; empty without one"] = ""
    oi_exchange: Annotated[str, "name of the exchange that open interest is from; empty without one"] = ""
    oi_unit: Annotated[str, "unit of oi_value: BASE_ASSET or QUOTE_ASSET; empty without one"] = ""
    oi_value: Annotated[Number, "last open interest, in oi_unit"] = None
    oi_points: Annotated[int, "bars of open interest known over the last 24 hours"] = 0
    oi_average: Annotated[Number, "mean open interest over the last 24 hours, in oi_unit"] = None
    oi_slope: Annotated[Number, "least-squares slope of open interest over the 24 hours, oi_unit per bar"] = None
    oi_change_24h_pct: Annotated[Number, "change of open interest over 24 hours, percent"] = None
    oi_age_seconds: Annotated[Number, "window's end minus the close of the last open-interest bar"] = None
    oi_z: Annotated[Number, "z-score of the last open interest; unknown if too few, flat, old or neutral"] = None
    oi_z_score_provider: Annotated[str, "provider of oi_z where it is of another series than oi_value; else empty"] = ""
    funding_rate_pct: Annotated[Number, "last known funding rate, percent for its interval"] = None
    funding_interval_hours: Annotated[Number, "hours that the funding rate is for; unknown if not published"] = None
    funding_provider: Annotated[str, "provider of the funding rate; empty without one"] = ""
    funding_age_seconds: Annotated[Number, "window's end minus the close of the last funding bar"] = None
    long_short_ratio: Annotated[Number, "last known ratio of long to short accounts"] = None
    longs_pct: Annotated[Number, "accounts that are long, percent"] = None
    shorts_pct: Annotated[Number, "accounts that are short, percent"] = None
    long_short_provider: Annotated[str, "provider of the ratio; empty without one"] = ""
    long_short_age_seconds: Annotated[Number, "window's end minus the close of the last ratio bar"] = None
    liquidated_longs_1h: Annotated[Number, "longs liquidated over the last hour, in liquidations_unit"] = None
    liquidated_shorts_1h: Annotated[Number, "shorts liquidated over the last hour, in liquidations_unit"] = None
    liquidated_longs_24h: Annotated[Number, "longs liquidated over 24 hours, in liquidations_unit"] = None
    liquidated_shorts_24h: Annotated[Number, "shorts liquidated over 24 hours, in liquidations_unit"] = None
    liquidations_unit: Annotated[str, "unit of the liquidations: BASE_ASSET or QUOTE_ASSET; empty if none"] = ""
    liquidations_provider: Annotated[str, "provider of the liquidations; empty without one"] = ""
    liquidations_age_seconds: Annotated[Number, "window's end minus the close of the last liquidation bar"] = None

    extra: Mapping[str, Any] = {}
    """The values of datasets without fields of their own, by the names of their values, with
    `<dataset>_age_seconds`, and `<dataset>_unit` for amounts. An unknown value is None, or what its entry says. In the
    features table each is a column `extra_<name>`."""
    own: Mapping[str, float | None] = {}
    """The values of the strategy's own indicators by name, None if unknown; no columns of the features table."""

    @property
    def price_age_seconds(self) -> float:
        """Window's end minus the close of the bar of `price`, seconds."""
        closed_at_ms = self.ltf_closed_at_ms if self.ltf_closed_at_ms is not None else self.htf_closed_at_ms
        return 0.0 if closed_at_ms is None else (self.window_end_ms - closed_at_ms) / 1000

    @property
    def funding_8h_pct(self) -> float | None:
        """The funding rate for 8 hours, percent; an unknown interval counts as 8 hours. None is unknown."""
        if self.funding_rate_pct is None:
            return None
        return rate_for_8_hours(self.funding_rate_pct, self.funding_interval_hours)

    @property
    def oi_z_is_valid(self) -> bool:
        """Whether open interest is unusually high: a z-score above 1.5."""
        return self.oi_z is not None and above(self.oi_z, OI_Z_VALID)

    @property
    def resistance(self) -> TrendLine | None:
        """The current HTF resistance, or None."""
        return _view(self, TrendLine, "resistance_", self.resistance_start_index is not None)

    @property
    def support(self) -> TrendLine | None:
        """The current HTF support, or None."""
        return _view(self, TrendLine, "support_", self.support_start_index is not None)

    @property
    def trigger(self) -> Trigger | None:
        """The breakout with the prices around it, or None."""
        return _view(self, Trigger, "trigger_", bool(self.trigger_side))


FIELDS: tuple[str, ...] = tuple(name for name in Features._fields if name not in {"extra", "own"})
"""The fields that are columns of the features table."""
_HINTS = get_type_hints(Features, include_extras=True)
TYPES: dict[str, Any] = {
    **{name: _HINTS[name].__origin__ for name in FIELDS},
    **{name: column.kind for name, column in EXTRA_COLUMNS.items()},
}
"""Column of the features table → its type, in the order of the columns."""
COLUMNS: dict[str, str] = {
    **{name: _HINTS[name].__metadata__[0] for name in FIELDS},
    **{name: column.description for name, column in EXTRA_COLUMNS.items()},
}
"""Column of the features table → its description, in the order of the columns."""
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in (TrendLine, Trigger)}


def column_value(features: Features, column: str) -> Any:
    """Return the value of a column of the features table: a field, or a value of `extra`."""
    return features.extra.get(extra_key(column)) if column in EXTRA_COLUMNS else getattr(features, column)


def _view(features: Features, kind: type[View], prefix: str, is_known: bool) -> View | None:
    if not is_known:
        return None
    return kind(*(getattr(features, prefix + name) for name in _NAMES[kind]))
