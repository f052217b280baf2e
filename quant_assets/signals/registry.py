"""Discovery of strategies: built-in ones, those of installed packages, and those of the user's folder."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from quant_assets.common.plugins import Source, load_plugin, plugins_of
from quant_assets.signals import strategies, user_strategies
from quant_assets.signals.features.bars import MAX_BARS
from quant_assets.signals.features.candle_features import MIN_BARS
from quant_assets.signals.gates import Gate
from quant_assets.signals.own.indicator import INDICATOR_NAME, Indicator
from quant_assets.signals.scores import SUMS
from quant_assets.signals.strategy import Strategy

ENTRY_POINT_GROUP = "quant_assets.strategies"
"""Group of entry points that load a `Strategy`, as an instance or as a class without required arguments."""
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_EXPLAINED: Final = frozenset({"bias", "setup"})
"""What a strategy may explain besides its parts and filters."""
_NO_STRATEGY = object()
"""Marks a module of `strategies` that only has helpers and defines no strategy."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """Valid strategies, sorted by key, and one message for each invalid one; `sources` says where each comes from."""

    strategies: tuple[Strategy, ...]
    problems: tuple[str, ...]
    sources: Mapping[str, str] = field(default_factory=dict)


def discover_strategies(folder: Path | None = None) -> Discovered:
    """Load every module of `quant_assets.signals.strategies` that defines `strategy`, plugins, and the user's files.

    A plugin is an entry point of the group `quant_assets.strategies`. User files are the Python files of `folder`, if
    it exists, except `test_*.py` and those that begin with an underscore. A file is loaded once for each process.
    A plugin or file that cannot be loaded, is not a valid strategy, or has the name or key of another strategy is
    reported in `problems` and does not affect the others.
    """
    found: list[Strategy] = []
    problems: list[str] = []
    sources: dict[str, str] = {}
    for source, load in (*_built_in(), *plugins_of(ENTRY_POINT_GROUP), *_of_user(folder)):
        strategy, problem = load_plugin(load, lambda loaded: _find_problem(loaded, found))
        if problem:
            problems.append(f"{source} {problem}")
        elif strategy is not _NO_STRATEGY:
            found.append(strategy)
            sources[strategy.key] = "built in" if source.startswith(f"{strategies.__name__}.") else source
    return Discovered(tuple(sorted(found, key=lambda strategy: strategy.key)), tuple(problems), sources)


def _built_in() -> Iterator[Source]:
    for module in sorted(pkgutil.iter_modules(strategies.__path__), key=lambda module: module.name):
        name = f"{strategies.__name__}.{module.name}"

        def load(name: str = name) -> Any:
            return getattr(importlib.import_module(name), "strategy", _NO_STRATEGY)

        yield name, load


def _of_user(folder: Path | None) -> Iterator[Source]:
    """Yield the files of the user's folder by name, each a module of the package `user_strategies`."""
    if folder is None or not folder.is_dir():
        return
    user_strategies.__path__ = [str(folder)]
    importlib.invalidate_caches()
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("_", "test_")):
            continue

        def load(path: Path = path) -> Any:
            name = f"{user_strategies.__name__}.{path.stem}"
            loaded = sys.modules.get(name)
            if loaded is not None and loaded.__file__ != str(path):
                del sys.modules[name]
            return getattr(importlib.import_module(name), "strategy", _NO_STRATEGY)

        yield f"file {path.name}", load


def _find_problem(strategy: Any, found: list[Strategy]) -> str:
    """Return why an object is not a valid strategy, or conflicts with those found; empty if it is valid."""
    if strategy is _NO_STRATEGY:
        return ""
    problem = (
        _declaration_problem(strategy)
        or _mappings_problem(strategy)
        or _limits_problem(strategy)
        or _indicators_problem(strategy)
        or _words_problem(strategy)
    )
    if problem:
        return problem
    if any(strategy.name == other.name or strategy.key == other.key for other in found):
        return f"has a name or key that is taken: {strategy.name} ({strategy.key})"
    return ""


