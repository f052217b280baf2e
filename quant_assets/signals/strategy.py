"""What a strategy is, and what it says of a market.

A new strategy is one new file:

    @dataclass(frozen=True)
    class Momentum(Strategy):
        \"\"\"Buys strength.\"\"\"

        name = "Momentum"
        key = "momentum"
        description = "LONG while HTF RSI is high"
        strategy_type = "momentum"
        parts = ("strength",)
        min_rsi: float = 60.0

        def judge(self, features: Features) -> Verdict: ...

    strategy = Momentum()
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.features.model import INSUFFICIENT_HISTORY, Features
from quant_assets.signals.features.table import features_of
from quant_assets.signals.features.tolerance import below
from quant_assets.signals.scores import rounded, score_of
from quant_assets.signals.setups import Setup
from quant_assets.signals.sides import NONE, SIGN, WAIT

STRATEGY_FAILED = "strategy_failed"
"""The reason of a market on which a strategy could not be asked."""
STOP_TOO_CLOSE = "stop_too_close"
"""The reason of a setup whose stop is nearer to the entry than `min_stop_pct`."""
_TEXTS = {"exchange", "symbol", "strategy_name", "bias", "action", "reason", "side"}


Reads = Mapping[str, tuple[str, ...]]
"""Part, gate, `bias`, `setup` or `reason` → the fields of the features that it is made from."""
Limits = Mapping[str, tuple[float, float]]
"""Parameter → its least and its greatest value."""


class StrategyError(ValueError):
    """A strategy does not keep to its own declaration; the message says where."""


class Refusal(NamedTuple):
    """Why a strategy waits. Where the reason is a bound: the value that was measured, and the bound it did not keep."""

    reason: str
    value: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a strategy says of one market.

    `setup` is None while waiting, and `reason` is empty with a setup. `filters` are gates that the feed shows: True
    passed, False refused, None where there was nothing to look at. `reason_value` and `reason_bound` say what was
    measured and which bound it did not keep, where the reason is a bound.
    """

    bias: str
    score: float
    parts: Mapping[str, float]
    reason: str = ""
    setup: Setup | None = None
    filters: Mapping[str, bool | None] = field(default_factory=dict)
    reason_value: float | None = None
    reason_bound: float | None = None

    @classmethod
    def of(
        cls,
        bias: str,
        parts: Mapping[str, float],
        reason: str | Refusal,
        setup: Setup | None,
        filters: Mapping[str, bool | None] | None = None,
    ) -> Verdict:
        """Make a verdict from parts that add up to the score; with a reason to wait, the setup is dropped."""
        why = Refusal(reason) if isinstance(reason, str) else reason
        kept = None if why.reason else setup
        return cls(bias, score_of(parts), parts, why.reason, kept, filters or {}, why.value, why.bound)

    @property
    def action(self) -> str:
        """LONG or SHORT with a setup, WAIT without."""
        return self.setup.side if self.setup is not None else WAIT


@dataclass(frozen=True)
class Strategy(ABC):
    """One way to judge a market; extend it as a frozen dataclass whose fields are the strategy's parameters."""

    name: ClassVar[str]
    """As people read it, like BreakoutV2."""
    key: ClassVar[str]
    """As the asset and the file are called, like breakout_v2: small letters, digits and underscores."""
    description: ClassVar[str]
    """What it looks for, in a sentence or two."""
    strategy_type: ClassVar[str]
    """Family of the strategy, for consumers that group by it."""
    parts: ClassVar[tuple[str, ...]]
    """Names of the parts of its score, in the order in which they are shown."""
    filters: ClassVar[tuple[str, ...]] = ()
    """Names of the gates that it shows."""
    limits: ClassVar[Limits] = {}
    """What a user may set a parameter to; one that is left out takes any value of its type."""
    renamed_parameters: ClassVar[Mapping[str, str]] = {}
    """Old name → new name of parameters that were renamed; users' files may use the old name for one more version."""
    max_points: ClassVar[Mapping[str, float]] = {}
    """Most points that a part can have; what is left out is shown without."""
    reads: ClassVar[Reads] = {}
    """Fields of the features from which each part and gate is made, and `bias`, `setup` and `reason`: the lineage that
    Dagster shows of the signal table's columns. What is left out is shown without."""

    min_stop_pct: float = field(default=0.5, kw_only=True)
    """Smallest distance of the stop from P, percent of P: costs eat what is nearer."""

    @abstractmethod
    def judge(self, features: Features) -> Verdict:
        """Judge one market that can be judged; reads nothing but the features."""

    def refuse_close_stop(self, price: float, sl: float) -> Refusal | None:
        """Return why a stop is too close to the price, or None where it is at least `min_stop_pct` away."""
        distance_pct = abs(price - sl) / price * 100.0
        if below(distance_pct, self.min_stop_pct):
            return Refusal(STOP_TOO_CLOSE, distance_pct, self.min_stop_pct)
        return None


