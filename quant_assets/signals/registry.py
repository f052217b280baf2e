"""Which strategies there are."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from quant_assets.signals import strategies
from quant_assets.signals.scores import SUMS
from quant_assets.signals.strategy import Strategy

GROUP = "quant_assets.strategies"
"""Entry points of this group load to a `Strategy`, as an instance or as a class that needs no argument."""
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_NOTHING = object()
"""What a module of `strategies` holds that defines no strategy, but helps those that do."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The strategies that can be run, sorted by key, and a line for each that cannot."""

    strategies: tuple[Strategy, ...]
    problems: tuple[str, ...]


def discover_strategies() -> Discovered:
    """Find every module in `quant_assets.signals.strategies` that defines `strategy`, and every plugin.

    A plugin is an entry point of the group `quant_assets.strategies`. One that cannot be loaded, is no strategy, or
    has a name or key that is taken (a built-in one has the first claim) is named among the problems and costs no other.
    """
    found: list[Strategy] = []
    problems: list[str] = []
    for source, load in (*_built_in(), *_plugins()):
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints must not end up in somebody's JSON
                strategy = load()
            problem = "" if strategy is _NOTHING else _why_refused(strategy, found)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code may fail in any way it likes
            problem = f"cannot be loaded: {type(error).__name__}: {error}"
        if problem:
            problems.append(f"{source} {problem}")
        elif strategy is not _NOTHING:
            found.append(strategy)
    return Discovered(tuple(sorted(found, key=lambda strategy: strategy.key)), tuple(problems))


def _built_in() -> Iterator[tuple[str, Callable[[], Any]]]:
    for module in sorted(pkgutil.iter_modules(strategies.__path__), key=lambda module: module.name):
        name = f"{strategies.__name__}.{module.name}"

        def load(name: str = name) -> Any:
            return getattr(importlib.import_module(name), "strategy", _NOTHING)

        yield name, load


def _plugins() -> Iterator[tuple[str, Callable[[], Any]]]:
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):

        def load(point: Any = point) -> Any:
            loaded = point.load()
            return loaded() if isinstance(loaded, type) else loaded

        yield f"plugin {point.name} ({point.value})", load


def _why_refused(strategy: Any, found: list[Strategy]) -> str:
    """Say why something is no strategy, or cannot stand beside those found; empty where it can."""
    problem = _misdeclared(strategy) or _without_limits(strategy)
    if problem:
        return problem
    if any(strategy.name == other.name or strategy.key == other.key for other in found):
        return f"is called {strategy.name} ({strategy.key}), which is taken"
    return ""


def _misdeclared(strategy: Any) -> str:
    """Say what a strategy's declaration lacks; empty where it is whole."""
    if not isinstance(strategy, Strategy):
        return f"is no Strategy but {type(strategy).__name__}"
    for attribute in ("name", "key", "description", "strategy_type"):
        value = getattr(strategy, attribute, None)
        if not isinstance(value, str) or not value:
            return f"declares no {attribute}"
    if not _KEY.fullmatch(strategy.key):
        return f"has the key {strategy.key!r}; small letters, digits and underscores make one"
    for attribute in ("parts", "filters"):
        names = getattr(strategy, attribute, None)
        if not isinstance(names, tuple) or not all(isinstance(name, str) and _KEY.fullmatch(name) for name in names):
            return f"declares {attribute} that are no tuple of names like money_flow"
        if len(set(names)) < len(names) or SUMS.intersection(names):
            return f"declares one of its {attribute} twice, or calls one base or total, as the feed calls sums of parts"
    return ""


def _without_limits(strategy: Strategy) -> str:
    """Say that a strategy's limits are none; empty where they are."""
    limits = strategy.limits
    if isinstance(limits, Mapping) and all(
        isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(bound, int | float) for bound in pair)
        for pair in limits.values()
    ):
        return ""
    return 'declares limits that are no pairs of numbers, such as {"min_rsi": (0.0, 100.0)}'
