"""Running a strategy on one market or on a features table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.signals.features.bars import Columns
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.features.model import Features
from quant_assets.signals.features.table import FeaturesCache
from quant_assets.signals.own.values import OwnValues
from quant_assets.signals.reasons import INSUFFICIENT_HISTORY, STRATEGY_FAILED
from quant_assets.signals.scores import rounded
from quant_assets.signals.sides import NONE, SIGN
from quant_assets.signals.strategy import Strategy
from quant_assets.signals.verdict import Refusal, Verdict

_TEXTS = {"exchange", "symbol", "strategy_name", "bias", "action", "reason", "side"}


class StrategyError(ValueError):
    """A verdict that does not match its strategy's declaration; the message names the difference."""


def judge(strategy: Strategy, features: Features) -> Verdict:
    """Return a strategy's verdict on one market, with score and parts rounded.

    An unusable market gets WAIT, NONE, 0 and its reason without a call of the strategy. A setup whose stop is too
    close is dropped, even if the strategy does not check that itself.
    Raises StrategyError if the verdict does not match the strategy's declaration.
    """
    if features.unusable:
        return _waiting_verdict(strategy, _why_unusable(features))
    found = strategy.judge(features)
    problem = _find_problem(strategy, found)
    if problem:
        raise StrategyError(f"{strategy.name} on {features.exchange} {features.symbol}: {problem}")
    parts = {name: rounded(found.parts[name]) for name in strategy.parts}
    setup, why = found.setup, Refusal(found.reason, found.reason_value, found.reason_bound)
    if setup is not None and (refusal := strategy.refuse_close_stop(setup.entry, setup.sl)):
        setup, why = None, refusal
    return Verdict(found.bias, rounded(found.score), parts, why.reason, setup, found.filters, why.value, why.bound)


def run_strategy(
    strategy: Strategy,
    features: pd.DataFrame,
    on_failure: Callable[[str], None] | None = None,
    cache: FeaturesCache | None = None,
    own: OwnValues | None = None,
) -> pd.DataFrame:
    """Return the signal table of a strategy: one row per row of the features table, in its order.

    Columns: exchange, symbol, strategy_name, bias (LONG, SHORT, NONE), action (LONG, SHORT, WAIT), score (0 to 100),
    reason (empty with a setup), reason_value and reason_bound (the value that missed a threshold and that threshold,
    NaN if the reason is no threshold), entry, stop_loss, take_profit (prices, NaN without a setup), rr (0 without),
    side (empty without), `part_<name>` for each declared part, `filter_<name>` (True, False, None) for each declared
    filter, `own_<name>` (NaN if unknown) for each of its own indicators. `own` has their values, for a strategy that
    has any.
    If a strategy raises on a market, or its verdict does not match its declaration, the market waits with the reason
    `strategy_failed`, and `on_failure` is called with a message. Without `on_failure` the exception is raised. The same
    holds for a market whose own indicators could not be computed. Callers that run several strategies on one table
    share a `cache`.
    """
    markets = (cache or FeaturesCache()).features_of(features)
    if own is None:
        verdicts = [_judge_or_wait(strategy, market, on_failure) for market in markets]
    else:
        verdicts = _judge_with_own(strategy, markets, own, on_failure)
    setups = [found.setup for found in verdicts]
    columns: Columns = {
        "exchange": features["exchange"].to_numpy(),
        "symbol": features["symbol"].to_numpy(),
        "bias": [str(found.bias) for found in verdicts],  # str: a table holds plain strings, no members of enums
        "action": [str(found.action) for found in verdicts],
        "score": [found.score for found in verdicts],
        "reason": [str(found.reason) for found in verdicts],
        "reason_value": [found.reason_value for found in verdicts],
        "reason_bound": [found.reason_bound for found in verdicts],
        "entry": [setup.entry if setup else math.nan for setup in setups],
        "stop_loss": [setup.sl if setup else math.nan for setup in setups],
        "take_profit": [setup.tp if setup else math.nan for setup in setups],
        "rr": [setup.rr if setup else 0.0 for setup in setups],
        "side": [str(setup.side) if setup else "" for setup in setups],
        **{f"part_{name}": [found.parts[name] for found in verdicts] for name in strategy.parts},
        **{f"filter_{name}": [found.filters[name] for found in verdicts] for name in strategy.filters},
    }
    if own is not None:
        columns |= own.columns((market.exchange, market.symbol, market.window_end_ms) for market in markets)
    return signal_table(strategy, columns)


