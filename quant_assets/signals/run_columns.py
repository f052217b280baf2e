"""Running a strategy on many markets by columns, with the results of `run_strategy`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from quant_assets.signals.features.bars import Columns, Ints
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.features.table import DTYPES, FeaturesCache
from quant_assets.signals.reasons import INSUFFICIENT_HISTORY
from quant_assets.signals.run import run_strategy, signal_table
from quant_assets.signals.score_columns import round_points
from quant_assets.signals.sides import NONE, SIGN, WAIT
from quant_assets.signals.strategy import Strategy
from quant_assets.signals.verdict_columns import FeatureColumns, Refusals, Verdicts


class SelectedColumns(Mapping[str, npt.NDArray[Any]]):
    """Columns of some markets; each is selected when it is read."""

    def __init__(self, columns: FeatureColumns, places: Ints) -> None:
        self._columns, self._places = columns, places
        self._selected: dict[str, npt.NDArray[Any]] = {}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column."""
        if name not in self._selected:
            self._selected[name] = self._columns[name][self._places]
        return self._selected[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Count the columns."""
        return len(self._columns)


def run_strategy_by_columns(
    strategy: Strategy,
    features: pd.DataFrame,
    on_failure: Callable[[str], None] | None = None,
    cache: FeaturesCache | None = None,
) -> pd.DataFrame:
    """Return the signal table of `run_strategy`, judged by columns where strategy and table allow it."""
    if strategy.judges_many and not DTYPES.keys() - set(features.columns):
        found = judge_many(strategy, {name: features[name].to_numpy() for name in DTYPES})
        if found is not None:
            return signal_table(strategy, {name: features[name].to_numpy() for name in ("exchange", "symbol")} | found)
    return run_strategy(strategy, features, on_failure, cache)


def judge_many(strategy: Strategy, features: FeatureColumns) -> Columns | None:
    """Return the columns of a strategy's signal table but exchange and symbol, or None.

    None means that the markets must be judged one by one: the strategy has no `judge_many`, it raises, or a verdict
    does not match its declaration. Only judging market by market finds the market that is to blame.
    """
    if not strategy.judges_many:
        return None
    reasons = features["unusable"]
    (usable,) = (reasons == "").nonzero()
    is_whole = len(usable) == len(reasons)
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            found = strategy.judge_many(features if is_whole else SelectedColumns(features, usable))
            if not _is_as_declared(strategy, found, len(usable)):
                return None
            columns = _columns_of(strategy, _without_close_stops(strategy, found))
    except Exception:  # noqa: BLE001 - a plugin may raise anything; judging one by one reports it
        return None
    return columns if is_whole else _with_waiting(columns, features, usable)


def _is_as_declared(strategy: Strategy, found: Verdicts, markets: int) -> bool:
    numbers = (found.score, *found.parts.values())
    arrays = (found.bias, found.reason, found.setups.entry, *numbers, *found.filters.values())
    return (
        found.parts.keys() == set(strategy.parts)
        and found.filters.keys() == set(strategy.filters)
        and all(array.shape == (markets,) for array in arrays)
        and bool(np.isin(found.bias, list(SIGN)).all())
        and bool(((found.reason == "") == found.setups.exist).all())
        and all(np.isfinite(values).all() for values in numbers)
    )


def _without_close_stops(strategy: Strategy, found: Verdicts) -> Verdicts:
    """Return the verdicts without setups whose stop is too close, even if the strategy does not check that itself."""
    refusals = Refusals(len(found.bias))
    refusals.refuse_close_stops(found.setups.entry, found.setups.sl, strategy.min_stop_pct)
    (refused,) = (refusals.reason != "").nonzero()
    if not len(refused):
        return found
    reason, value, bound = found.reason.copy(), found.reason_value.copy(), found.reason_bound.copy()
    reason[refused], value[refused], bound[refused] = (
        refusals.reason[refused],
        refusals.value[refused],
        refusals.bound[refused],
    )
    setups = found.setups.where(refusals.reason == "")
    return replace(found, setups=setups, reason=reason, reason_value=value, reason_bound=bound)


def _columns_of(strategy: Strategy, found: Verdicts) -> Columns:
    setups, exist = found.setups, found.setups.exist
    return {
        "bias": found.bias,
        "action": np.where(exist, found.bias, WAIT.value),
        "score": round_points(found.score),
        "reason": found.reason,
        "reason_value": found.reason_value,
        "reason_bound": found.reason_bound,
        "entry": setups.entry,
        "stop_loss": setups.sl,
        "take_profit": setups.tp,
        "rr": np.where(exist, setups.rr, 0.0),
        "side": np.where(exist, found.bias, ""),
        **{f"part_{name}": round_points(found.parts[name]) for name in strategy.parts},
        **{f"filter_{name}": found.filters[name] for name in strategy.filters},
    }


def _with_waiting(columns: Columns, features: FeatureColumns, usable: Ints) -> Columns:
    """Return the columns of all markets: those of the usable ones, and verdicts of those that were not judged."""
    reasons = features["unusable"]
    bars = np.minimum(features["ltf_bars"], features["htf_bars"]).astype(np.float64)
    is_short = reasons == INSUFFICIENT_HISTORY.value
    rest: Columns = {
        "bias": NONE.value,
        "action": WAIT.value,
        "reason": reasons.astype(object),
        "reason_value": np.where(is_short, bars, np.nan),
        "reason_bound": np.where(is_short, float(MIN_BARS), np.nan),
        **dict.fromkeys(("entry", "stop_loss", "take_profit"), np.nan),
        "side": "",
    }
    found: Columns = {}
    for name, values in columns.items():
        filled = np.empty(len(reasons), dtype=values.dtype)
        filled[:] = rest.get(name, None if name.startswith("filter_") else 0.0)
        filled[usable] = values
        found[name] = filled
    return found
