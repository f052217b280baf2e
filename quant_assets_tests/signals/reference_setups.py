"""Entries, stops and targets of the three strategies for the reference implementation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .reference_features import atr_of, last_atr
from .reference_inputs import Bar, exact, known
from .reference_trendlines import Trigger


@dataclass(frozen=True)
class Setup:
    """Entry, stop and target of one side."""

    side: str
    entry: float
    sl: float
    tp: float

    @property
    def valid(self) -> bool:
        """Reads "0 < sl < entry < tp for LONG and 0 < tp < entry < sl for SHORT"."""
        if self.side == "LONG":
            return 0.0 < self.sl < self.entry < self.tp
        return 0.0 < self.tp < self.entry < self.sl

    @property
    def too_close(self) -> bool:
        """Reads "whose stop is nearer to P than `min_stop_pct` (0.5, …) percent of P"; entry is P."""
        return abs(self.entry - self.sl) < 0.005 * self.entry

    @property
    def rr(self) -> float:
        """Reads "rr = reward / risk"; 0 where the setup is none."""
        return abs(self.tp - self.entry) / abs(self.entry - self.sl) if self.valid else 0.0


def legacy_setup(ltf: Sequence[Bar], bias: str) -> Setup | None:
    """Reads "LONG: sl = lowest low of 20 LTF bars − 0.5 ATR(14); tp = max(highest high of 100, P + 2 × (P −
    sl)). SHORT mirrored"; "Entry is the last LTF close, P"."""
    if bias == "NONE":
        return None
    price = ltf[-1].close
    half = 0.5 * last_atr(ltf)
    if bias == "LONG":
        sl = min(bar.low for bar in ltf[-20:]) - half
        highest = max(bar.high for bar in ltf[-100:])
        tp = max(highest, price + 2.0 * (price - sl))
    else:
        sl = max(bar.high for bar in ltf[-20:]) + half
        lowest = min(bar.low for bar in ltf[-100:])
        tp = min(lowest, price - 2.0 * (sl - price))
    return Setup(bias, price, sl, tp)


def breakout_setup(htf: Sequence[Bar], price: float, trigger: Trigger) -> Setup:
    """Reads "LONG sl = max(lowest low of bars s−5 … s−1 − 0.5 ATR[s], close[s] − 2.5 ATR[s]); tp = close[s] +
    1.618 × (highest high − lowest low of bars a … b). SHORT mirrored (sl = the smaller of the two). Then sl
    is kept at least 0.5 ATR[s] away from P, and tp at most 8 ATR[s] from close[s]"."""
    s, line = trigger.s, trigger.line
    atr = known(atr_of(htf)[s])
    close = htf[s].close
    before = htf[s - 5 : s]
    leg = htf[line.a : line.b + 1]
    height = 1.618 * (max(bar.high for bar in leg) - min(bar.low for bar in leg))
    if trigger.side == "LONG":
        sl = max(min(bar.low for bar in before) - 0.5 * atr, close - 2.5 * atr)
        sl = min(sl, price - 0.5 * atr)
        tp = min(close + height, close + 8.0 * atr)
    else:
        sl = min(max(bar.high for bar in before) + 0.5 * atr, close + 2.5 * atr)
        sl = max(sl, price + 0.5 * atr)
        tp = max(close - height, close - 8.0 * atr)
    return Setup(trigger.side, price, sl, tp)


def was_touched(htf: Sequence[Bar], setup: Setup, s: int) -> bool:
    """Reads "an HTF bar after s touched sl or tp"."""
    for bar in htf[s + 1 :]:
        if setup.side == "LONG" and (bar.low <= setup.sl or bar.high >= setup.tp):
            return True
        if setup.side == "SHORT" and (bar.high >= setup.sl or bar.low <= setup.tp):
            return True
    return False


def v2_setup(htf: Sequence[Bar], price: float, trigger: Trigger) -> Setup:
    """Reads "sl = P ∓ 3 × the last HTF ATR(14); momentum leg = HTF bars b … s with high H and low L; LONG tp
    = H + (H − L), SHORT tp = L − (H − L)"."""
    leg = htf[trigger.line.b : trigger.s + 1]
    high, low = max(bar.high for bar in leg), min(bar.low for bar in leg)
    risk = 3.0 * last_atr(htf)
    if trigger.side == "LONG":
        return Setup("LONG", price, price - risk, high + (high - low))
    return Setup("SHORT", price, price + risk, low - (high - low))


def price_moved_away(htf: Sequence[Bar], price: float, trigger: Trigger) -> bool:
    """Reads "`price_moved_away` if |P / close[s] − 1| > 0.03"."""
    return abs(exact(price) / exact(htf[trigger.s].close) - 1) > Fraction(3, 100)
