"""The deflated Sharpe ratio: how likely a result is more than the best of many trials without any worth.

Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40 (5), 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from quant_assets.evaluation.price_bars import Floats

EULER_MASCHERONI: Final = 0.5772156649015329
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class SharpeRatio:
    """The Sharpe ratio of a series of returns and what its error depends on; nothing is annualised."""

    value: float
    skew: float
    kurtosis: float
    """3 for a normal distribution."""
    count: int

    @classmethod
    def of(cls, returns: Floats) -> SharpeRatio | None:
        """Return the ratio of mean and standard deviation (of a sample), None if the returns do not differ."""
        deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
        if deviation <= 1e-12 * float(np.abs(returns).max(initial=0.0)):
            return None
        centred = returns - returns.mean()
        variance = float((centred**2).mean())
        return cls(
            float(returns.mean()) / deviation,
            float((centred**3).mean()) / variance**1.5,
            float((centred**4).mean()) / variance**2,
            len(returns),
        )

    def probability_above(self, benchmark: float) -> float:
        """Return the probability that the true ratio is above a benchmark (the probabilistic Sharpe ratio)."""
        spread = 1.0 - self.skew * self.value + (self.kurtosis - 1.0) / 4.0 * self.value**2
        if spread <= 0:  # no sample has this; rounding may
            return float(self.value > benchmark)
        return _NORMAL.cdf((self.value - benchmark) * math.sqrt(self.count - 1) / math.sqrt(spread))


def best_by_chance(ratios: Sequence[float], trials: int) -> float:
    """Return the Sharpe ratio to expect of the best of so many trials without worth.

    `ratios` are those of the trials that have one; their variance is that between trials.
    """
    if trials < 2 or len(ratios) < 2:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    deviation = float(np.std(ratios, ddof=1))
    return deviation * ((1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)
