"""From setups to trades: which setups are traded, and how each trade went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.evaluation.exits import Bools, Orders, Outcome
from quant_assets.evaluation.grouping import groups
from quant_assets.evaluation.price_bars import STEP, Ints, Market, PriceBars
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.results import Results
from quant_assets.signals.sides import LONG, SHORT, SIGN
from quant_assets.signals.strategy import Strategy

MINUTE_MS: Final = 60_000
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

    The trades are sorted by strategy, exchange, symbol and time, and have besides: entry_ms, entry, exit_ms, exit,
    outcome (see `Outcome`), reason (see `Reason`; "" if the trade was entered), ambiguous (stop and target in one
    bar), mature (the time limit has passed in the data), bars_held, gross_r, net_r, funding_known, mfe_r, mae_r.
    Prices and results are NaN, and exit_ms is 0, where there is none.
    """
    ordered = setups.sort_values(["strategy", "exchange", "symbol", "end_ms"], kind="stable", ignore_index=True)
    book = _Book(ordered, prices)
    for (strategy, exchange, symbol), rows in groups(ordered, ["strategy", "exchange", "symbol"]):
        if (exchange, symbol) in prices.bars:
            book.trade(rows, (exchange, symbol), rules[strategy])
    return book.trades()


def first_windows(end_ms: Ints, side: npt.NDArray[np.str_]) -> Bools:
    """Return which setups begin an episode: windows in direct succession with a setup on the same side.

    `end_ms` are the ends of the windows in which one strategy gives one market a setup, increasing; `side` its sides.
    """
    begins = np.ones(len(end_ms), dtype=bool)
    begins[1:] = (np.diff(end_ms) != STEP) | (side[1:] != side[:-1])
    return begins


class _Book:
    """The trades of a table of setups, filled in market by market; each array has an element for each setup."""

    def __init__(self, setups: pd.DataFrame, prices: Prices) -> None:
        count = len(setups)
        self._setups, self._prices = setups, prices
        self._side = setups["side"].to_numpy(str)
        self._stop, self._target = (setups[name].to_numpy(np.float64) for name in ("stop", "target"))
        self._is_traded = np.zeros(count, bool)
        self.entry_ms = setups["end_ms"].to_numpy(np.int64)
        self.entry = np.full(count, np.nan)
        self.exit_ms = np.zeros(count, np.int64)
        self.exit = np.full(count, np.nan)
        self.outcome = np.full(count, Outcome.PENDING.value, "U8")
        self.reason = np.full(count, "", "U16")
        self.ambiguous = np.zeros(count, bool)
        self.mature = np.zeros(count, bool)
        self.bars_held = np.zeros(count, np.int64)
        self.results = {item.name: np.full(count, np.nan) for item in fields(Results)}

    def trade(self, rows: Ints, market: Market, rules: TradeRules) -> None:
        """Trade the setups in these rows: those of one strategy and market, the oldest first."""
        bars = self._prices.bars[market]
        rows = rows[first_windows(self.entry_ms[rows], self._side[rows])]
        deadline_ms = self.entry_ms[rows] + rules.max_holding_ms
        self.mature[rows] = deadline_ms <= bars.end_ms
        entry_bar = bars.time_ms.searchsorted(self.entry_ms[rows])
        is_entered = self._enter(rows, entry_bar, bars, rules)
        for side in (LONG, SHORT):
            chosen = is_entered & (self._side[rows] == side)
            if chosen.any():
                at = rows[chosen]
                orders = Orders(
                    SIGN[side], entry_bar[chosen], self.entry[at], self._stop[at], self._target[at], deadline_ms[chosen]
                )
                self._follow(at, orders, market)
        free_ms = 0
        for row in rows:
            if self.entry_ms[row] >= free_ms:
                self._is_traded[row] = True
                free_ms = self._free_ms(row)

    def _enter(self, rows: Ints, entry_bar: Ints, bars: PriceBars, rules: TradeRules) -> Bools:
        """Fill in entries, and reasons for those that there are not; return which setups are entered."""
        has_bar = entry_bar < len(bars.time_ms)  # the others are pending
        at = np.minimum(entry_bar, len(bars.time_ms) - 1)
        entry, stop, target = bars.open[at], self._stop[rows], self._target[rows]
        is_between = (np.minimum(stop, target) < entry) & (entry < np.maximum(stop, target))
        self.reason[rows] = np.select(
            [
                ~has_bar,
                bars.time_ms[at] != self.entry_ms[rows],
                ~is_between,
                np.abs(entry - stop) < rules.min_stop_pct / 200.0 * entry,
            ],
            ["", Reason.NO_BAR.value, Reason.GAPPED.value, Reason.STOP_TOO_CLOSE.value],
            "",
        )
        is_entered: Bools = has_bar & (self.reason[rows] == "")
        self.outcome[rows[has_bar & ~is_entered]] = Outcome.NO_ENTRY.value
        self.entry[rows[is_entered]] = entry[is_entered]
        return is_entered

    def _follow(self, rows: Ints, orders: Orders, market: Market) -> None:
        exits, found = self._prices.follow(market, orders, self.entry_ms[rows])
        self.exit_ms[rows], self.exit[rows], self.outcome[rows] = exits.exit_ms, exits.exit, exits.outcome
        self.ambiguous[rows], self.bars_held[rows] = exits.is_ambiguous, exits.bars_held
        for name, column in self.results.items():
            column[rows] = getattr(found, name)

    def _free_ms(self, row: int) -> int:
        """Return when the market is free again after a trade."""
        outcome = self.outcome[row]
        if outcome == Outcome.NO_ENTRY:
            return 0
        is_left = outcome in {Outcome.PENDING, Outcome.OPEN}
        return NEVER_MS if is_left else int(self.exit_ms[row])

    def trades(self) -> pd.DataFrame:
        """Return the setups that are traded, with what was filled in."""
        return self._setups.assign(
            entry_ms=self.entry_ms,
            entry=self.entry,
            exit_ms=self.exit_ms,
            exit=self.exit,
            outcome=pd.array(self.outcome, dtype="str"),
            reason=pd.array(self.reason, dtype="str"),
            ambiguous=self.ambiguous,
            mature=self.mature,
            bars_held=self.bars_held,
            **self.results,
        )[self._is_traded].reset_index(drop=True)
