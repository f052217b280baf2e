"""What definitions are made from: the settings, the strategies, and what a caller sets for its own runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.settings import Settings
from quant_assets.signals import Strategy, discover_strategies
from quant_assets.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Project:
    """What each module of `quant_assets.defs` builds its definitions from.

    `strategies` have an asset each; those `not_loaded` were installed after the code location was loaded. Runs that
    would fetch or resolve fail with `origin_problem`, where there is one.
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
        clock: Clock = SYSTEM,
        *,
        loaded: Collection[str] | None = None,
        origin_problem: str = "",
    ) -> Project:
        """Discover the strategies; those whose keys are not in `loaded` get no asset, where that is given."""
        found = discover_strategies().strategies
        strategies = tuple(strategy for strategy in found if loaded is None or strategy.key in loaded)
        not_loaded = tuple(strategy for strategy in found if strategy not in strategies)
        return cls(settings, strategies, not_loaded, progress, clock, origin_problem)

    @property
    def lake(self) -> Lake:
        """Where the tables are."""
        return Lake(self.settings.lake_dir)
