"""Strategies that look ahead in five ways, that never settle, and honest ones, for the tests of the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pandas_ta_classic as ta
import talib

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.signals import Features, Strategy, Verdict, valid_setup

Bars = Mapping[str, pd.DataFrame]
Series = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class WithIndicator(Strategy):
    """A strategy that buys whenever its indicator is known."""

    name = "WithIndicator"
    key = "with_indicator"
    description = "for tests"
    strategy_type = "test"
    parts = ("own",)

    compute: Callable[[Bars], Series] = field(kw_only=True)

    def indicators(self, bars: Bars) -> Series:
        """Return what the given function returns."""
        return self.compute(bars)

    def judge(self, features: Features) -> Verdict:
        """Buy if every indicator is known."""
        price, known = features.price, all(value is not None for value in features.own.values())
        setup = valid_setup("LONG", price, price * 0.95, price * 1.1) if known else None
        score = sum(value or 0.0 for value in features.own.values())
        return Verdict("LONG", score, {"own": score}, "" if setup else "unknown", setup)


def shifted(bars: Bars) -> Series:
    """Peek at the next close."""
    return {LTF: {"peek": bars[LTF]["close"].shift(-1) / bars[LTF]["close"] - 1}}


def centred(bars: Bars) -> Series:
    """Smooth with a mean of the bars before and after."""
    return {HTF: {"peek": bars[HTF]["close"].rolling(9, center=True).mean()}}


def normalised(bars: Bars) -> Series:
    """Scale by mean and deviation of the whole series."""
    close = bars[LTF]["close"]
    return {LTF: {"peek": (close - close.mean()) / close.std()}}


def filled_backwards(bars: Bars) -> Series:
    """Fill the first values, which are unknown, from later ones."""
    return {HTF: {"peek": bars[HTF]["close"].rolling(20).mean().bfill()}}


def resampled(bars: Bars) -> Series:
    """Give each 15m bar the close of its hour, which has not closed yet."""
    close = bars[LTF]["close"]
    return {LTF: {"peek": close.groupby(pd.DatetimeIndex(close.index).floor("1h")).transform("last")}}


CHEATS = {cheat.__name__: cheat for cheat in (shifted, centred, normalised, filled_backwards, resampled)}


def macd(bars: Bars) -> Series:
    """MACD of 4h closes and its signal line."""
    line, signal, _ = talib.MACD(bars[HTF]["close"])  # type: ignore[arg-type]
    return {HTF: {"macd": line, "macd_signal": signal}}


def supertrend(bars: Bars) -> Series:
    """Supertrend of 15m bars, whose first direction is arbitrary."""
    frame = bars[LTF]
    found = ta.supertrend(frame["high"], frame["low"], frame["close"], length=10, multiplier=3.0)
    return {LTF: {"direction": None if found is None else found.iloc[:, 1]}}


def past_shift(bars: Bars) -> Series:
    """Change since the bar before, and a deviation from the mean of the last 30."""
    close = bars[LTF]["close"]
    window = close.rolling(30)
    return {LTF: {"change": close / close.shift(1) - 1, "deviation": (close - window.mean()) / window.std()}}


def resampled_when_closed(bars: Bars) -> Series:
    """Give each 15m bar the close of the last hour that had closed by then."""
    close = bars[LTF]["close"]
    is_last = pd.DatetimeIndex(close.index).minute == 45
    return {LTF: {"hour": close.where(is_last).ffill()}}


HONEST = {honest.__name__: honest for honest in (macd, supertrend, past_shift, resampled_when_closed)}


def on_balance_volume(bars: Bars) -> Series:
    """OBV, whose value depends on where the history begins."""
    return {LTF: {"obv": talib.OBV(bars[LTF]["close"], bars[LTF]["volume"])}}  # type: ignore[arg-type]


def cumulated_vwap(bars: Bars) -> Series:
    """VWAP from the first bar on."""
    frame = bars[LTF]
    return {LTF: {"vwap": (frame["close"] * frame["volume"]).cumsum() / frame["volume"].cumsum()}}


UNSETTLED = {found.__name__: found for found in (on_balance_volume, cumulated_vwap)}
