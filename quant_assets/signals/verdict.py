"""The result of a strategy on one market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from quant_assets.signals.scores import score_of
from quant_assets.signals.setups import Setup
from quant_assets.signals.sides import WAIT


class Refusal(NamedTuple):
    """Why a strategy waits; if a value missed a threshold, also the value and the threshold."""

    reason: str
    value: float | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a strategy on one market.

    `setup` is None while waiting, and `reason` is empty with a setup. `filters` are the gates that the feed shows: True
    for passed, False for refused, None for unknown. `reason_value` and `reason_bound` are the value that missed a
    threshold and that threshold, None if the reason is no threshold.
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
        """Return a verdict whose score is the sum of its parts; with a reason to wait, the setup is dropped."""
        why = Refusal(reason) if isinstance(reason, str) else reason
        kept = None if why.reason else setup
        return cls(bias, score_of(parts), parts, why.reason, kept, filters or {}, why.value, why.bound)

    @property
    def action(self) -> str:
        """LONG or SHORT with a setup, WAIT without."""
        return self.setup.side if self.setup is not None else WAIT
