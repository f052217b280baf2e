"""RSI trendlines and breakouts as columns of the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from quant_assets.signals.features.bars import Bars, Columns, Floats, Ints
from quant_assets.signals.features.indicators import tails, wilder_averages
from quant_assets.signals.features.trendlines import (
    LOOKBACK_BARS,
    NO_LINE,
    Lines,
    TrendLine,
    draw_lines,
    find_breakouts,
    reverse_rsi_price,
)
from quant_assets.signals.features.triggers import Trigger, describe_trigger
from quant_assets.signals.sides import LONG, SHORT


def trendline_features(histories: Sequence[Bars], rsi: Sequence[Floats], atr: Sequence[Floats]) -> Columns:
    """Return the columns `resistance_*`, `support_*` and `trigger_*` of `Features`, one element per market.

    `histories` are the HTF bars of each market, `rsi` and `atr` the indicators over all of them; NaN is unknown.
    """
    recent, bars = tails(rsi, LOOKBACK_BARS), np.array([len(history) for history in histories])
    lines = draw_lines(recent, bars)
    resistances, supports = lines.best(0, 2 * len(histories)).reshape(2, -1)
    averages = np.full((2, len(histories)), np.nan)
    (with_line,) = ((resistances != NO_LINE) | (supports != NO_LINE)).nonzero()
    averages[:, with_line] = wilder_averages([histories[market].close for market in with_line.tolist()])
    return {
        **_line_columns("resistance_", 1.0, lines, resistances, recent, histories, averages),
        **_line_columns("support_", -1.0, lines, supports, recent, histories, averages),
        **_trigger_columns(lines, recent, bars, histories, rsi, atr),
    }


def _line_columns(
    prefix: str, sign: float, lines: Lines, best: Ints, recent: Floats, histories: Sequence[Bars], averages: Floats
) -> Columns:
    """Return the columns of a `TrendLine` for the best line of each market; `sign` is −1.0 for supports."""
    rises, falls = averages
    (market,) = (best != NO_LINE).nonzero()
    line = best[market]
    bars, start, end = lines.bars[line], lines.start[line], lines.end[line]
    offset = bars - LOOKBACK_BARS
    owners = [histories[place] for place in market.tolist()]
    close = np.array([owner.close[-1] for owner in owners], dtype=np.float64)
    found = {
        "start_index": start,
        "start_rsi": recent[market, start - offset],
        "start_ms": [owner.time_ms[index] for owner, index in zip(owners, start.tolist(), strict=True)],
        "end_index": end,
        "end_rsi": recent[market, end - offset],
        "end_ms": [owner.time_ms[index] for owner, index in zip(owners, end.tolist(), strict=True)],
        "slope": sign * lines.slope[line],
        "intercept": sign * lines.intercept[line],
        "touches": lines.touches[0, line],
        "at_last_bar": sign * lines.at(line, bars - 1),
        "reverse_price": reverse_rsi_price(close, rises[market], falls[market], sign * lines.at(line, bars)),
    }
    columns = {}
    for field in fields(TrendLine):
        column = np.full(len(histories), np.nan)
        column[market] = found[field.name]
        columns[prefix + field.name] = column
    return columns


def _trigger_columns(
    lines: Lines, recent: Floats, bars: Ints, histories: Sequence[Bars], rsi: Sequence[Floats], atr: Sequence[Floats]
) -> Columns:
    """Return the columns of a `Trigger`, known for markets with a breakout."""
    names = [field.name for field in fields(Trigger)]
    columns: Columns = {"trigger_" + name: np.full(len(histories), np.nan) for name in names}
    columns["trigger_side"] = np.full(len(histories), "", dtype="<U5")
    broken = find_breakouts(recent, bars, lines)
    for market in (broken.line != NO_LINE).nonzero()[0].tolist():
        line, ago = int(broken.line[market]), int(broken.ago[market])
        side = LONG if lines.side[line] < len(histories) else SHORT
        strength = float(broken.strength[market])
        trigger = describe_trigger(lines, line, side, ago, strength, histories[market], rsi[market], atr[market])
        for name in names:
            columns["trigger_" + name][market] = getattr(trigger, name)
    return columns