def _declaration_problem(strategy: Any) -> str:
    """Return what is wrong with a strategy's names, parts and filters; empty if nothing is."""
    if not isinstance(strategy, Strategy):
        return f"is not a Strategy but {type(strategy).__name__}"
    for attribute in ("name", "key", "description", "strategy_type"):
        value = getattr(strategy, attribute, None)
        if not isinstance(value, str) or not value:
            return f"does not declare {attribute}, a non-empty text"
    if not _KEY.fullmatch(strategy.key):
        return f"has an invalid key {strategy.key!r}: expected lower-case letters, digits and underscores"
    for attribute in ("parts", "filters"):
        names = getattr(strategy, attribute, None)
        if not isinstance(names, tuple) or not all(isinstance(name, str) and _KEY.fullmatch(name) for name in names):
            return f"has invalid {attribute}: expected a tuple of names like money_flow"
        if len(set(names)) < len(names) or SUMS.intersection(names):
            return f"has invalid {attribute}: a name is repeated, or is base or total, which are reserved"
    return ""


def _mappings_problem(strategy: Strategy) -> str:
    """Return what is wrong with a strategy's limits and renamed parameters; empty if nothing is."""
    limits, renamed = strategy.limits, strategy.renamed_parameters
    if not isinstance(limits, Mapping) or not all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(bound, int | float) for bound in pair)
        for pair in limits.values()
    ):
        return 'has invalid limits: expected pairs of numbers, e.g. {"min_rsi": (0.0, 100.0)}'
    if not isinstance(renamed, Mapping) or not all(
        isinstance(name, str) for names in renamed.items() for name in names
    ):
        return 'has invalid renamed_parameters: expected old and new names, e.g. {"least_rsi": "min_rsi"}'
    steps = strategy.steps
    if not isinstance(steps, Mapping) or not all(_is_positive(step) for step in steps.values()):
        return 'has invalid steps: expected positive numbers, e.g. {"min_rsi": 5.0}'
    return ""


def _limits_problem(strategy: Strategy) -> str:
    """Return what is wrong with a strategy's history and time limits; empty if nothing is."""
    if not isinstance(strategy.look_back, int) or not MIN_BARS <= strategy.look_back <= MAX_BARS:
        return f"has an invalid look_back: expected {MIN_BARS} to {MAX_BARS} bars"
    if not isinstance(strategy.max_holding_minutes, int) or not _is_positive(strategy.max_holding_minutes):
        return "has an invalid max_holding_minutes: expected a whole number of minutes, e.g. 2880"
    if not isinstance(strategy.max_indicator_seconds, int | float) or not strategy.max_indicator_seconds >= 0:
        return "has an invalid max_indicator_seconds: expected seconds, e.g. 60.0"
    return ""


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _indicators_problem(strategy: Strategy) -> str:
    """Return what is wrong with the declaration of a strategy's own indicators; empty if nothing is."""
    declared = strategy.own_indicators
    if isinstance(declared, Mapping) and all(
        isinstance(name, str)
        and INDICATOR_NAME.fullmatch(name)
        and isinstance(indicator, Indicator)
        and isinstance(indicator.text, str)
        and isinstance(indicator.chart, str)
        for name, indicator in declared.items()
    ):
        return ""
    return 'has invalid own_indicators: expected e.g. {"macd": Indicator("MACD(12, 26) of 4h closes.", chart="MACD")}'


def _words_problem(strategy: Strategy) -> str:
    """Return what is wrong with a strategy's explanations and gates; empty if nothing is."""
    texts, gates = strategy.explanations(), strategy.gates()
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for text in texts.values()):
        return 'has invalid explanations: expected a sentence for each part, e.g. {"strength": "The 4h RSI."}'
    unknown = sorted(texts.keys() - {*strategy.parts, *strategy.filters, *_EXPLAINED})
    if unknown:
        return f"explains {', '.join(unknown)}: expected its parts and filters, bias, or setup"
    if not isinstance(gates, Mapping) or not all(isinstance(gate, Gate) for gate in gates.values()):
        return 'has invalid gates: expected e.g. {"rsi_too_low": Gate("RSI must be at least {limit}.", 60.0)}'
    return ""
