"""A strategy as freqtrade's users write it, on a data frame, and the same strategy of this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pandas as pd
import talib

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.signals import Features, Indicator, Limits, Strategy, Verdict, valid_setup

OVERSOLD = 35.0


def populate_indicators(dataframe: pd.DataFrame, informative: pd.DataFrame) -> pd.DataFrame:
    """Add RSI, the lower Bollinger band, and the 4h average, merged at the bar that closes with or after it."""
    dataframe = dataframe.copy()
    close: Any = dataframe["close"]
    slow: Any = informative["close"]
    dataframe["rsi"] = talib.RSI(close, 14)
    dataframe["bb_lower"] = talib.BBANDS(close, 20)[2]
    average = pd.DataFrame({"sma_4h": talib.SMA(slow, 30)})
    average.index = pd.DatetimeIndex(average.index) + pd.Timedelta("4h") - pd.Timedelta("15min")
    return pd.merge_asof(dataframe, average, left_index=True, right_index=True)


def populate_entry_trend(dataframe: pd.DataFrame) -> pd.DataFrame:
    """Mark the bars whose RSI crossed above 35 over the 4h average."""
    rsi = dataframe["rsi"]
    crossed = (rsi > OVERSOLD) & (rsi.shift(1) <= OVERSOLD)
    is_up = dataframe["close"] > dataframe["sma_4h"]
    return dataframe.assign(enter_long=(crossed & is_up).astype(int))


@dataclass(frozen=True)
class Migrated(Strategy):
    """The same entries; stop and target take the place of `stoploss` and `minimal_roi`."""

    name = "Migrated"
    key = "migrated"
    description = "LONG if RSI on 15m crosses above 35 over the 4h average."
    strategy_type = "mean_reversion"
    parts = ("entry",)
    limits: ClassVar[Limits] = {"oversold": (5.0, 50.0)}
    steps: ClassVar = {"oversold": 5.0}
    max_holding_minutes = 1_440
    own_indicators: ClassVar = {
        "rsi": Indicator("RSI(14) of 15m closes.", chart="RSI 15m"),
        "bb_lower": Indicator("Lower Bollinger band (20, 2).", chart="price"),
        "sma_4h": Indicator("SMA(30) of 4h closes.", chart="price"),
        "crossed": Indicator("1 in the bar in which RSI crossed above the limit."),
    }

    oversold: Annotated[float, "RSI that must be crossed."] = OVERSOLD

    def indicators(self, bars: Mapping[str, pd.DataFrame]) -> Mapping[str, Mapping[str, Any]]:
        """Return what `populate_indicators` adds, and the cross, which needs two bars."""
        close: Any = bars[LTF]["close"]
        rsi: Any = talib.RSI(close, 14)
        crossed = (rsi > self.oversold) & (rsi.shift(1) <= self.oversold)
        slow: Any = bars[HTF]["close"]
        return {
            LTF: {"rsi": rsi, "bb_lower": talib.BBANDS(close, 20)[2], "crossed": crossed},
            HTF: {"sma_4h": talib.SMA(slow, 30)},
        }

    def judge(self, features: Features) -> Verdict:
        """Enter at the cross above the average: a stop of 5 %, a target of 10 %."""
        own, price = features.own, features.price
        if not own["crossed"]:
            return Verdict.of("NONE", {"entry": 0.0}, "no_cross", None)
        average = own["sma_4h"]
        if average is None or price <= average:
            return Verdict.of("LONG", {"entry": 50.0}, "below_average", None)
        return Verdict.of("LONG", {"entry": 100.0}, "", valid_setup("LONG", price, price * 0.95, price * 1.10))
