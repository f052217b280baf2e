"""Markets whose 4h RSI moves between two lines and breaks out of them, as random walks rarely do."""

from __future__ import annotations

import math
import random

from .random_markets import Market, inputs, last_open_ms, ltf_beside
from .reference_inputs import HTF_MS, LTF_MS, Bar


def channel(rng: random.Random, count: int) -> list[float]:
    """Return RSI that swings between a falling and a rising line, and usually breaks out in the last bars."""
    top, bottom = rng.uniform(55.0, 80.0), rng.uniform(20.0, 45.0)
    top_slope, bottom_slope = -rng.uniform(0.0, 0.35), rng.uniform(0.0, 0.35)
    noise, phase, swing = rng.choice((0.0, 0.3, 1.0, 2.0)), rng.random(), rng.uniform(10.0, 16.0)
    breaks_at = count - rng.randint(1, 4) if rng.random() < 0.8 else count
    side = rng.choice((-1.0, 1.0))
    shift = rng.choice((0.0, 0.0, rng.uniform(-30.0, 30.0)))
    path = []
    for i in range(count):
        high, low = shift + top + top_slope * i, shift + bottom + bottom_slope * i
        value = (high + low) / 2.0 + abs(high - low) / 2.0 * math.sin(2.0 * math.pi * (i / swing + phase))
        if i >= breaks_at:
            value = (high if side > 0.0 else low) + side * rng.uniform(0.5, 12.0)
        path.append(min(90.0, max(10.0, value + rng.gauss(0.0, noise))))
    return path


def wedge(rng: random.Random, count: int) -> list[float]:
    """Return RSI that swings less and less until the lines have crossed, and is then beyond both."""
    steep, swing, phase = rng.uniform(0.2, 0.5), rng.uniform(11.0, 14.0), rng.random()
    apex = count - 1 - rng.choice((0, 0, 1, 2)) - rng.uniform(0.5, 4.0)
    path = []
    for i in range(count):
        reach = min(35.0, steep * max(0.0, apex - i))
        sine = 1.02 * math.sin(2.0 * math.pi * (i / swing + phase))
        path.append(50.0 + reach * max(-1.0, min(1.0, sine)) + rng.gauss(0.0, 0.05))
    return path


def closes_of(rng: random.Random, path: list[float]) -> list[float] | None:
    """Return closes whose RSI(14) follows the path from index 14 on, or None if they run out of bounds."""
    price = 10 ** rng.uniform(-6.0, 5.0)
    first = price
    closes = [price]
    for _ in range(14):
        closes.append(closes[-1] * (1.0 + rng.gauss(0.0, 0.01)))
    up = sum(max(closes[i] - closes[i - 1], 0.0) for i in range(1, 15)) / 14.0
    down = sum(max(closes[i - 1] - closes[i], 0.0) for i in range(1, 15)) / 14.0
    for target in path[15:]:
        ratio = target / (100.0 - target)
        rise = 13.0 * (ratio * down - up)
        change = rise if rise >= 0.0 else rise / ratio
        up, down = (13.0 * up + max(change, 0.0)) / 14.0, (13.0 * down + max(-change, 0.0)) / 14.0
        closes.append(closes[-1] + change)
        if not 0.2 * first < closes[-1] < 5.0 * first or up + down < 1e-5 * first:
            return None
    return closes


def wedge_market(seed: int, window_end_ms: int) -> Market:
    """Make one market with a path of RSI; the same seed makes the same market."""
    rng = random.Random(f"wedge {seed}")
    closes = None
    while closes is None:
        count = rng.choice((52, 60, 75, 90, 110, 130, 170, 210))
        path = wedge(rng, count) if rng.random() < 0.3 else channel(rng, count)
        closes = closes_of(rng, path)
    last_ms = last_open_ms(HTF_MS, window_end_ms)
    wick = rng.choice((0.0, 0.001, 0.005, 0.02))
    htf = []
    for i, close in enumerate(closes):
        before = closes[max(i - 1, 0)]
        high = max(before, close) * (1.0 + wick * abs(rng.gauss(0.0, 1.0)))
        low = min(before, close) * max(0.5, 1.0 - wick * abs(rng.gauss(0.0, 1.0)))
        htf.append(Bar(last_ms - (len(closes) - 1 - i) * HTF_MS, before, high, low, close, 1.0))
    ltf = ltf_beside(rng, htf, rng.choice((60, 130, 210)), last_open_ms(LTF_MS, window_end_ms))
    return Market(f"W{seed}USDT", ltf, htf, inputs(rng, window_end_ms))


def seesaw_market(seed: int, window_end_ms: int) -> Market:
    """Make a wedge market whose last 14 LTF bars retrace themselves: their OBV has a slope of 0 but for rounding."""
    rng = random.Random(f"seesaw {seed}")
    made = wedge_market(seed, window_end_ms)
    out = [rng.choice((-1, 0, 1)) for _ in range(6)]
    steps = [*(rng.choice((-1, 0, 1)) for _ in range(56)), *out, 0, *(-step for step in reversed(out))]
    volume = rng.choice((0.1, 0.3, 12.7, 1.0))
    first_ms = last_open_ms(LTF_MS, window_end_ms) - (len(steps) - 1) * LTF_MS
    tick = made.htf[-1].close / 1000.0
    ltf = []
    for i in range(len(steps)):
        level = 1000 - sum(steps[i + 1 :])
        before = level - steps[i]
        high, low = max(before, level), min(before, level)
        ltf.append(Bar(first_ms + i * LTF_MS, before * tick, high * tick, low * tick, level * tick, volume))
    return Market(f"B{seed}USDT", ltf, made.htf, made.inputs)
