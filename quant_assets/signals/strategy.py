"""The base class of strategies.

A new strategy is one new file:

    @dataclass(frozen=True)
    class Momentum(Strategy):
        \"\"\"Buys strength.\"\"\"

        name = "Momentum"
        key = "momentum"
        description = "LONG while HTF RSI is high"
        strategy_type = "momentum"
        parts = ("strength",)
        min_rsi: Annotated[float, "Minimum RSI."] = 60.0

        def judge(self, features: Features) -> Verdict: ...

        def explanations(self) -> dict[str, str]: ...

        def gates(self) -> dict[str, Gate]: ...

    strategy = Momentum()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import pandas as pd

from quant_assets.signals.features.model import Features
from quant_assets.signals.features.tolerance import below
from quant_assets.signals.gates import Gate
from quant_assets.signals.own.indicator import Indicator
from quant_assets.signals.reasons import STOP_TOO_CLOSE
from quant_assets.signals.verdict import Refusal, Verdict
from quant_assets.signals.verdict_columns import FeatureColumns, Verdicts

Reads = Mapping[str, tuple[str, ...]]
"""Part, gate, `bias`, `setup` or `reason` → the fields of the features that it depends on."""
Limits = Mapping[str, tuple[float, float]]
"""Parameter → its minimum and maximum."""
DEFAULT_LOOK_BACK = 500
MAX_INDICATOR_SECONDS = 60.0


@dataclass(frozen=True)
class Strategy(ABC):
    """One way to judge a market; extend it as a frozen dataclass whose fields are the strategy's parameters.

    Page, terminal, Dagster and documents show a strategy in its own words: `description`, `max_points`,
    `explanations()`, `gates()`, and the text of a parameter that is `Annotated[float, "text"]`.
    """

    name: ClassVar[str]
    """Display name, like BreakoutV2."""
    key: ClassVar[str]
    """Name of its asset and file, like breakout_v2: lower-case letters, digits and underscores."""
    description: ClassVar[str]
    """What it looks for, in a sentence or two, without values of parameters."""
    strategy_type: ClassVar[str]
    """Family of the strategy, by which consumers of the feed may group."""
    parts: ClassVar[tuple[str, ...]]
    """Names of the parts of its score, in display order."""
    max_holding_minutes: ClassVar[int] = 2_880
    """Time limit of a trade, counted from the end of its setup's window."""
    filters: ClassVar[tuple[str, ...]] = ()
    """Names of the gates that it shows."""
    limits: ClassVar[Limits] = {}
    """Minimum and maximum of parameters; a parameter without limits takes any value of its type."""
    steps: ClassVar[Mapping[str, float]] = {}
    """Step from one value of a parameter to the next in a search of its range; without one any value may be tried."""
    search_ranges: ClassVar[Limits] = {}
    """Minimum and maximum of parameters in a search; that of a parameter that is left out is its limits."""
    renamed_parameters: ClassVar[Mapping[str, str]] = {}
    """Old name → new name of parameters that were renamed; users' files may use the old name for one more version."""
    max_points: ClassVar[Mapping[str, float]] = {}
    """Maximum points of a part; a part that is left out is shown without a maximum."""
    reads: ClassVar[Reads] = {}
    """Fields of the features that each part and gate, and `bias`, `setup` and `reason`, depend on. Dagster shows them
    as the lineage of the signal table's columns. An indicator of the strategy's own is `own_<name>`."""
    own_indicators: ClassVar[Mapping[str, Indicator]] = {}
    """Name of an own indicator → what it is, and where it is drawn; one that is left out is shown by its name."""
    look_back: ClassVar[int] = DEFAULT_LOOK_BACK
    """Bars of each timeframe that `indicators` gets, at most 1,500."""
    max_indicator_seconds: ClassVar[float] = MAX_INDICATOR_SECONDS
    """Time limit of all markets' own indicators in a window; the markets that are left then wait."""

    min_stop_pct: Annotated[
        float, "Minimum distance of the stop from the price, in percent of the price; 0 turns it off."
    ] = field(default=0.5, kw_only=True)

    @abstractmethod
    def judge(self, features: Features) -> Verdict:
        """Return the verdict on a market with enough fresh bars; use nothing but the features."""

    def judge_many(self, features: FeatureColumns) -> Verdicts:
        """Return the verdicts on many markets, equal to those of `judge` on each; optional.

        It is called if the class itself defines it: a class that inherits it may judge in another way. It must not
        divide by zero; if it raises, the markets are judged one by one.
        """
        raise NotImplementedError(f"{self.name} judges market by market")

    @property
    def judges_many(self) -> bool:
        """Whether `judge_many` can be called."""
        return "judge_many" in vars(type(self))

    def indicators(self, bars: Mapping[str, pd.DataFrame]) -> Mapping[str, Mapping[str, pd.Series | None]]:  # noqa: ARG002
        """Return the strategy's own indicators by timeframe and name, as series on exactly the index of `bars`.

        `bars["15m"]` and `bars["4h"]` are the closed bars of one market, oldest first: open, high, low, close, volume;
        the index is their opening in UTC. `judge` reads the value of the last bar as `features.own[name]`, None for
        NaN.
        """
        return {}

    def explanations(self) -> Mapping[str, str]:
        """Return how each part and filter, `bias` and `setup` is computed: sentences with the parameters in force."""
        return {}

    def gates(self) -> Mapping[str, Gate]:
        """Return the strategy's own gates by reason to wait, with the parameters in force as limits."""
        return {}

    def refuse_close_stop(self, price: float, sl: float) -> Refusal | None:
        """Return a refusal if the stop is closer to the price than `min_stop_pct`, else None."""
        distance_pct = abs(price - sl) / price * 100.0
        if below(distance_pct, self.min_stop_pct):
            return Refusal(STOP_TOO_CLOSE, distance_pct, self.min_stop_pct)
        return None
