"""The results of a strategy on many markets at once, as arrays with one element for each market.

NaN is unknown, and a missing text is empty. Numbers are computed by the same operations in the same order as in
`Strategy.judge`, so that they are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_assets.signals.features.bars import Bools, Floats
from quant_assets.signals.features.tolerance import below
from quant_assets.signals.reasons import STOP_TOO_CLOSE
from quant_assets.signals.score_columns import scores_of
from quant_assets.signals.sides import LONG, NONE, SHORT

Texts = npt.NDArray[np.object_]
FeatureColumns = Mapping[str, npt.NDArray[Any]]
"""Field of `Features` → its values, one element per market; an unknown number is NaN, a missing text is empty."""


@dataclass(frozen=True, slots=True)
class Setups:
    """Prices of trades; NaN where there is no setup."""

    entry: Floats
    sl: Floats
    tp: Floats
    rr: Floats

    @property
    def exist(self) -> Bools:
        """Where there is a setup."""
        return ~np.isnan(self.entry)

    def where(self, kept: Bools) -> Setups:
        """Return the setups without those that are not kept."""
        return Setups(*(np.where(kept, values, np.nan) for values in (self.entry, self.sl, self.tp, self.rr)))


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The results of a strategy on many markets.

    `bias` is LONG, SHORT or NONE, and the side of the setup. `reason` is empty where there is a setup. `filters` are
    True, False, or None for unknown. `reason_value` and `reason_bound` are NaN where the reason is no threshold.
    """

    bias: Texts
    score: Floats
    parts: Mapping[str, Floats]
    setups: Setups
    reason: Texts
    reason_value: Floats
    reason_bound: Floats
    filters: Mapping[str, Texts] = field(default_factory=dict)


class Refusals:
    """Collects why markets wait; the first refusal of a market counts."""

    def __init__(self, markets: int) -> None:
        self.reason: Texts = np.full(markets, "", dtype=object)
        self.value = np.full(markets, np.nan)
        self.bound = np.full(markets, np.nan)
        self._is_open = np.ones(markets, dtype=bool)

    def refuse(
        self, where: Bools, reason: str, value: Floats | None = None, bound: Floats | float | None = None
    ) -> None:
        """Refuse the markets that are not refused yet, with the value that missed a threshold and that threshold."""
        new = where & self._is_open
        self._is_open &= ~new
        self.reason[new] = str(reason)
        if value is not None:
            self.value[new] = value[new]
        if bound is not None:
            self.bound[new] = bound[new] if isinstance(bound, np.ndarray) else bound

    def refuse_close_stops(self, price: Floats, sl: Floats, min_stop_pct: float) -> None:
        """Refuse the markets whose stop is closer to the price than `min_stop_pct`, in percent of the price."""
        distance_pct = np.abs(price - sl) / price * 100.0
        self.refuse(below(distance_pct, min_stop_pct), STOP_TOO_CLOSE, distance_pct, min_stop_pct)

    def verdicts(
        self, sign: Floats, parts: Mapping[str, Floats], setups: Setups, filters: Mapping[str, Texts] | None = None
    ) -> Verdicts:
        """Return the verdicts whose scores are the sums of their parts; a refused market has no setup."""
        return Verdicts(
            bias_texts(sign),
            scores_of(parts),
            parts,
            setups.where(self.reason == ""),
            self.reason,
            self.value,
            self.bound,
            filters or {},
        )


def signs_of(sides: npt.NDArray[Any]) -> Floats:
    """Return +1 for LONG, −1 for SHORT, 0 for anything else."""
    return np.where(sides == LONG.value, 1.0, np.where(sides == SHORT.value, -1.0, 0.0))


def bias_texts(sign: Floats) -> Texts:
    """Return LONG, SHORT or NONE for +1, −1, 0."""
    names = np.array([NONE.value, LONG.value, SHORT.value], dtype=object)
    return names[sign.astype(np.int64)]


def valid_setups(sign: Floats, entry: Floats, sl: Floats, tp: Floats) -> Setups:
    """Return the setups whose prices are in order: 0 < sl < entry < tp for +1, 0 < tp < entry < sl for −1."""
    is_long = (sl > 0.0) & (sl < entry) & (entry < tp) & (sign > 0.0)
    is_short = (tp > 0.0) & (tp < entry) & (entry < sl) & (sign < 0.0)
    valid = is_long | is_short
    entry, sl, tp = (np.where(valid, values, np.nan) for values in (entry, sl, tp))
    return Setups(entry, sl, tp, (tp - entry) / (entry - sl))
