"""Gates: the conditions of a setup in words. A market that fails one waits, with the reason that names the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from quant_assets.common.timeframes import HTF, LTF
from quant_assets.signals.features.candle_features import MAX_AGE_MS, MIN_BARS
from quant_assets.signals.reasons import Reason

if TYPE_CHECKING:
    from quant_assets.signals.strategy import Strategy

LIMIT: Final = "{limit}"
"""Stands for the limit in the text of a gate."""


class Gate(NamedTuple):
    """A condition of a setup: a sentence, the limit that it may name as `{limit}`, and the unit of that limit."""

    text: str
    limit: float | None = None
    unit: str = ""

    def sentence(self, limit: float | None = None) -> str:
        """Return the condition with its limit; pass the limit that a signal was judged by, if it is known."""
        shown = self.limit if limit is None else limit
        return self.text.replace(LIMIT, "a limit" if shown is None else f"{shown:g}{self.unit}")


COMMON_GATES: Final[Mapping[str, Gate]] = MappingProxyType(
    {
        Reason.INSUFFICIENT_HISTORY: Gate(
            f"There must be at least {LIMIT} closed bars on {LTF}, and as many on {HTF}.", MIN_BARS
        ),
        Reason.STALE_CANDLES: Gate(
            f"The last bar must have closed at most {MAX_AGE_MS[LTF] / 60_000:g} minutes ({LTF}) and "
            f"{MAX_AGE_MS[HTF] / 3_600_000:g} hours ({HTF}) before the window's end."
        ),
        Reason.NO_VALID_SETUP: Gate("A LONG needs stop < entry < target, a SHORT needs target < entry < stop."),
        Reason.STOP_TOO_CLOSE: Gate(
            f"The stop must be at least {LIMIT} from the entry, since costs exceed a smaller distance.", unit=" %"
        ),
        Reason.STRATEGY_FAILED: Gate("The strategy must raise no error; Dagster's log of the run has the error."),
    }
)
"""Gates of every strategy, and NO_VALID_SETUP for those that use it."""


def gates_of(strategy: Strategy) -> dict[str, Gate]:
    """Return all gates of a strategy by reason, its own and those of every strategy, with its parameters as limits."""
    stop = COMMON_GATES[Reason.STOP_TOO_CLOSE]._replace(limit=strategy.min_stop_pct)
    return {
        **{reason: COMMON_GATES[reason] for reason in (Reason.INSUFFICIENT_HISTORY, Reason.STALE_CANDLES)},
        **strategy.gates(),
        Reason.STOP_TOO_CLOSE: stop,
        Reason.STRATEGY_FAILED: COMMON_GATES[Reason.STRATEGY_FAILED],
    }


class GateIndex:
    """Finds gates by the strategy's name and the reason, as the feed has them."""

    def __init__(self, strategies: Iterable[Strategy]) -> None:
        self._gates = {strategy.name: gates_of(strategy) for strategy in strategies}

    def find(self, strategy_name: str, reason: str) -> Gate | None:
        """Return a gate, one of every strategy if this strategy does not declare it, None if it is unknown."""
        return self._gates.get(strategy_name, {}).get(reason) or COMMON_GATES.get(reason)
