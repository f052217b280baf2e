"""Compare the verdicts of a whole strategy at a window with and without the bars after it, and with less history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.signals.checking.finding import Finding, Kind
from quant_assets.signals.checking.histories import FACTORS, changed_after, rows_closed_by
from quant_assets.signals.features.bars import MAX_BARS, MarketBars, bars_of
from quant_assets.signals.features.table import market_features
from quant_assets.signals.own.market_candles import Frames
from quant_assets.signals.own.series import own_series, values_at
from quant_assets.signals.run import judge
from quant_assets.signals.strategy import Strategy
from quant_assets.signals.verdict import Verdict

SCORE_TOLERANCE: Final = 1e-6
"""Scores are rounded to six decimals."""
SETTLED: Final = 1e-3
"""Maximum move of score and prices from a history of 1,000 to one of 1,500 bars, as a share."""
SHORTER: Final = 1000


def verdict_at(strategy: Strategy, market: tuple[str, str], bars: Frames, window: Window) -> Verdict:
    """Return the verdict on a market at a window's end, with own indicators computed on all of the bars."""
    ltf, htf = (_table(bars[timeframe]) for timeframe in (LTF, HTF))
    features = market_features(MarketBars(*market, bars_of(ltf, LTF, window), bars_of(htf, HTF, window)), window)
    if features.unusable:
        return judge(strategy, features)
    return judge(strategy, features._replace(own=values_at(own_series(strategy, bars), bars, window.end_ms)))


def look_ahead_of_verdict(
    strategy: Strategy, market: tuple[str, str], bars: Frames, window: Window
) -> Iterator[Finding]:
    """Yield a finding if the verdict at a window changes with the bars after it."""
    rows = rows_closed_by(bars, window.end_ms)
    with_all = verdict_at(strategy, market, bars, window)
    for what, factor in FACTORS.items():
        changed = verdict_at(strategy, market, changed_after(bars, rows, factor), window)
        size, text = _difference(with_all, changed, 0.0)
        if text:
            told = f"changes its {text} at a setup when the bars after it {what}"
            yield Finding(Kind.LOOK_AHEAD, "", " ".join(market), window.key, size, told)


def recursion_of_verdict(
    strategy: Strategy, market: tuple[str, str], bars: Frames, window: Window
) -> Iterator[Finding]:
    """Yield a finding if the verdict changes between the last 1,000 and 1,500 bars before a window's end."""
    rows = rows_closed_by(bars, window.end_ms)
    if min(rows.values()) <= SHORTER:
        return
    closed = changed_after(bars, rows, 0.0)
    longer, shorter = (
        verdict_at(strategy, market, {tf: frame.iloc[-count:] for tf, frame in closed.items()}, window)
        for count in (MAX_BARS, SHORTER)
    )
    size, text = _difference(longer, shorter, SETTLED)
    if text:
        told = f"changes its {text} between histories of 1,000 and 1,500 bars"
        yield Finding(Kind.RECURSION, "", " ".join(market), window.key, size, told)


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(time_ms=pd.DatetimeIndex(frame.index).as_unit("ms").asi8)


def _difference(one: Verdict, other: Verdict, tolerance: float) -> tuple[float | None, str]:
    """Return in what two verdicts differ, and the largest difference of numbers; "" if they do not."""
    texts = {"action": (one.action, other.action), "side": (one.bias, other.bias), "reason": (one.reason, other.reason)}
    for name, (text, changed) in texts.items():
        if text != changed:
            return None, f"{name} from {text or 'none'} to {changed or 'none'}"
    numbers = _numbers(one), _numbers(other)
    for name, before in numbers[0].items():
        size = abs(before - numbers[1].get(name, np.nan))
        if not size <= max(tolerance * abs(before), SCORE_TOLERANCE if name == "score" else 1e-9 * abs(before)):
            return size, name
    return None, ""


def _numbers(verdict: Verdict) -> Mapping[str, float]:
    setup = verdict.setup
    prices = {} if setup is None else {"entry": setup.entry, "stop": setup.sl, "target": setup.tp}
    return {"score": verdict.score, **prices}
