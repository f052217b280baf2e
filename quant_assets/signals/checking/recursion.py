"""Measure how far own indicators depend on where their history begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from quant_assets.signals.checking.finding import Finding, Kind
from quant_assets.signals.checking.look_ahead import Reference
from quant_assets.signals.own.series import own_series
from quant_assets.signals.strategy import Strategy

HISTORIES: Final = (200, 500, 1000)
"""Lengths of the histories that are compared with the longest one, in bars."""
MIN_LONGEST: Final = 1250
"""Minimum length of the longest history, which is 1,500 bars where a market has so many."""
SETTLED: Final = 1e-3
"""Maximum move of the last value from a history of 1,000 to one of 1,500 bars, as a share of the value."""

Moves = dict[str, dict[int, float | None]]
"""Indicator → bars of the history → largest move of its last value; None where it is unknown with so few."""


def moves_of(strategy: Strategy, references: Iterable[Reference]) -> tuple[Moves, list[Finding]]:
    """Return how far the last value moves from shorter histories to one of 1,500 bars, and what does not settle.

    A move is a share of the value, or of the 90th percentile of the series' changes where that is larger. A market
    counts for a timeframe if it has at least 1,250 bars of it.
    """
    moves: Moves = {}
    findings: list[Finding] = []
    for reference in references:
        for bars in sorted({*HISTORIES, min(strategy.look_back, HISTORIES[-1])}):
            shorter = {timeframe: frame.iloc[-bars:] for timeframe, frame in reference.bars.items()}
            try:
                found = own_series(strategy, shorter)
            except Exception as error:  # noqa: BLE001 - a strategy may raise anything
                raised = f"raises {type(error).__name__} on the last {bars} bars ({error})"
                findings.append(Finding(Kind.ERROR, "", reference.name, "", None, raised))
                continue
            for timeframe, name, longest in _last_values(reference):
                value = found.get(timeframe, {}).get(name)
                label = f"{name} ({timeframe})"
                move = None
                if value is not None and not np.isnan(value[-1]):
                    move = abs(float(value[-1]) - longest) / (max(abs(longest), reference.scales[name]) or 1.0)
                known = moves.setdefault(label, {})
                before = known.get(bars, 0.0)
                known[bars] = None if move is None or before is None else max(before, move)
                findings += _findings(strategy, reference, label, bars, move)
    return moves, findings


def _last_values(reference: Reference) -> Iterator[tuple[str, str, float]]:
    for timeframe, by_name in reference.series.items():
        if len(reference.bars[timeframe]) >= MIN_LONGEST:
            for name, values in by_name.items():
                if not np.isnan(values[-1]):
                    yield timeframe, name, float(values[-1])


def _findings(strategy: Strategy, reference: Reference, label: str, bars: int, move: float | None) -> Iterator[Finding]:
    if bars == HISTORIES[-1] and (move is None or move > SETTLED):
        text = (
            "moves its last value between histories of 1,000 and 1,500 bars" if move else "needs more than 1,000 bars"
        )
        yield Finding(Kind.RECURSION, label, reference.name, "", move, text)
    elif bars == strategy.look_back and move is None:
        text = f"is unknown with look_back = {bars} bars, and known with 1,500"
        yield Finding(Kind.RECURSION, label, reference.name, "", None, text)
