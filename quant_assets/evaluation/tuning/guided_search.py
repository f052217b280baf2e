"""Trials that optuna suggests, guided by what earlier ones were worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import optuna

from quant_assets.evaluation.tuning.search import (
    RangeError,
    SearchRange,
    Trials,
    count_combinations,
    with_range_values,
)
from quant_assets.signals import Strategy, parameters_of

#: Suggestions at a time: the features of their trials are computed once.
BATCH: Final = 16
#: Rounds of suggestions for each that would be enough if none were repeated.
ROUNDS: Final = 4

Score = Callable[[Sequence[Strategy]], Sequence[float | None]]
"""Returns what strategies were worth, None where that cannot be said."""


def guided_trials(strategy: Strategy, ranges: Sequence[SearchRange], count: int, seed: int, score: Score) -> Trials:
    """Return at most `count` different trials: the parameters in force, and those that optuna's TPE sampler suggests.

    Fewer are returned if it goes on to repeat itself. `score` must not see what the trials are reported on. The same
    seed gives the same trials. Raises RangeError if there is no other trial than the parameters in force.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    axes: dict[str, optuna.distributions.BaseDistribution] = {
        one.parameter: optuna.distributions.IntDistribution(0, len(one.values) - 1) for one in ranges
    }
    in_force = tuple(parameters_of(strategy)[one.parameter] for one in ranges)
    found: dict[tuple[Any, ...], Strategy] = {in_force: strategy}
    worth: dict[tuple[Any, ...], float | None] = dict(zip(found, score([strategy]), strict=True))
    for _ in range(ROUNDS * math.ceil(count / BATCH)):
        trials = [study.ask(axes) for _ in range(BATCH)]
        suggested = [tuple(one.values[trial.params[one.parameter]] for one in ranges) for trial in trials]
        new: dict[tuple[Any, ...], Strategy] = {}
        for values in dict.fromkeys(suggested):
            if values not in worth and len(found) + len(new) < count:
                changed = with_range_values(strategy, ranges, values)
                worth[values] = None  # as it stays for what the strategy refuses
                new |= {} if changed is None else {values: changed}
        worth |= dict(zip(new, score(list(new.values())) if new else (), strict=True))
        found |= new
        for trial, values in zip(trials, suggested, strict=True):
            value = worth.get(values)
            state = optuna.trial.TrialState.FAIL if value is None else optuna.trial.TrialState.COMPLETE
            study.tell(trial, value, state=state)
        if len(found) == count:
            break
    if len(found) < 2:
        names = ", ".join(one.parameter for one in ranges)
        raise RangeError(f"there is nothing to search: no other values of {names} than those in force were taken")
    return Trials(tuple(ranges), tuple(found.values()), count_combinations(ranges), len(worth) - len(found))
