"""Inputs of the reference implementation: the candles and the derivatives of one market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
LTF_MS = 15 * MINUTE_MS
HTF_MS = 4 * HOUR_MS


class Bar(NamedTuple):
    """One candle; `time_ms` is the moment at which it opens."""

    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Inputs:
    """Derivatives of one market; None is unknown.

    `oi_closes` are the 15-minute closes of the last 24 hours, oldest first; `oi_closed_at_ms` is when the last closed.
    `funding_pct` is for `funding_hours`, 8 if unknown.
    `liquidations` are longs_1h, shorts_1h, longs_24h, shorts_24h: no score depends on them.
    """

    oi_closes: list[float] = field(default_factory=list)
    oi_closed_at_ms: float | None = None
    oi_status: str = "resolved"
    funding_pct: float | None = None
    funding_hours: float | None = None
    ls_ratio: float | None = None
    liquidations: dict[str, float] | None = None


def exact(number: float) -> Fraction:
    """Return a number as it is written in a candle file, in exact arithmetic.

    Prices are multiples of a tick, so a depth of exactly 0.3 is common, and rounding must not decide it.
    """
    return Fraction(repr(float(number)))


def known(value: float | None) -> float:
    """Return a value that the rules guarantee to be there."""
    if value is None:
        raise AssertionError("a value that must be there is not")
    return value


def closed_bars(bars: Sequence[Bar], length_ms: int, window_end_ms: int) -> list[Bar]:
    """Reads "A candle that opens at t is closed when t + timeframe ≤ W_end"; "at most the 1,500 most recent
    closed bars"."""
    return [bar for bar in bars if bar.time_ms + length_ms <= window_end_ms][-1500:]


def why_unusable(ltf: Sequence[Bar], htf: Sequence[Bar], window_end_ms: int) -> str:
    """Reads "fewer than 50 closed bars on either timeframe … `insufficient_history`; likewise `stale_candles`
    where the last LTF bar closed more than 30 minutes before W_end, or the last HTF bar more than 8 hours
    before"."""
    if len(ltf) < 50 or len(htf) < 50:
        return "insufficient_history"
    if window_end_ms - (ltf[-1].time_ms + LTF_MS) > 30 * MINUTE_MS:
        return "stale_candles"
    if window_end_ms - (htf[-1].time_ms + HTF_MS) > 8 * HOUR_MS:
        return "stale_candles"
    return ""
