"""One trade followed bar by bar, as the rules read: the definition that the product's columns are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets_tests.evaluation.markets import Bar

MINUTE = 60_000
BAR = 15 * MINUTE
GAP = 8 * 60 * MINUTE


@dataclass
class Trade:
    outcome: str
    reason: str = ""
    entry: float = float("nan")
    exit: float = float("nan")
    exit_ms: int = 0
    ambiguous: bool = False
    bars_held: int = 0
    best: float = float("nan")
    worst: float = float("nan")


def follow_one(
    bars: list[Bar],
    window_end: int,
    d: int,
    stop: float,
    target: float,
    limit_ms: int,
    min_stop_pct: float,
    newest: int,
) -> Trade:
    """Follow the setup of one window; `newest` is the close of the newest bar of the exchange."""
    later = [number for number, bar in enumerate(bars) if bar.time >= window_end]
    if not later:
        return Trade("pending")
    first = later[0]
    if bars[first].time != window_end:
        return Trade("no_entry", "no_bar")
    entry = bars[first].open
    if not d * stop < d * entry < d * target:
        return Trade("no_entry", "gapped")
    if abs(entry - stop) < min_stop_pct / 2 / 100 * entry:
        return Trade("no_entry", "stop_too_close")
    best = worst = entry
    for number in range(first, len(bars)):
        bar = bars[number]
        held = number - first
        favourable, adverse = (bar.high, bar.low) if d > 0 else (bar.low, bar.high)
        if number > 0 and bar.time - bars[number - 1].time > GAP:
            return Trade("lost", "", entry, float("nan"), bar.time, False, held, best, worst)
        at_open = ""
        if bar.time >= window_end + limit_ms:
            at_open = "expired"
        elif d * bar.open <= d * stop:
            at_open = "stop"
        elif d * bar.open >= d * target:
            at_open = "target"
        if at_open:
            best, worst = d * max(d * best, d * bar.open), d * min(d * worst, d * bar.open)
            return Trade(at_open, "", entry, bar.open, bar.time, False, held, best, worst)
        best = d * max(d * best, min(d * favourable, d * target))
        worst = d * min(d * worst, max(d * adverse, d * stop))
        if d * adverse <= d * stop:
            both = d * favourable >= d * target
            return Trade("stop", "", entry, stop, bar.time + BAR, both, held + 1, best, worst)
        if d * favourable >= d * target:
            return Trade("target", "", entry, target, bar.time + BAR, False, held + 1, best, worst)
    last = bars[-1]
    end = last.time + BAR
    held = len(bars) - first
    if window_end + limit_ms <= end:
        return Trade("expired", "", entry, last.close, end, False, held, best, worst)
    if newest - end > GAP:
        return Trade("lost", "", entry, float("nan"), end, False, held, best, worst)
    return Trade("open", "", entry, last.close, end, False, held, best, worst)
