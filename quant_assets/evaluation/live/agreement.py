"""Compare settled trades with what a replay gives today, and name the cause of each difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.evaluation.exits import Outcome
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.setups import setups_of
from quant_assets.evaluation.trade_table import Source
from quant_assets.evaluation.trades import TradeRules, follow_each, with_rules
from quant_assets.signals import Strategy, candle_features_table
from quant_assets.signals.replay import replay

#: Trades compared in one scan: a replay of their markets takes some 10 ms each.
MAX_COMPARED: Final = 5
#: Prices that differ by less are the same; indicators of a shorter history differ in the last digits.
TOLERANCE: Final = 1e-6
#: Candle features that differ by less do not explain a difference.
FEATURE_TOLERANCE: Final = 1e-3
#: What `replay` says of a trade that a replay gives too.
AGREES: Final = "agrees"

Tables = Mapping[str, pd.DataFrame]


class Cause(StrEnum):
    """Why a published trade and a replayed one differ. Members equal their plain strings."""

    CANDLES = "candles"
    """Candles came later, or were revised, so that the setup is another one."""
    DERIVATIVES = "derivatives"
    """Derivatives came later, so that the setup is another one."""
    MISSED_SCAN = "missed_scan"
    """The window before was not published in time: the replay's episode begins earlier."""
    REVISED_BARS = "revised_bars"
    """The setup is the same, but the bars give another entry or exit."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a window: its derivatives by dataset, and its candle features."""

    derivatives: Callable[[Window], Tables]
    candle_features: Callable[[Window], pd.DataFrame | None]
    symbol_map: pd.DataFrame


def compare_with_replay(
    trades: pd.DataFrame,
    candles: pd.DataFrame,
    prices: Prices,
    strategies: Sequence[Strategy],
    published_windows: AbstractSet[str],
    stored: Stored,
) -> pd.DataFrame:
    """Return at most MAX_COMPARED published trades with what a replay gives.

    The columns are `replay`, AGREES or the cause of the difference, and `replay_r`, the result of the replayed trade in
    R before costs, NaN if there is none in the same window.

    `candles` is the candles table, `published_windows` the keys of the windows that were published. Trades of other
    strategies are not compared.
    """
    by_name = {strategy.name: strategy for strategy in strategies}
    chosen = trades[(trades["source"] == Source.PUBLISHED) & trades["strategy"].isin(list(by_name))].head(MAX_COMPARED)
    if chosen.empty:
        return chosen
    ends = {int(end_ms) - back for end_ms in chosen["entry_ms"] for back in (0, _LENGTH_MS)}
    windows = [_window(end_ms) for end_ms in sorted(ends)]
    markets = chosen[["exchange", "symbol"]].drop_duplicates()
    some = candles[
        candles["symbol"].isin(list(markets["symbol"])) & candles["exchange"].isin(list(markets["exchange"]))
    ]
    used = [by_name[name] for name in dict.fromkeys(chosen["strategy"])]
    tables = replay(
        some.reset_index(drop=True),
        {window.key: stored.derivatives(window) for window in windows},
        windows,
        used,
        stored.symbol_map,
    )
    setups = pd.concat([setups_of(table) for table in tables.values()], ignore_index=True)
    rules = {strategy.name: TradeRules.of(strategy) for strategy in used}
    compare = _Comparison(setups, some, prices, rules, published_windows, stored)
    rows = [{str(name): value for name, value in row.items()} for row in chosen.to_dict("records")]
    found = [compare.with_replay(row) for row in rows]
    return chosen.assign(
        replay=pd.array([cause for cause, _ in found], dtype="str"), replay_r=[result for _, result in found]
    )


_LENGTH_MS: Final = int(WINDOW_LENGTH.total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Replayed setups, and what else a trade is compared with."""

    setups: pd.DataFrame
    candles: pd.DataFrame
    prices: Prices
    rules: Mapping[str, TradeRules]
    published_windows: AbstractSet[str]
    stored: Stored

    def with_replay(self, trade: Mapping[str, Any]) -> tuple[str, float]:
        """Return AGREES or why a trade differs from a replay, and the result of the replayed trade in R."""
        end_ms = int(trade["entry_ms"])
        now, before = (_setup_at(self.setups, trade, at_ms) for at_ms in (end_ms, end_ms - _LENGTH_MS))
        replayed = None if now is None else self._followed(now)
        result = np.nan if replayed is None else float(replayed["gross_r"])
        if now is None or not _is_close(now[["stop", "target"]].to_numpy()[0], [trade["stop"], trade["target"]]):
            return _cause_of_setup(trade, self.candles, _window(end_ms), self.stored), result
        if before is not None:
            window = _window(end_ms - _LENGTH_MS)
            is_missed = window.key not in self.published_windows
            cause = Cause.MISSED_SCAN if is_missed else _cause_of_setup(trade, self.candles, window, self.stored)
            return cause, np.nan
        is_same = replayed is not None and _is_same(trade, replayed)
        return AGREES if is_same else Cause.REVISED_BARS, result

    def _followed(self, setup: pd.DataFrame) -> pd.Series[Any] | None:
        """Return what became of a replayed setup, None if its market has no bars."""
        followed = follow_each(with_rules(setup.reset_index(drop=True), self.rules), self.prices)
        return followed.iloc[0] if len(followed) else None


def _setup_at(setups: pd.DataFrame, trade: Mapping[str, Any], end_ms: int) -> pd.DataFrame | None:
    """Return the setup of a trade's strategy, market and side in a window, None if there is none."""
    is_same = setups["end_ms"] == end_ms
    for name in ("strategy", "exchange", "symbol", "side"):
        is_same &= setups[name].astype(str) == trade[name]
    return setups[is_same] if is_same.any() else None


def _is_same(trade: Mapping[str, Any], replayed: pd.Series[Any]) -> bool:
    """Return whether a trade has the entry and the end of a replayed one."""
    if trade["outcome"] != replayed["outcome"]:
        return False
    if trade["outcome"] == Outcome.NO_ENTRY:
        return bool(trade["reason"] == replayed["reason"])
    names = ["entry", "exit", "exit_ms"]
    return _is_close(*([float(row[name]) for name in names] for row in (trade, replayed)))


def _is_close(first: Any, second: Any) -> bool:
    return bool(np.allclose(np.asarray(first, float), np.asarray(second, float), TOLERANCE, 0.0, equal_nan=True))


def _cause_of_setup(trade: Mapping[str, Any], candles: pd.DataFrame, window: Window, stored: Stored) -> Cause:
    """Return why a setup is another one: candles if the features that follow from them have changed."""
    was = stored.candle_features(window)
    of_market = candles[(candles["exchange"] == trade["exchange"]) & (candles["symbol"] == trade["symbol"])]
    now = candle_features_table(of_market.reset_index(drop=True), window)
    if was is None or now.empty:
        return Cause.CANDLES
    was = was[(was["exchange"] == trade["exchange"]) & (was["symbol"] == trade["symbol"])]
    numbers = now.select_dtypes("float").columns.intersection(was.columns)
    same = len(was) == 1 and np.allclose(
        was[numbers].to_numpy(np.float64), now[numbers].to_numpy(np.float64), rtol=FEATURE_TOLERANCE, equal_nan=True
    )
    return Cause.DERIVATIVES if same else Cause.CANDLES


def _window(end_ms: int) -> Window:
    return Window(pd.Timestamp(end_ms, unit="ms", tz="UTC").to_pydatetime())
