"""Breakouts of many markets as arrays, for strategies that judge by columns."""

from __future__ import annotations

import numpy as np

from quant_assets.signals.features.bars import Floats, Ints
from quant_assets.signals.reasons import Reason
from quant_assets.signals.verdict_columns import FeatureColumns, Refusals, Setups, Texts, Verdicts, signs_of


class TriggerColumns:
    """The features of the markets with a breakout, by the names of `Features`."""

    def __init__(self, features: FeatureColumns, broken: Ints) -> None:
        self._features, self._broken = features, broken
        self.sign = signs_of(features["trigger_side"][broken])
        self.is_long = self.sign > 0.0

    def __getitem__(self, name: str) -> Floats:
        """Return the values of a feature."""
        found: Floats = self._features[name][self._broken]
        return found


def breakout_verdicts(
    sign: Floats,
    broken: Ints,
    parts: dict[str, Floats],
    setups: Setups,
    gates: Refusals,
    filters: dict[str, Texts] | None = None,
) -> Verdicts:
    """Return the verdicts on all markets; `setups` and `gates` are those of the markets with a breakout."""
    refusals = Refusals(len(sign))
    refusals.refuse(sign == 0.0, Reason.NO_BREAKOUT)
    for found, values in (
        (refusals.reason, gates.reason),
        (refusals.value, gates.value),
        (refusals.bound, gates.bound),
    ):
        found[broken] = values
    everywhere = Setups(
        *(spread(broken, prices, len(sign), np.nan) for prices in (setups.entry, setups.sl, setups.tp, setups.rr))
    )
    return refusals.verdicts(sign, parts, everywhere, filters)


def spread(places: Ints, values: Floats, markets: int, rest: float = 0.0) -> Floats:
    """Return the values at their places among all markets, and `rest` at the others."""
    found = np.full(markets, rest)
    found[places] = values
    return found
