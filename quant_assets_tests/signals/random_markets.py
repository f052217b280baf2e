"""Markets from seeded random walks, with gaps, wicks, flat stretches, stale bars and missing derivatives."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .reference_inputs import HTF_MS, LTF_MS, MINUTE_MS, Bar, Inputs

HISTORIES = (50, 51, 55, 64, 90, 120, 150, 199, 200, 201, 260, 260, 320, 400, 700)


@dataclass(frozen=True)
class Market:
    """Inputs of the reference for one market; some of its bars may close after the window's end."""

    symbol: str
    ltf: list[Bar]
    htf: list[Bar]
    inputs: Inputs


def last_open_ms(length_ms: int, window_end_ms: int) -> int:
    """Return the opening time of the last bar that is closed by the window's end."""
    return window_end_ms // length_ms * length_ms - length_ms


def walk(rng: random.Random, count: int, price: float, length_ms: int, last_ms: int) -> list[Bar]:
    """Return bars of one timeframe, the last opening at `last_ms`, with trends, ranges and flat stretches."""
    bars: list[Bar] = []
    volatility = 10 ** rng.uniform(-3.3, -1.4)
    digits = rng.choice((16, 16, 16, 5, 3))
    kind, left, drift, centre = "walk", 0, 0.0, price
    for i in range(count):
        if left == 0:
            kind = rng.choice(("walk", "trend", "trend", "range", "flat" if rng.random() < 0.3 else "walk"))
            left = rng.randint(8, 70)
            drift, centre = rng.choice((-1, 1)) * rng.uniform(0.1, 0.8) * volatility, price
        left -= 1
        before = price
        if kind != "flat":
            pull = 0.2 * (centre / price - 1.0) if kind == "range" else drift if kind == "trend" else 0.0
            jump = rng.gauss(0.0, 6.0) if rng.random() < 0.01 else 0.0
            price *= max(0.2, 1.0 + pull + volatility * (rng.gauss(0.0, 1.0) + jump))
            price = float(f"{price:.{digits}g}")
        wick = 0.0 if kind == "flat" else volatility
        high = max(before, price) * (1.0 + wick * abs(rng.gauss(0.0, 0.5)))
        low = min(before, price) * max(0.3, 1.0 - wick * abs(rng.gauss(0.0, 0.5)))
        volume = 0.0 if rng.random() < 0.02 else round(10 ** rng.uniform(1.0, 4.0) * (1.0 + 3.0 * (kind == "trend")), 3)
        bars.append(Bar(last_ms - (count - 1 - i) * length_ms, before, high, low, price, volume))
    return bars


def rescaled(bars: list[Bar], factor: float) -> list[Bar]:
    """Return the same bars in another unit of price, rounded to six digits as quoted prices are."""

    def price(old: float) -> float:
        return float(f"{old * factor:.6g}")

    return [
        Bar(bar.time_ms, price(bar.open), price(bar.high), price(bar.low), price(bar.close), bar.volume) for bar in bars
    ]


def ltf_beside(rng: random.Random, htf: list[Bar], count: int, last_ms: int) -> list[Bar]:
    """Return LTF bars that end at about the last HTF close."""
    ltf = walk(rng, count, htf[-1].close, LTF_MS, last_ms)
    apart = rng.choice((0.0, 0.0, 0.003, 0.01, 0.03))
    return rescaled(ltf, htf[-1].close * (1.0 + rng.gauss(0.0, apart)) / ltf[-1].close)


def with_wicks(rng: random.Random, bars: list[Bar], last: int, count: int) -> list[Bar]:
    """Give some of the last bars wicks that go far beyond every other price, up or down; closes stay."""
    bars = list(bars)
    for i in rng.sample(range(len(bars) - last, len(bars)), count):
        bar = bars[i]
        if rng.random() < 0.5:
            bars[i] = bar._replace(high=bar.high * rng.uniform(1.02, 2.2))
        else:
            bars[i] = bar._replace(low=bar.low * rng.uniform(0.02, 0.98))
    return bars


def with_gaps(rng: random.Random, bars: list[Bar]) -> list[Bar]:
    """Leave out a few bars inside, never the last three."""
    gone = {rng.randrange(len(bars) - 3) for _ in range(rng.choice((1, 3, 8)))}
    return [bar for i, bar in enumerate(bars) if i not in gone]


