"""The registry of datasets: the built-in entries, and those of installed packages.

Everything that does something for each dataset goes by ENTRIES, SPECS and DATASETS, which are made when this module is
imported.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from quant_assets.common.plugins import load_plugin, plugins_of
from quant_assets.derivatives.bar_times import BAR_SECONDS
from quant_assets.derivatives.built_in_datasets import BUILT_IN, OPEN_INTEREST
from quant_assets.derivatives.dataset_spec import DatasetSpec, find_problem
from quant_assets.markets.datasets import Dataset

__all__ = [
    "BAR_SECONDS",
    "DATASETS",
    "ENTRIES",
    "LOADED_DATASETS",
    "PRIMARY_DATASET",
    "PROBLEMS",
    "SPECS",
    "Dataset",
    "DatasetSpec",
]

ENTRY_POINT_GROUP: Final = "quant_assets.datasets"
"""Group of entry points that load a `DatasetSpec`."""
LOADED_DATASETS: Final = "QUANT_ASSETS_LOADED_DATASETS"
"""Variable with the names of the datasets of a code location. Its run processes inherit it: they leave out what was
installed later, since the graph of the code location lacks it."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The valid entries, the built-in ones first, and one message for each invalid one."""

    entries: tuple[DatasetSpec, ...]
    problems: tuple[str, ...]


def discover_datasets(loaded: Collection[str] | None = None) -> Discovered:
    """Return the built-in entries and those of installed packages; if `loaded` is given, only those that it names.

    An entry that cannot be loaded, is not valid, or has the name or a value of another is reported in `problems` and
    does not affect the others.
    """
    found, problems = list(BUILT_IN), []
    for source, load in plugins_of(ENTRY_POINT_GROUP):
        spec, problem = load_plugin(load, lambda spec: find_problem(spec) or _conflict(spec, found))
        if problem:
            problems.append(f"{source} {problem}")
        elif loaded is None or spec.name in loaded:
            found.append(spec)
    return Discovered(tuple(found), tuple(problems))


def _conflict(spec: DatasetSpec, found: Collection[DatasetSpec]) -> str:
    """Return how an added entry conflicts with those found; empty if it does not."""
    if spec.features:
        return "has features, which only built-in datasets can have: its values are in Features.extra"
    for other in found:
        if spec.name == other.name:
            return f"has a name that is taken: {spec.name}"
        shared = {*spec.inputs.values(), spec.age_column} & {*other.inputs.values(), other.age_column}
        if shared:
            return f"has values that {other.name} has too: {', '.join(sorted(shared))}"
    return ""


_loaded = os.environ.get(LOADED_DATASETS)
_discovered = discover_datasets(None if _loaded is None else _loaded.split(","))
ENTRIES: Final[tuple[DatasetSpec, ...]] = _discovered.entries
"""The entries, in the order in which datasets are shown."""
PROBLEMS: Final[tuple[str, ...]] = _discovered.problems
"""What is wrong with entries of installed packages, which are left out."""
SPECS: Final[Mapping[Dataset, DatasetSpec]] = {spec.name: spec for spec in ENTRIES}
"""Name → entry, in the same order."""
DATASETS: Final[tuple[Dataset, ...]] = tuple(SPECS)
PRIMARY_DATASET: Final[Dataset] = OPEN_INTEREST.name
"""The dataset that decides a market's status and is fetched first."""
