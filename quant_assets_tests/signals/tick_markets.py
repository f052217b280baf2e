"""Markets on coarse price ticks, where many values are equal and thresholds are met exactly."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

from .random_markets import Market, inputs, last_open_ms
from .reference_inputs import HTF_MS, LTF_MS, Bar


def tick_walk(rng: random.Random, count: int, length_ms: int, last_ms: int) -> list[Bar]:
    """Return bars on coarse ticks with few sizes of volume, so that values are equal and thresholds are met."""
    tick = rng.choice(("1", "0.5", "0.1", "0.01", "0.0003", "0.00000001"))
    level, lowest = rng.randint(10, 120), 5
    sizes = rng.choice((("1",), ("0.1",), ("0.1", "0.3"), ("12.7", "0"), ("1", "2", "5")))
    restless, lean = rng.choice((0.05, 0.3, 0.7, 1.0)), rng.choice((-0.1, 0.0, 0.0, 0.1))
    bars: list[Bar] = []
    for i in range(count):
        before = level
        if rng.random() < restless:
            level = max(lowest, level + rng.choice((-1, 1, 1 if rng.random() < 0.5 + lean else -1)))
        high = max(before, level) + rng.choice((0, 0, 0, 1))
        low = min(before, level) - rng.choice((0, 0, 0, 1))
        opened, top, bottom, close = (float(Decimal(tick) * ticks) for ticks in (before, high, low, level))
        bars.append(Bar(last_ms - (count - 1 - i) * length_ms, opened, top, bottom, close, float(rng.choice(sizes))))
    return bars


def tick_market(seed: int, window_end_ms: int) -> Market:
    """Make one market on coarse price ticks; its open interest sometimes has only two values."""
    rng = random.Random(f"ticks {seed}")
    htf = tick_walk(rng, rng.choice((60, 130, 199, 200, 260)), HTF_MS, last_open_ms(HTF_MS, window_end_ms))
    ltf = tick_walk(rng, rng.choice((60, 130, 200, 260)), LTF_MS, last_open_ms(LTF_MS, window_end_ms))
    if rng.random() < 0.5:
        ltf = htf_like(rng, htf, window_end_ms)
    if rng.random() < 0.5:
        ltf = ltf_at(ltf, Decimal(repr(htf[-rng.randint(1, 3)].close)) * Decimal(rng.choice(("1.03", "0.97"))))
    if rng.random() < 0.1:
        ltf = [*(bar._replace(volume=1e10) for bar in ltf[:-1]), ltf[-1]._replace(volume=1e10 - rng.choice((1, 20)))]
    known = inputs(rng, window_end_ms)
    if rng.random() < 0.3:
        step, high = rng.choice(((1000.1, 1000.2), (5.0, 7.0), (0.1, 0.3))), rng.choice((1, 8, 8, 13))
        known = replace(known, oi_closes=[*[step[0]] * (26 - high), *[step[1]] * high], oi_closed_at_ms=window_end_ms)
    return Market(f"T{seed}USDT", ltf, htf, known)


def ltf_at(ltf: list[Bar], price: Decimal) -> list[Bar]:
    """Return LTF bars with another last close."""
    close = float(price)
    last = ltf[-1]
    return [*ltf[:-1], last._replace(high=max(last.high, close), low=min(last.low, close), close=close)]


def htf_like(rng: random.Random, htf: list[Bar], window_end_ms: int) -> list[Bar]:
    """Return LTF bars with the prices of the HTF bars but the last few, so that P is on the same ticks."""
    some = htf[: len(htf) - rng.randint(0, 4)]
    first = window_end_ms - len(some) * LTF_MS
    return [bar._replace(time_ms=first + i * LTF_MS) for i, bar in enumerate(some)]
