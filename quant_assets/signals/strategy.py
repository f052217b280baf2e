"""What a strategy is, and what it says of a market.

Here: the base class that a strategy extends, its verdict, and the one way in which strategies are run, which takes
care of markets that cannot be judged and of rounding. Not here: any strategy (`strategies/`), nor how they are found
(`registry.py`).

A new strategy is one new file:

    @dataclass(frozen=True)
    class Momentum(Strategy):
        \"\"\"Buys strength.\"\"\"

        name = "Momentum"
        key = "momentum"
        description = "LONG while HTF RSI is high"
        strategy_type = "momentum"
        parts = ("strength",)
        least_rsi: float = 60.0

        def judge(self, features: Features) -> Verdict: ...

    strategy = Momentum()
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from quant_assets.signals.features import Features
from quant_assets.signals.scores import rounded, score_of
from quant_assets.signals.setups import Setup
from quant_assets.signals.sides import NONE, SIGN, WAIT
from quant_assets.signals.table import features_of

STRATEGY_FAILED = "strategy_failed"
"""The reason of a market on which a strategy could not be asked."""
_TEXTS = {"exchange", "symbol", "strategy_name", "bias", "action", "reason", "side"}


Reads = Mapping[str, tuple[str, ...]]
"""Part, gate, `bias`, `setup` or `reason` → the fields of the features that it is made from."""
Limits = Mapping[str, tuple[float, float]]
"""Parameter → its least and its greatest value."""


class StrategyError(ValueError):
    """A strategy does not keep to its own declaration; the message says where."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a strategy says of one market.

    `setup` is None while waiting, and `reason` is empty with a setup. `filters` are gates that the feed shows: True
    passed, False refused, None where there was nothing to look at.
    """

    bias: str
    score: float
    parts: Mapping[str, float]
    reason: str = ""
    setup: Setup | None = None
    filters: Mapping[str, bool | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        bias: str,
        parts: Mapping[str, float],
        reason: str,
        setup: Setup | None,
        filters: Mapping[str, bool | None] | None = None,
    ) -> Verdict:
        """Make a verdict from parts that add up to the score; with a reason to wait, the setup is dropped."""
        return cls(bias, score_of(parts), parts, reason, None if reason else setup, filters or {})

    @property
    def action(self) -> str:
        """LONG or SHORT with a setup, WAIT without."""
        return self.setup.side if self.setup is not None else WAIT


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
    reads: ClassVar[Reads] = {}
    """Fields of the features from which each part and gate is made, and `bias`, `setup` and `reason`: the lineage that
    Dagster shows of the signal table's columns. What is left out is shown without."""

    @abstractmethod
    def judge(self, features: Features) -> Verdict:
        """Judge one market that can be judged; reads nothing but the features."""


def judge(strategy: Strategy, features: Features) -> Verdict:
    """Ask a strategy for its verdict on one market, with score and parts rounded.

    A market that cannot be judged gets WAIT, NONE, 0 and its reason, whatever the strategy.
    Raises StrategyError where the verdict does not keep to the strategy's declaration.
    """
    if features.unusable:
        nothing = dict.fromkeys(strategy.parts, 0.0)
        return Verdict(NONE, 0.0, nothing, features.unusable, filters=dict.fromkeys(strategy.filters))
    found = strategy.judge(features)
    problem = _problem(strategy, found)
    if problem:
        raise StrategyError(f"{strategy.name} on {features.exchange} {features.symbol}: {problem}")
    parts = {name: rounded(found.parts[name]) for name in strategy.parts}
    return Verdict(found.bias, rounded(found.score), parts, found.reason, found.setup, found.filters)


def run_strategy(
    strategy: Strategy, features: pd.DataFrame, on_failure: Callable[[str], None] | None = None
) -> pd.DataFrame:
    """Return the signal table of a strategy: one row per row of the features table, in its order.

    Columns: exchange, symbol, strategy_name, bias (LONG, SHORT, NONE), action (LONG, SHORT, WAIT), score (0 to 100),
    reason (empty with a setup), entry, stop_loss, take_profit (prices, NaN without a setup), rr (0 without), side
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
        nothing = dict.fromkeys(strategy.parts, 0.0)
        return Verdict(NONE, 0.0, nothing, STRATEGY_FAILED, filters=dict.fromkeys(strategy.filters))


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