def signal_table(strategy: Strategy, columns: Columns) -> pd.DataFrame:
    """Return a signal table from its columns but strategy_name, which follows from the strategy."""
    first = [name for name in ("exchange", "symbol", "window_end_ms") if name in columns]
    names = [*first, "strategy_name", *(name for name in columns if name not in first)]
    columns = columns | {"strategy_name": [strategy.name] * len(columns["symbol"])}
    return pd.DataFrame({name: _typed(name, columns[name]) for name in names}, copy=False)


def _typed(name: str, values: Any) -> Any:
    """Return a column of a signal table with its dtype."""
    if name in _TEXTS:  # few distinct texts: converting each of them once is faster
        codes, texts = pd.factorize(np.asarray(values, dtype=object))
        return pd.array(texts, dtype="str").take(codes)
    if name == "window_end_ms":
        return np.asarray(values, dtype=np.int64)
    return np.array(values, dtype=object if name.startswith("filter_") else np.float64)


def _judge_with_own(
    strategy: Strategy, markets: Sequence[Features], own: OwnValues, on_failure: Callable[[str], None] | None
) -> list[Verdict]:
    """Return the verdicts of a strategy that has own indicators; markets without their values wait."""
    verdicts = []
    for features in markets:
        market = (features.exchange, features.symbol, features.window_end_ms)
        if (error := own.errors.get(market)) is not None:
            _report(f"{strategy.name} failed on {features.exchange} {features.symbol}: indicators: {error}", on_failure)
        if error is not None or market in own.skipped:
            verdicts.append(_waiting_verdict(strategy, Refusal(STRATEGY_FAILED)))
        else:
            verdicts.append(_judge_or_wait(strategy, features._replace(own=own.of(market)), on_failure))
    if own.skipped:
        limit = f"the limit of {strategy.max_indicator_seconds:g} s (max_indicator_seconds)"
        _report(f"{strategy.name}: indicators exceeded {limit}: {len(own.skipped)} markets wait", on_failure)
    return verdicts


def _report(failure: str, on_failure: Callable[[str], None] | None) -> None:
    if on_failure is None:
        raise StrategyError(failure)
    on_failure(failure)


def _judge_or_wait(strategy: Strategy, market: Features, on_failure: Callable[[str], None] | None) -> Verdict:
    if on_failure is None:
        return judge(strategy, market)
    try:
        return judge(strategy, market)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and must not affect other strategies
        on_failure(f"{strategy.name} failed on {market.exchange} {market.symbol}: {type(error).__name__}: {error}")
        return _waiting_verdict(strategy, Refusal(STRATEGY_FAILED))


def _waiting_verdict(strategy: Strategy, why: Refusal) -> Verdict:
    """Return the verdict on a market that the strategy did not judge."""
    parts = dict.fromkeys(strategy.parts, 0.0)
    filters = dict.fromkeys(strategy.filters)
    return Verdict(NONE.value, 0.0, parts, why.reason, filters=filters, reason_value=why.value, reason_bound=why.bound)


def _why_unusable(features: Features) -> Refusal:
    if features.unusable == INSUFFICIENT_HISTORY:
        return Refusal(INSUFFICIENT_HISTORY, float(min(features.ltf_bars, features.htf_bars)), float(MIN_BARS))
    return Refusal(features.unusable)


def _find_problem(strategy: Strategy, found: Verdict) -> str:
    """Return how a verdict differs from its strategy's declaration, or an empty text."""
    if found.parts.keys() != set(strategy.parts):
        return f"its verdict has the parts {sorted(found.parts)}, declared are {sorted(strategy.parts)}"
    if found.filters.keys() != set(strategy.filters):
        return f"its verdict has the filters {sorted(found.filters)}, declared are {sorted(strategy.filters)}"
    if found.bias not in SIGN:
        return f"its bias is {found.bias!r}, not LONG, SHORT or NONE"
    if bool(found.reason) == (found.setup is not None):
        return "its verdict has both a setup and a reason to wait" if found.setup else "it waits without a reason"
    if not all(map(math.isfinite, (found.score, *found.parts.values()))):
        return "its score or a part of it is not a finite number"
    return ""
