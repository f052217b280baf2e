"""The inputs from which the Dagster definitions are built."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.settings import Settings
from quant_assets.signals import Strategy, discover_strategies
from quant_assets.storage.database_clock import clock_of
from quant_assets.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Project:
    """The settings, strategies, progress and clock that each module of `quant_assets.defs` builds from.

    Each of `strategies` gets an asset; those in `not_loaded` were installed after the code location was loaded. If
    `origin_problem` is not empty, runs that fetch or resolve fail with it.
    """

    settings: Settings
    strategies: tuple[Strategy, ...]
    not_loaded: tuple[Strategy, ...] = ()
    progress: Progress = silent
    clock: Clock = SYSTEM
    origin_problem: str = ""

    @classmethod
    def of(
        cls,
        settings: Settings,
        progress: Progress = silent,
        clock: Clock | None = None,
        *,
        loaded: Collection[str] | None = None,
        origin_problem: str = "",
    ) -> Project:
        """Discover the strategies. If `loaded` is given, strategies whose keys are not in it get no asset.

        Without a clock, that of the settings counts.
        """
        found = discover_strategies(settings.strategies_dir).strategies
        strategies = tuple(strategy for strategy in found if loaded is None or strategy.key in loaded)
        not_loaded = tuple(strategy for strategy in found if strategy not in strategies)
        return cls(settings, strategies, not_loaded, progress, clock or clock_of(settings), origin_problem)

    @property
    def lake(self) -> Lake:
        """Return the lake of the data folder."""
        return Lake(self.settings.lake_place)
