"""Which parameters are tried: the ranges of a search, and the trials drawn from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from quant_assets.signals import ParametersError, Strategy, parameters_of, with_values
from quant_assets.signals.parameters import COMMON_LIMITS

#: Steps in the range of a parameter without a declared step.
STEPS: Final = 20
MAX_VALUES: Final = 10_000
_UNLIMITED: Final = (-math.inf, math.inf)


class RangeError(ValueError):
    """An invalid range of a parameter; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The values of one parameter that a search tries."""

    parameter: str
    values: tuple[float, ...]

    @property
    def step(self) -> float | None:
        """The step from one value to the next, None if there is only one."""
        return round(self.values[1] - self.values[0], 10) if len(self.values) > 1 else None


@dataclass(frozen=True, slots=True)
class Trials:
    """One strategy with different parameters; the first are those in force."""

    ranges: tuple[SearchRange, ...]
    strategies: tuple[Strategy, ...]
    combinations: int
    """Combinations of values that the ranges have."""
    refused: int
    """Combinations that the strategy itself refused."""

    def values(self, number: int) -> dict[str, Any]:
        """Return the searched parameters of a trial."""
        found = parameters_of(self.strategies[number])
        return {one.parameter: found[one.parameter] for one in self.ranges}


def search_ranges(strategy: Strategy, given: Sequence[str] = ()) -> tuple[SearchRange, ...]:
    """Return the ranges that a search tries: those given as `parameter=min:max:step`, or the declared ones.

    The step may be left out. A declared range is that of `search_ranges`, or else of `limits`, of a number. Raises
    RangeError for an unknown parameter, a range outside its limits, or if there is nothing to search.
    """
    numbers = {
        name: value
        for name, value in parameters_of(strategy).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if given:
        ranges = tuple(_parsed(strategy, numbers, text) for text in given)
        repeated = [one.parameter for number, one in enumerate(ranges) if one.parameter in _names(ranges[:number])]
        if repeated:
            raise RangeError(f"--range {repeated[0]} is given twice: give one range for each parameter")
    else:
        declared = {**strategy.limits, **strategy.search_ranges}
        ranges = tuple(
            _range(strategy, name, value, *declared[name], None, f"the declared range of {name}")
            for name, value in numbers.items()
            if name in declared
        )
    if not ranges:
        raise RangeError(
            f"{strategy.name} declares no ranges to search: give some, e.g. --range NAME=MIN:MAX:STEP; its numbers are "
            f"{', '.join(numbers)}"
        )
    return ranges


def draw_trials(strategy: Strategy, ranges: Sequence[SearchRange], count: int, seed: int) -> Trials:
    """Return the trials of a search: all combinations up to `count`, else `count` random ones that follow from `seed`.

    The parameters in force are always the first trial. Raises RangeError if there is no other.
    """
    combinations = count_combinations(ranges)
    names = [one.parameter for one in ranges]
    in_force = tuple(parameters_of(strategy)[name] for name in names)
    found, refused = [strategy], 0
    for values in _combinations(ranges, combinations, count, seed, in_force):
        changed = with_range_values(strategy, ranges, values)
        if changed is None:
            refused += 1
        else:
            found.append(changed)
    if len(found) < 2:
        raise RangeError(
            f"there is nothing to search: the ranges of {', '.join(names)} have no other values than those in force"
            + (f" that {strategy.name} takes" if refused else "")
        )
    return Trials(tuple(ranges), tuple(found), combinations, refused)


def count_combinations(ranges: Sequence[SearchRange]) -> int:
    """Return how many combinations of values the ranges have."""
    return math.prod(len(one.values) for one in ranges)


def with_range_values(strategy: Strategy, ranges: Sequence[SearchRange], values: Sequence[Any]) -> Strategy | None:
    """Return the strategy with a value of each range, None if it refuses them."""
    named = {one.parameter: value for one, value in zip(ranges, values, strict=True)}
    try:
        (changed,) = with_values([strategy], {strategy.key: named}, Path("--range"))
    except ParametersError:
        return None
    return changed


def _combinations(
    ranges: Sequence[SearchRange], combinations: int, count: int, seed: int, in_force: tuple[Any, ...]
) -> Iterable[tuple[Any, ...]]:
    """Return the combinations to try besides those in force."""
    axes = [one.values for one in ranges]
    if combinations <= count:
        return (values for values in itertools.product(*axes) if values != in_force)
    return itertools.islice(_random_combinations(axes, seed, in_force), count - 1)


def _random_combinations(
    axes: Sequence[tuple[float, ...]], seed: int, seen_first: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    """Yield different combinations in random order, without end: take fewer than there are."""
    generator, seen = np.random.default_rng(seed), {seen_first}
    while True:
        values = tuple(axis[int(generator.integers(len(axis)))] for axis in axes)
        if values not in seen:
            seen.add(values)
            yield values


def _parsed(strategy: Strategy, numbers: Mapping[str, float], text: str) -> SearchRange:
    name, _, bounds = text.partition("=")
    name = name.strip().removeprefix(f"{strategy.key}.")
    if name not in numbers:
        raise RangeError(
            f"--range {text}: unknown parameter {name!r}; numbers of {strategy.name} are {', '.join(numbers)}"
        )
    try:
        minimum, maximum, *rest = [float(part) for part in bounds.split(":")]
        (step,) = rest or [math.nan]
    except ValueError:
        raise RangeError(f"Invalid --range {text!r}: expected {name}=MIN:MAX or {name}=MIN:MAX:STEP") from None
    return _range(strategy, name, numbers[name], minimum, maximum, step if rest else None, f"--range {text}")


def _range(
    strategy: Strategy, name: str, value: float, minimum: float, maximum: float, step: float | None, where: str
) -> SearchRange:
    lowest, highest = {**COMMON_LIMITS, **strategy.limits}.get(name, _UNLIMITED)
    if not (lowest <= minimum <= maximum <= highest and math.isfinite(maximum - minimum)):
        limits = f", within {lowest:g} to {highest:g}" if (lowest, highest) != _UNLIMITED else ""
        raise RangeError(f"{where}: expected MIN up to MAX{limits}")
    if step is None:
        step = strategy.steps.get(name) or (maximum - minimum) / STEPS or 1.0
        step = max(round(step), 1) if isinstance(value, int) else step
    if not 0 < step < math.inf:
        raise RangeError(f"{where}: the step must be above 0")
    if isinstance(value, int) and not all(float(number).is_integer() for number in (minimum, maximum, step)):
        raise RangeError(f"{where}: {name} is a whole number, and so must be its range and step")
    count = math.floor((maximum - minimum) / step + 1e-9) + 1
    if count > MAX_VALUES:
        raise RangeError(f"{where}: {count:,} values are too many, at most {MAX_VALUES:,}; choose a larger step")
    return SearchRange(name, tuple(type(value)(round(minimum + number * step, 10)) for number in range(count)))


def _names(ranges: Iterable[SearchRange]) -> set[str]:
    return {one.parameter for one in ranges}
