"""Merge the Dagster definitions of every module of `quant_assets.defs`. Dagster loads `defs` from here."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

import dagster as dg

from quant_assets import defs as stages
from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.settings import Settings
from quant_assets.derivatives.datasets import DATASETS, LOADED_DATASETS
from quant_assets.orchestration.project import Project
from quant_assets.providers.registry import LOADED_PROVIDERS, PROVIDERS
from quant_assets.signals import discover_strategies
from quant_assets.storage.origins import environment_settings

#: The keys of the strategies of a code location. Its run processes inherit this variable: they discover strategies
#: again, and must leave out those that were installed later, since the graph of the code location lacks them.
LOADED_STRATEGIES: Final = "QUANT_ASSETS_LOADED_STRATEGIES"


def build_definitions(
    settings: Settings,
    progress: Progress = silent,
    clock: Clock | None = None,
    *,
    loaded: Collection[str] | None = None,
    origin_problem: str = "",
) -> dg.Definitions:
    """Build the definitions of each module of `defs` and merge them; the arguments are those of `Project.of`."""
    project = Project.of(settings, progress, clock, loaded=loaded, origin_problem=origin_problem)
    modules = [import_module(f"{stages.__name__}.{found.name}") for found in iter_modules(stages.__path__)]
    return dg.Definitions.merge(*(module.build(project) for module in modules if hasattr(module, "build")))


@dg.definitions
def defs() -> dg.Definitions:
    """Build the definitions for the settings in the environment."""
    gc.set_threshold(200_000, 50, 1_000)  # a run is short and makes few reference cycles
    settings, origin_problem = environment_settings(fetches=True)
    found = ",".join(strategy.key for strategy in discover_strategies(settings.strategies_dir).strategies)
    os.environ.setdefault(LOADED_PROVIDERS, ",".join(PROVIDERS))
    os.environ.setdefault(LOADED_DATASETS, ",".join(DATASETS))
    loaded = os.environ.setdefault(LOADED_STRATEGIES, found).split(",")
    return build_definitions(settings, loaded=loaded, origin_problem=origin_problem)
