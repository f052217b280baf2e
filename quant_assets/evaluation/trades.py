"""From setups to trades: which setups are traded, and how each trade went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.exits import Bools, Orders, Outcome
from quant_assets.evaluation.grouping import keys_of
from quant_assets.evaluation.price_bars import STEP, Ints
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.results import Results
from quant_assets.signals.sides import LONG, SHORT, SIGN
from quant_assets.signals.strategy import Strategy

MINUTE_MS: Final = 60_000
#: The columns of what has one trade at a time: a strategy in a market.
TRADER: Final = ("strategy", "exchange", "symbol")
#: The exit of a trade that has not ended.
NEVER_MS: Final = np.iinfo(np.int64).max


class Reason(StrEnum):
    """Why a setup could not be entered. Members equal their plain strings."""

    NO_BAR = "no_bar"
    """No bar opens at the end of the setup's window."""
    GAPPED = "gapped"
    """The bar does not open between stop and target."""
    STOP_TOO_CLOSE = "stop_too_close"
    """The bar opens closer to the stop than half of the strategy's `min_stop_pct`."""


@dataclass(frozen=True, slots=True)
class TradeRules:
    """How a strategy's setups are traded."""

    max_holding_ms: int
    """The time limit, counted from the end of the setup's window."""
    min_stop_pct: float
    """The strategy's minimum distance of the stop in percent of the price; half of it is required at the entry."""

    @classmethod
    def of(cls, strategy: Strategy) -> TradeRules:
        """Return the rules of a strategy with its parameters in force."""
        return cls(strategy.max_holding_minutes * MINUTE_MS, strategy.min_stop_pct)


def follow_setups(setups: pd.DataFrame, prices: Prices, rules: Mapping[str, TradeRules]) -> pd.DataFrame:
    """Return the trades of setups: one row for each setup that is traded, with how it went.

    `setups` has a row for each setup: strategy, exchange, symbol, end_ms (end of its window, epoch ms), side, stop,
    target, and other columns, which the trades keep. `rules` has an entry for each strategy. The first window of an
    episode opens a trade at the open of the bar that opens at its end, unless an earlier trade of the same strategy
    and market is open then. A market without bars has no trades.

    The trades are sorted by strategy, exchange, symbol and time, and have the columns that `follow_each` adds.
    """
    ordered = setups.sort_values([*TRADER, "end_ms"], kind="stable", ignore_index=True)
    begins = first_windows(trader_of(ordered), ordered["end_ms"].to_numpy(np.int64), ordered["side"].to_numpy(str))
    trades = follow_each(with_rules(ordered[begins].reset_index(drop=True), rules), prices)
    return trades[one_at_a_time(trades)].drop(columns="min_stop_pct").reset_index(drop=True)


def with_rules(setups: pd.DataFrame, rules: Mapping[str, TradeRules]) -> pd.DataFrame:
    """Return setups with deadline_ms (end of the window plus the time limit) and min_stop_pct of their strategies."""
    names = setups["strategy"].astype(str)
    limit_ms = np.array([rules[name].max_holding_ms for name in names], dtype=np.int64)
    min_stop_pct = np.array([rules[name].min_stop_pct for name in names], dtype=np.float64)
    return setups.assign(deadline_ms=setups["end_ms"].to_numpy(np.int64) + limit_ms, min_stop_pct=min_stop_pct)


def trader_of(table: pd.DataFrame, names: Sequence[str] = TRADER) -> Ints:
    """Return a number for each row that rows with the same values of these columns share."""
    numbers: dict[tuple[Any, ...], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys_of(table, names)], dtype=np.int64)


def first_windows(trader: Ints, end_ms: Ints, side: npt.NDArray[np.str_]) -> Bools:
    """Return which setups begin an episode: windows in direct succession with a setup on the same side.

    `trader` is the strategy and market of each setup, `end_ms` the end of its window, increasing for each trader.
    """
    begins = np.ones(len(end_ms), dtype=bool)
    begins[1:] = (np.diff(trader) != 0) | (np.diff(end_ms) != STEP) | (side[1:] != side[:-1])
    return begins