def inputs(rng: random.Random, window_end_ms: int) -> Inputs:
    """Return derivative inputs: usually valid, sometimes missing, old, flat, too few or invalid."""
    count = rng.choice((0, 5, 13, 14, 29, 30, 31, 96, 96, 96, 96))
    level = 10 ** rng.uniform(0.0, 9.0)
    closes = [level]
    for _ in range(count - 1):
        closes.append(closes[-1] * (1.0 + rng.gauss(0.0, 0.005)))
    if rng.random() < 0.4:
        closes[-1] = max(closes) * rng.uniform(1.0, 1.03)
    if rng.random() < 0.08:
        closes = [level] * count
    closes = closes[:count]
    age_minutes = rng.choice((0, 0, 0, 0, 15, 30, 105, 120, 135, 600))
    known_since = None if not closes or rng.random() < 0.05 else window_end_ms - age_minutes * MINUTE_MS
    funding = rng.choice((None, 0.0, 0.01, -0.01, 0.05, rng.gauss(0.0, 0.05), rng.gauss(0.0, 0.3)))
    ratio = rng.choice((None, 1.0, 2.0, 0.5, 0.0, -1.0, 10 ** rng.gauss(0.0, 0.2), 10 ** rng.gauss(0.0, 0.2)))
    liquidations = None
    if rng.random() < 0.7:
        keys = ("longs_1h", "shorts_1h", "longs_24h", "shorts_24h")
        liquidations = {key: round(10 ** rng.uniform(-1.0, 5.0), 2) for key in keys}
    status = rng.choice(("resolved", "resolved", "aggregated", "aggregated", "neutral"))
    hours = random.Random(repr(funding)).choice((None, 1.0, 4.0, 8.0))
    return Inputs(closes, known_since, status, funding, hours, ratio, liquidations)


def market(seed: int, window_end_ms: int) -> Market:
    """Make one market as of a window's end; the same seed makes the same market."""
    rng = random.Random(seed)
    ltf_last, htf_last = last_open_ms(LTF_MS, window_end_ms), last_open_ms(HTF_MS, window_end_ms)
    state = rng.random()
    if state < 0.06:
        ltf_last -= rng.choice((4, 5, 8)) * LTF_MS
    elif state < 0.12:
        htf_last -= rng.choice((1, 2, 3)) * HTF_MS
    ltf_count, htf_count = rng.choice(HISTORIES), rng.choice(HISTORIES)
    if rng.random() < 0.04:
        ltf_count, htf_count = rng.choice(((49, 200), (200, 49), (10, 10), (2, 60), (50, 30)))
    if rng.random() < 0.01:
        ltf_count = htf_count = 1600
    htf = walk(rng, htf_count, 10 ** rng.uniform(-8.0, 5.0), HTF_MS, htf_last)
    ltf = ltf_beside(rng, htf, ltf_count, ltf_last)
    if ltf_count >= 50 and rng.random() < 0.15:
        ltf = with_wicks(rng, ltf, 10, 5)
    if rng.random() < 0.2:
        htf = with_wicks(rng, htf, 2, 1)
    if ltf_count >= 60 and rng.random() < 0.2:
        ltf = with_gaps(rng, ltf)
    if htf_count >= 60 and rng.random() < 0.2:
        htf = with_gaps(rng, htf)
    if rng.random() < 0.5:
        ltf = [*ltf, *open_bars(rng, ltf, LTF_MS, window_end_ms)]
        htf = [*htf, *open_bars(rng, htf, HTF_MS, window_end_ms)]
    return Market(f"S{seed}USDT", ltf, htf, inputs(rng, window_end_ms))


def open_bars(rng: random.Random, bars: list[Bar], length_ms: int, window_end_ms: int) -> list[Bar]:
    """Return bars that close after the window's end, at prices that would change every result."""
    first = window_end_ms // length_ms * length_ms
    price = bars[-1].close * rng.choice((0.3, 3.0))
    return [Bar(first + i * length_ms, price, price * 1.5, price / 2.0, price, 1e7) for i in range(rng.randint(1, 3))]
