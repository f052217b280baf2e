"""Means of trades with intervals that allow for trades of one day moving together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from quant_assets.evaluation.price_bars import Floats, Ints

DAY_MS: Final = 86_400_000
MIN_DAYS: Final = 10
MIN_TRADES: Final = 30
#: Two-sided coverage of all intervals.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate and its 95 % interval, None where it cannot be computed."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> list[float] | None:
        """The two ends of the interval."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def days_of(entry_ms: Ints) -> Ints:
    """Return the UTC day of each entry, as days since 1970."""
    return entry_ms // DAY_MS


def is_too_few(trades: int, days: int) -> bool:
    """Return whether there are too few trades to say anything: under 30 trades, or entries on under 10 days."""
    return trades < MIN_TRADES or days < MIN_DAYS


def clustered_mean(values: Floats, days: Ints) -> Estimate:
    """Return the mean and its interval by the cluster-robust error with days as clusters.

    se² = D / (D − 1) × Σ over days (Σ in the day (x − mean))² / n², and the interval is mean ± t(0.975, D − 1) × se.
    """
    if not len(values):
        return Estimate(None)
    mean = float(values.mean())
    by_day = sums_by_day(values - mean, days)
    count = len(by_day)
    if count < 2:
        return Estimate(mean)
    error = math.sqrt(count / (count - 1) * float((by_day**2).sum())) / len(values)
    return around(mean, error, count)


def rank_correlation(first: Floats, second: Floats, days: Ints) -> Estimate:
    """Return Spearman's ρ, with average ranks for equal values, and its interval by the jackknife over days.

    se² = (D − 1) / D × Σ over days (ρ without the day − the mean of these)². None if one side is constant.
    """
    ranked = [_Ranked.of(values) for values in (first, second)]
    value = _correlation(*(each.rank - (len(first) + 1) / 2 for each in ranked))
    different, day = np.unique(days, return_inverse=True)
    count = len(different)
    if value is None or count < 2:
        return Estimate(value)
    without = [_correlation(*(each.without(day == number) for each in ranked)) for number in range(count)]
    known = [found for found in without if found is not None]
    if len(known) < count:
        return Estimate(value)
    error = math.sqrt((count - 1) / count * float(((np.array(known) - np.mean(known)) ** 2).sum()))
    return around(value, error, count)


def sums_by_day(values: Floats, days: Ints) -> Floats:
    """Return the sum of the values of each day that has any, in order of days."""
    if not len(days):
        return np.empty(0)
    place = days - days.min()
    return np.bincount(place, weights=values)[np.bincount(place) > 0].astype(np.float64)


def count_days(days: Ints) -> int:
    """Return the number of different days."""
    return int(np.count_nonzero(np.bincount(days - days.min()))) if len(days) else 0


def around(value: float, error: float, days: int) -> Estimate:
    """Return the estimate with the interval value ± t(0.975, D − 1) × error."""
    margin = student_t(days - 1) * error
    return Estimate(value, value - margin, value + margin)


@cache
def student_t(degrees: int) -> float:
    """Return the number that Student's t exceeds in absolute value with a probability of 5 %.

    Bisection of the distribution for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    low, high = 0.0, 13.0  # t(0.975, 1) is 12.706
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < CONFIDENCE else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """Return the probability that |Student's t| is at most t."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2
    term = total = cosine if is_odd else 1.0
    for number in range(2 + is_odd, degrees, 2):
        term *= cosine**2 * (number - 1) / number
        total += term
    if not is_odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if degrees > 1 else 0.0))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Values as ranks, the average for equal values."""

    rank: Floats
    place: Ints
    """The place of each value among the different ones."""
    different: int

    @classmethod
    def of(cls, values: Floats) -> _Ranked:
        found, place, count = np.unique(values, return_inverse=True, return_counts=True)
        last = count.cumsum()
        return cls(((2 * last - count + 1) / 2)[place], place, len(found))

    def without(self, left_out: npt.NDArray[np.bool_]) -> Floats:
        """Return the ranks of the others among themselves, less their mean; 0 for those that are left out.

        Ranks that are made anew for each day would take many times as long.
        """
        count = np.bincount(self.place[left_out], minlength=self.different)
        others = len(self.rank) - int(count.sum())
        below = count.cumsum() - count / 2 + (others + 1) / 2
        centred = self.rank - below[self.place]
        centred[left_out] = 0.0
        return centred


def _correlation(first: Floats, second: Floats) -> float | None:
    """Return the correlation of values with a mean of 0, None if one side is constant."""
    scale = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / scale if scale else None
