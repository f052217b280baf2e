"""Walk-forward: parameters chosen on the past of each fold, and what they were worth on its unseen part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.evaluation.draws import Range
from quant_assets.evaluation.evaluate import (
    LIMITS_BEFORE,
    NothingToEvaluate,
    described,
    window_inputs,
    windows_between,
    with_comparisons,
)
from quant_assets.evaluation.price_bars import Floats, Market
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.record import counted, record
from quant_assets.evaluation.setups import replay_trials
from quant_assets.evaluation.statistics import DAY_MS, MIN_TRADES, days_of
from quant_assets.evaluation.stored_inputs import NOTHING_STORED, StoredInputs
from quant_assets.evaluation.trades import TradeRules, follow_setups
from quant_assets.evaluation.tuning.deflated_sharpe import SharpeRatio, best_by_chance
from quant_assets.evaluation.tuning.folds import Fold, make_folds
from quant_assets.evaluation.tuning.search import Trials
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import Strategy

#: A deflated Sharpe ratio from here on beats chance.
MIN_DEFLATED_SHARPE: Final = 0.95


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What was chosen on the past of a fold, and its record on the unseen part."""

    fold: Fold
    values: Mapping[str, Any]
    is_chosen: bool
    """False if no trial had enough trades in the past, so that the values in force were kept."""
    past_trades: int
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The result of a search; all numbers but those of trades in the past are of the unseen part."""

    trials: Trials
    markets: int
    market_windows: int
    folds: Sequence[FoldResult]
    record: Mapping[str, Any]
    """The record of the chosen parameters over all unseen parts."""
    record_in_force: Mapping[str, Any]
    """The record of the parameters in force over the same parts."""
    hindsight: int
    """Trades of `record` in windows from before the market was selected here."""
    sharpe: SharpeRatio | None
    """Of the sums of net R of each UTC day of the unseen parts, 0 for a day without an entry."""
    best_by_chance: float
    """The Sharpe ratio to expect of the best of so many trials without worth."""
    choice: Mapping[str, Any] | None
    """What to use from now on: chosen on the whole range by the same rule; None if no trial has enough trades."""

    @property
    def deflated_sharpe(self) -> float | None:
        """The probability that the true Sharpe ratio is above what the best of so many trials has by chance."""
        return None if self.sharpe is None else self.sharpe.probability_above(self.best_by_chance)

    @property
    def reasons_against(self) -> list[str]:
        """Why it cannot be said that the choice beats chance; empty if it does."""
        found, edge = [], self.record["edge_r_interval"]
        if self.record["too_few"]:
            found.append(f"too few to say: {self.record['n']} unseen trades on {self.record['days']} days")
        if edge is None or edge[0] <= 0:
            found.append("the unseen trades cannot be told from random entries, or did worse")
        if self.deflated_sharpe is None or self.deflated_sharpe < MIN_DEFLATED_SHARPE:
            found.append(f"the deflated Sharpe ratio is below {MIN_DEFLATED_SHARPE}")
        if not any(one.is_chosen for one in self.folds):
            found.append(f"no parameters had {MIN_TRADES} trades in the past to be chosen by")
        return found


def tune(
    candles: pd.DataFrame,
    prices: Prices,
    trials: Trials,
    first: Window,
    last: Window,
    fold_count: int,
    rules: ResolutionRules,
    stored: StoredInputs = NOTHING_STORED,
    progress: Progress = silent,
) -> Tuning:
    """Search the parameters of a strategy over the windows from first to last.

    In each fold the trial with the highest Sharpe ratio of daily sums of net R in the past is chosen, among those with
    30 trades there; among equals the first. Only trades whose time limit has passed count. Raises FoldsError if the
    folds cannot be made, NothingToEvaluate if no bar closed in the range, and what the strategy raises.
    """
    strategy = trials.strategies[0]
    of_trial = {str(number): TradeRules.of(one) for number, one in enumerate(trials.strategies)}
    folds = _folds(prices, first, last, fold_count, of_trial["0"])
    windows = _windows(candles, first, last, of_trial["0"].max_holding_ms)
    inputs = window_inputs(candles, windows, stored, progress)
    setups, market_windows = replay_trials(candles, inputs, trials.strategies, progress)
    results = _follow(setups, prices, of_trial, progress)

    unseen_first_ms, last_ms = folds[0].unseen_first_ms, folds[-1].unseen_last_ms
    unseen = Range(unseen_first_ms, last_ms)
    compared = _Comparison(strategy.name, prices, unseen, rules, stored.selected_since_ms)
    found, parts = [], []
    for fold in folds:
        past = _past(results, fold)
        number = _best_trial(past, len(trials.strategies), fold.past_first_ms, fold.past_last_ms)
        trial = str(number or 0)
        part = compared.of(_between(results[results["strategy"] == trial], fold.unseen_first_ms, fold.unseen_last_ms))
        parts.append(part)
        found.append(
            FoldResult(
                fold=fold,
                values=trials.values(number or 0),
                is_chosen=number is not None,
                past_trades=int((past["strategy"] == trial).sum()),
                record=record(part, prices.costs),
            )
        )
    chosen = pd.concat(parts, ignore_index=True)
    in_force = compared.of(_between(results[results["strategy"] == "0"], unseen_first_ms, last_ms))
    of_trials = _daily_sums(
        _between(results, unseen_first_ms, last_ms), len(trials.strategies), unseen_first_ms, last_ms
    )
    ratios = [ratio.value for sums in of_trials if (ratio := SharpeRatio.of(sums))]
    choice = _best_trial(_between(results, first.end_ms, last_ms), len(trials.strategies), first.end_ms, last_ms)
    return Tuning(
        trials=trials,
        markets=len(prices.bars),
        market_windows=market_windows,
        folds=found,
        record=record(chosen, prices.costs),
        record_in_force=record(in_force, prices.costs),
        hindsight=int(counted(chosen)["hindsight"].sum()),
        sharpe=SharpeRatio.of(_daily_sums(chosen.assign(strategy="0"), 1, unseen_first_ms, last_ms)[0]),
        best_by_chance=best_by_chance(ratios, len(trials.strategies)),
        choice=None if choice is None else trials.values(choice),
    )


def scores_of_past(
    candles: pd.DataFrame,
    prices: Prices,
    strategy: Strategy,
    first: Window,
    last: Window,
    fold_count: int,
    stored: StoredInputs = NOTHING_STORED,
) -> Callable[[Sequence[Strategy]], list[float | None]]:
    """Return a function that says what trials of a strategy were worth in the past of the first fold.

    That is the Sharpe ratio by which `tune` chooses, None with under 30 trades. No other part of the range is seen.
    Raises FoldsError and NothingToEvaluate as `tune` does.
    """
    fold = _folds(prices, first, last, fold_count, TradeRules.of(strategy))[0]
    limit_ms = TradeRules.of(strategy).max_holding_ms
    past_last = Window(datetime.fromtimestamp(fold.past_last_ms / 1000, UTC))
    inputs = window_inputs(candles, _windows(candles, first, past_last, limit_ms), stored)

    def score(trials: Sequence[Strategy]) -> list[float | None]:
        setups, _ = replay_trials(candles, inputs, trials)
        rules = {str(number): TradeRules.of(one) for number, one in enumerate(trials)}
        past = _past(_follow(setups, prices, rules, silent), fold)
        return _ratios(past, len(trials), fold.past_first_ms, fold.past_last_ms)

    return score


def _folds(prices: Prices, first: Window, last: Window, count: int, rules: TradeRules) -> list[Fold]:
    newest_ms = max((bars.end_ms for bars in prices.bars.values()), default=0)
    return make_folds(first.end_ms, min(last.end_ms, newest_ms - rules.max_holding_ms), rules.max_holding_ms, count)


def _windows(candles: pd.DataFrame, first: Window, last: Window, limit_ms: int) -> list[Window]:
    windows = windows_between(candles, first.end_ms - LIMITS_BEFORE * limit_ms, last)
    if not windows:
        raise NothingToEvaluate(f"no 15m bar closed between {first.end.isoformat()} and {last.end.isoformat()}")
    return windows


def _past(trades: pd.DataFrame, fold: Fold) -> pd.DataFrame:
    """Return the trades of a fold's past that ended before its unseen part: after a gap of bars some end later."""
    past = _between(trades, fold.past_first_ms, fold.past_last_ms)
    return past[past["exit_ms"] <= fold.unseen_first_ms]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Adds to trades of one trial what the record compares them with."""

    strategy: str
    prices: Prices
    unseen: Range
    rules: ResolutionRules
    selected_since_ms: Mapping[Market, float]

    def of(self, trades: pd.DataFrame) -> pd.DataFrame:
        """Return the trades under the name of the strategy, with random entries and entries one bar later."""
        named = trades.assign(strategy=self.strategy).reset_index(drop=True)
        return with_comparisons(described(named, self.rules, self.selected_since_ms), self.prices, self.unseen)


def _follow(setups: pd.DataFrame, prices: Prices, rules: Mapping[str, TradeRules], progress: Progress) -> pd.DataFrame:
    """Return the trades of all trials."""
    found = []
    for done, (_, of_trial) in enumerate(setups.groupby("strategy", sort=False)):
        progress("trials followed", done, len(rules))
        found.append(follow_setups(of_trial, prices, rules))
    progress("trials followed", len(rules), len(rules))
    return pd.concat(found, ignore_index=True) if found else follow_setups(setups, prices, rules)


def _between(trades: pd.DataFrame, first_ms: int, last_ms: int) -> pd.DataFrame:
    """Return the trades that were entered between two moments, both included."""
    return trades[trades["entry_ms"].between(first_ms, last_ms)]


def _best_trial(trades: pd.DataFrame, count: int, first_ms: int, last_ms: int) -> int | None:
    """Return the number of the trial with the highest Sharpe ratio, None if none has enough trades."""
    ratios = _ratios(trades, count, first_ms, last_ms)
    known = [(ratio, -number) for number, ratio in enumerate(ratios) if ratio is not None]
    return -max(known)[1] if known else None


def _ratios(trades: pd.DataFrame, count: int, first_ms: int, last_ms: int) -> list[float | None]:
    """Return the Sharpe ratio of each trial, None where it has not enough trades."""
    entered = counted(trades)
    sizes = np.bincount(entered["strategy"].to_numpy(np.int64), minlength=count)
    ratios = [SharpeRatio.of(sums) for sums in _daily_sums(entered, count, first_ms, last_ms)]
    return [
        ratio.value if ratio is not None and size >= MIN_TRADES else None
        for ratio, size in zip(ratios, sizes, strict=True)
    ]


def _daily_sums(trades: pd.DataFrame, count: int, first_ms: int, last_ms: int) -> Floats:
    """Return for each trial the sum of net R of the entries of each UTC day, as rows; days without entries have 0."""
    entered = counted(trades)
    first_day = first_ms // DAY_MS
    size = last_ms // DAY_MS - first_day + 1
    trial, day = entered["strategy"].to_numpy(np.int64), days_of(entered["entry_ms"].to_numpy(np.int64)) - first_day
    sums = np.bincount(trial * size + day, weights=entered["net_r"].to_numpy(np.float64), minlength=count * size)
    return sums.reshape(count, size).astype(np.float64)