def judge(strategy: Strategy, features: Features) -> Verdict:
    """Ask a strategy for its verdict on one market, with score and parts rounded.

    A market that cannot be judged gets WAIT, NONE, 0 and its reason, whatever the strategy. A setup whose stop is too
    close is none, also where the strategy itself does not look at it.
    Raises StrategyError where the verdict does not keep to the strategy's declaration.
    """
    if features.unusable:
        return _wait(strategy, _why_unusable(features))
    found = strategy.judge(features)
    problem = _problem(strategy, found)
    if problem:
        raise StrategyError(f"{strategy.name} on {features.exchange} {features.symbol}: {problem}")
    parts = {name: rounded(found.parts[name]) for name in strategy.parts}
    setup, why = found.setup, Refusal(found.reason, found.reason_value, found.reason_bound)
    if setup is not None and (refusal := strategy.refuse_close_stop(setup.entry, setup.sl)):
        setup, why = None, refusal
    return Verdict(found.bias, rounded(found.score), parts, why.reason, setup, found.filters, why.value, why.bound)


def run_strategy(
    strategy: Strategy, features: pd.DataFrame, on_failure: Callable[[str], None] | None = None
) -> pd.DataFrame:
    """Return the signal table of a strategy: one row per row of the features table, in its order.

    Columns: exchange, symbol, strategy_name, bias (LONG, SHORT, NONE), action (LONG, SHORT, WAIT), score (0 to 100),
    reason (empty with a setup), reason_value and reason_bound (what was measured and the bound that it did not keep,
    NaN where the reason is no bound), entry, stop_loss, take_profit (prices, NaN without a setup), rr (0 without), side
    (empty without), `part_<name>` for each declared part, `filter_<name>` (True, False, None) for each declared filter.
    A strategy that fails on a market, or whose verdict does not keep to its declaration, waits there for the reason
    `strategy_failed`, and `on_failure` is told why; without it the exception rises.
    """
    verdicts = [_judged(strategy, market, on_failure) for market in features_of(features)]
    setups = [found.setup for found in verdicts]
    columns: dict[str, Any] = {
        "exchange": features["exchange"].to_numpy(),
        "symbol": features["symbol"].to_numpy(),
        "strategy_name": [strategy.name] * len(verdicts),
        "bias": [found.bias for found in verdicts],
        "action": [found.action for found in verdicts],
        "score": [found.score for found in verdicts],
        "reason": [found.reason for found in verdicts],
        "reason_value": [found.reason_value for found in verdicts],
        "reason_bound": [found.reason_bound for found in verdicts],
        "entry": [setup.entry if setup else math.nan for setup in setups],
        "stop_loss": [setup.sl if setup else math.nan for setup in setups],
        "take_profit": [setup.tp if setup else math.nan for setup in setups],
        "rr": [setup.rr if setup else 0.0 for setup in setups],
        "side": [setup.side if setup else "" for setup in setups],
    }
    for name in strategy.parts:
        columns[f"part_{name}"] = [found.parts[name] for found in verdicts]
    columns = {
        name: pd.array(values, dtype="str") if name in _TEXTS else np.array(values, dtype=np.float64)
        for name, values in columns.items()
    }
    for name in strategy.filters:
        columns[f"filter_{name}"] = np.array([found.filters[name] for found in verdicts], dtype=object)
    return pd.DataFrame(columns, copy=False)


def _judged(strategy: Strategy, market: Features, on_failure: Callable[[str], None] | None) -> Verdict:
    if on_failure is None:
        return judge(strategy, market)
    try:
        return judge(strategy, market)
    except Exception as error:  # noqa: BLE001 - a strategy may be foreign code, and must not cost the others' signals
        on_failure(f"{strategy.name} failed on {market.exchange} {market.symbol}: {type(error).__name__}: {error}")
        return _wait(strategy, Refusal(STRATEGY_FAILED))


def _wait(strategy: Strategy, why: Refusal) -> Verdict:
    """Return the verdict on a market that a strategy was not or could not be asked about."""
    nothing = dict.fromkeys(strategy.parts, 0.0)
    filters = dict.fromkeys(strategy.filters)
    return Verdict(NONE, 0.0, nothing, why.reason, filters=filters, reason_value=why.value, reason_bound=why.bound)


def _why_unusable(features: Features) -> Refusal:
    if features.unusable == INSUFFICIENT_HISTORY:
        return Refusal(INSUFFICIENT_HISTORY, float(min(features.ltf_bars, features.htf_bars)), float(MIN_BARS))
    return Refusal(features.unusable)


def _problem(strategy: Strategy, found: Verdict) -> str:
    """Say how a verdict breaks its strategy's declaration; empty where it does not."""
    if found.parts.keys() != set(strategy.parts):
        return f"its verdict has the parts {sorted(found.parts)}, declared are {sorted(strategy.parts)}"
    if found.filters.keys() != set(strategy.filters):
        return f"its verdict has the filters {sorted(found.filters)}, declared are {sorted(strategy.filters)}"
    if found.bias not in SIGN:
        return f"its bias is {found.bias!r}, not LONG, SHORT or NONE"
    if bool(found.reason) == (found.setup is not None):
        return "its verdict has both a setup and a reason to wait" if found.setup else "it waits without a reason"
    if not all(map(math.isfinite, (found.score, *found.parts.values()))):
        return "its score or a part of it is no finite number"
    return ""
