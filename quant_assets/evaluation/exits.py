"""When and at which price trades end."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from quant_assets.evaluation.price_bars import MAX_GAP_MS, STEP, Floats, Ints, JoinedBars

Bools = npt.NDArray[np.bool_]

#: Trades followed at once; each takes a row of bars in memory.
BATCH: Final = 1_024


class Outcome(StrEnum):
    """How a trade ended, or that it has not. Members equal their plain strings."""

    TARGET = "target"
    STOP = "stop"
    EXPIRED = "expired"
    """The time limit was reached first."""
    OPEN = "open"
    """It has not ended yet."""
    PENDING = "pending"
    """The bar of its entry does not exist yet."""
    LOST = "lost"
    """The market's bars stopped, or have a gap of more than 8 hours: there is no result."""
    NO_ENTRY = "no_entry"
    """It could not be entered."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Entered trades of one side, each at the open of a bar of its market; the arrays have the same length."""

    sign: float
    """+1 for LONG, −1 for SHORT."""
    market: Ints
    """Number of the market in the bars."""
    entry_ms: Ints
    """The opening of the bar of the entry."""
    entry: Floats
    stop: Floats
    target: Floats
    deadline_ms: Ints
    """The end of the setup's window plus the time limit."""

    def part(self, rows: Ints | slice) -> Orders:
        """Return some of the orders."""
        names = [field.name for field in fields(self) if field.name != "sign"]
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def batches(self) -> list[Orders]:
        """Return the orders in parts of at most BATCH, in their order."""
        return [self.part(slice(start, start + BATCH)) for start in range(0, max(len(self.market), 1), BATCH)]


@dataclass(frozen=True, slots=True)
class Exits:
    """The end of each trade; all arrays have the same length."""

    outcome: npt.NDArray[np.str_]
    """Values of Outcome."""
    exit: Floats
    """Price; the market's last close if the trade is open, NaN if it is lost."""
    exit_ms: Ints
    """The opening of the bar for an exit at its open, else its close."""
    is_ambiguous: Bools
    """Whether the bar that reached the stop also reached the target."""
    bars_held: Ints
    """Bars from the entry bar to the last one in which the trade was open."""
    best: Floats
    """The price furthest in favour of the trade while it was open; in the exit bar none beyond stop and target."""
    worst: Floats
    """The price furthest against it."""


def follow(joined: JoinedBars, orders: Orders, newest_close_ms: Ints) -> Exits:
    """Follow each trade from the open of its entry bar to its end.

    Bar by bar, the first of these ends it: the bar opens more than 8 hours after the bar before (lost); it opens at or
    after the deadline (expired, at its open); it opens at or beyond the stop, or the target (at its open); it reaches
    the stop (at the stop), or the target (at the target). A trade that is left after the last bar is expired if its
    deadline has come, lost if the exchange's newest bar closed more than 8 hours later, else open. `newest_close_ms` is
    that of the exchange of each market.
    """
    parts = [_follow(joined, batch, newest_close_ms) for batch in orders.batches()]
    return Exits(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Exits)))


def _follow(joined: JoinedBars, orders: Orders, newest_close_ms: Ints) -> Exits:
    # A SHORT is followed on bars turned upside down, so that every trade gains from rising prices.
    bars, sign = joined.bars, orders.sign
    highs, lows = (bars.high, bars.low) if sign > 0 else (bars.low, bars.high)
    entry, stop, target = sign * orders.entry, sign * orders.stop, sign * orders.target

    first, size = joined.find(orders.market, orders.entry_ms), joined.end[orders.market]
    gap_bar = np.minimum(np.append(joined.gaps, len(bars.time_ms))[joined.gaps.searchsorted(first)], size)
    deadline_bar = joined.find(orders.market, orders.deadline_ms)
    end = np.minimum(gap_bar, deadline_bar)  # bars from here on are not held
    bar = first[:, None] + np.arange(int((end - first).max(initial=1)))
    is_held = bar < end[:, None]
    bar = np.minimum(bar, len(bars.time_ms) - 1)
    high, low = sign * highs[bar], sign * lows[bar]
    reaches = is_held & ((low <= stop[:, None]) | (high >= target[:, None]))
    is_hit = reaches.any(axis=1)
    at = np.where(is_hit, first + reaches.argmax(axis=1), np.minimum(end, size - 1))
    open_at = sign * bars.open[at]

    is_cut_off = ~is_hit & (end == gap_bar) & (end < size)
    is_expired = ~is_hit & ~is_cut_off & (end < size)
    is_left = ~is_hit & (end == size)
    stops_at_open = is_hit & (open_at <= stop)
    targets_at_open = is_hit & (open_at >= target)
    is_at_open = is_cut_off | is_expired | stops_at_open | targets_at_open
    is_stopped = is_hit & ~is_at_open & (sign * lows[at] <= stop)
    end_ms = joined.end_ms(orders.market)
    expires_last = is_left & (orders.deadline_ms <= end_ms)
    is_gone = is_left & ~expires_last & (newest_close_ms[orders.market] - end_ms > MAX_GAP_MS)
    outcome = np.select(
        [is_cut_off | is_gone, is_expired | expires_last, stops_at_open | is_stopped, is_hit],
        [Outcome.LOST.value, Outcome.EXPIRED.value, Outcome.STOP.value, Outcome.TARGET.value],
        Outcome.OPEN.value,
    )
    price = np.select(
        [is_cut_off | is_gone, is_at_open, is_stopped, is_hit],
        [np.full(len(first), np.nan), open_at, stop, target],
        sign * bars.close[size - 1],
    )

    held_until = np.where(is_at_open, at, at + 1)
    is_held, is_exit = bar < held_until[:, None], bar == at[:, None]
    high = np.where(is_exit, np.minimum(high, target[:, None]), high)
    low = np.where(is_exit, np.maximum(low, stop[:, None]), low)
    at_exit = np.where(is_at_open, price, np.nan)
    best = np.fmax(np.where(is_held, high, -np.inf).max(axis=1), at_exit)
    worst = np.fmin(np.where(is_held, low, np.inf).min(axis=1), at_exit)
    return Exits(
        outcome=outcome,
        exit=sign * price,
        exit_ms=bars.time_ms[at] + np.where(is_at_open, 0, STEP),
        is_ambiguous=is_stopped & (sign * highs[at] >= target),
        bars_held=held_until - first,
        best=sign * np.fmax(best, entry),
        worst=sign * np.fmin(worst, entry),
    )