def follow_each(setups: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Return what became of each setup if it was traded, whatever else was open; the rows are those of `setups`.

    `setups` has the columns of `with_rules`. Rows of markets without bars are left out. The columns besides are
    entry_ms, entry, exit_ms, exit, outcome (see `Outcome`), reason (see `Reason`; "" if the trade was entered),
    ambiguous (stop and target in one bar), mature (the time limit has passed in the data), bars_held, gross_r, net_r,
    funding_known, mfe_r, mae_r. Prices and results are NaN, and exit_ms is 0, where there is none.
    """
    market = prices.numbers_of(setups)
    setups, market = setups[market >= 0].reset_index(drop=True), market[market >= 0]
    count, bars = len(setups), prices.bars
    entry_ms, side = setups["end_ms"].to_numpy(np.int64), setups["side"].to_numpy(str)
    stop, target = (setups[name].to_numpy(np.float64) for name in ("stop", "target"))
    deadline_ms = setups["deadline_ms"].to_numpy(np.int64)
    at = bars.find(market, entry_ms)
    has_bar = at < bars.end[market]  # the others are pending
    at = np.where(has_bar, at, bars.begin[market])
    entry = bars.bars.open[at]
    reason = np.select(
        [
            ~has_bar,
            bars.bars.time_ms[at] != entry_ms,
            ~((np.minimum(stop, target) < entry) & (entry < np.maximum(stop, target))),
            np.abs(entry - stop) < setups["min_stop_pct"].to_numpy(np.float64) / 200.0 * entry,
        ],
        ["", Reason.NO_BAR.value, Reason.GAPPED.value, Reason.STOP_TOO_CLOSE.value],
        "",
    )
    is_entered = has_bar & (reason == "")
    outcome = np.where(has_bar, Outcome.NO_ENTRY.value, Outcome.PENDING.value).astype("U8")
    exit_ms, bars_held = np.zeros(count, np.int64), np.zeros(count, np.int64)
    exit_price, ambiguous = np.full(count, np.nan), np.zeros(count, bool)
    found = {item.name: np.full(count, np.nan) for item in fields(Results)}
    for of_side in (LONG, SHORT):
        rows = np.flatnonzero(is_entered & (side == of_side))
        orders = Orders(SIGN[of_side], market, entry_ms, entry, stop, target, deadline_ms).part(rows)
        exits, result = prices.follow(orders)
        exit_ms[rows], exit_price[rows], outcome[rows] = exits.exit_ms, exits.exit, exits.outcome
        ambiguous[rows], bars_held[rows] = exits.is_ambiguous, exits.bars_held
        for name, column in found.items():
            column[rows] = getattr(result, name)
    return setups.assign(
        entry_ms=entry_ms,
        entry=np.where(is_entered, entry, np.nan),
        exit_ms=exit_ms,
        exit=exit_price,
        outcome=pd.array(outcome, dtype="str"),
        reason=pd.array(reason, dtype="str"),
        ambiguous=ambiguous,
        mature=deadline_ms <= bars.end_ms(market),
        bars_held=bars_held,
        **found,
    )


def one_at_a_time(trades: pd.DataFrame, names: Sequence[str] = TRADER, others: pd.DataFrame | None = None) -> Bools:
    """Return which trades are made if there is one trade at a time for the same values of the columns `names`.

    `trades` has the columns of `follow_each`. `others` are made already: what would be open while one of them begins,
    or begins while one is open, is not made.
    """
    columns = [*names, "entry_ms", "exit_ms", "outcome"]
    made = trades.iloc[:0] if others is None else others
    both = pd.concat([made[columns], trades[columns]], ignore_index=True) if len(made) else trades[columns]
    trader, entry_ms, free_ms = trader_of(both, names), both["entry_ms"].to_numpy(np.int64), frees_ms(both)
    order = np.lexsort((entry_ms, trader))
    is_given = np.arange(len(both)) < len(made)
    # The next given trade of each one's trader.
    next_ms, following, last = np.full(len(both), NEVER_MS), NEVER_MS, -1
    for row in order[::-1] if len(made) else ():
        following, last = (following if trader[row] == last else NEVER_MS), trader[row]
        next_ms[row] = following
        following = entry_ms[row] if is_given[row] else following
    is_made, until_ms, last = is_given.copy(), 0, -1
    for row in order:
        until_ms, last = (until_ms if trader[row] == last else 0), trader[row]
        if is_given[row]:
            until_ms = max(until_ms, int(free_ms[row]))
        elif entry_ms[row] >= until_ms and free_ms[row] <= next_ms[row]:
            is_made[row], until_ms = True, int(free_ms[row])
    return is_made[len(made) :]


def frees_ms(trades: pd.DataFrame) -> Ints:
    """Return when each trade leaves its market free for the next one, epoch ms; NEVER_MS if it has not ended."""
    outcome = trades["outcome"].to_numpy(str)
    is_left = np.isin(outcome, [Outcome.PENDING.value, Outcome.OPEN.value])
    free_ms = np.where(is_left, NEVER_MS, trades["exit_ms"].to_numpy(np.int64))
    return np.where(outcome == Outcome.NO_ENTRY.value, 0, free_ms).astype(np.int64)
