"""Entry points of installed packages, loaded so that a broken one affects nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from typing import Any

Source = tuple[str, Callable[[], Any]]
"""What a message calls a plugin, and the function that loads it."""


def plugins_of(group: str) -> Iterator[Source]:
    """Yield the entry points of a group by name; a class is called without arguments."""
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):

        def load(point: EntryPoint = point) -> Any:
            loaded = point.load()
            return loaded() if isinstance(loaded, type) else loaded

        yield f"plugin {point.name} ({point.value})", load


def load_plugin(load: Callable[[], Any], find_problem: Callable[[Any], str]) -> tuple[Any, str]:
    """Return what `load` loads, and what is wrong with it: an empty text if nothing is.

    `find_problem` runs the plugin's code too: an error of either is a problem.
    """
    loaded = None
    try:
        with redirect_stdout(sys.stderr):  # a plugin's prints must not mix with JSON on stdout
            loaded = load()
            return loaded, find_problem(loaded)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return loaded, f"cannot be loaded: {type(error).__name__}: {error}"
