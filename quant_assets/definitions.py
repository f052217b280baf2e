"""What Dagster loads: assets, jobs and resources put together, and nothing else.

`defs` follows the environment; the command line builds its own with its own progress.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Collection
from typing import Final

import dagster as dg

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.progress import Progress, silent
from quant_assets.common.settings import WEBHOOK_VARIABLE, Settings
from quant_assets.defs.assets.candles import candles
from quant_assets.defs.assets.derivatives import derivatives
from quant_assets.defs.assets.disk_use import disk_use
from quant_assets.defs.assets.features import features
from quant_assets.defs.assets.feed import feed_asset
from quant_assets.defs.assets.markets import market_list_asset, symbol_map
from quant_assets.defs.assets.signals import signal_asset
from quant_assets.defs.jobs import analyse_job, market_list_job, prune_job, refresh_job, scan_job
from quant_assets.defs.schedules import prune_every_night, refresh_until_the_next_scan, scan_every_quarter_hour
from quant_assets.defs.sensors import keep_up, new_candles, tell_of_failed_runs, tell_of_stale_assets
from quant_assets.orchestration.io_managers import DocumentIOManager, TableIOManager
from quant_assets.orchestration.resources import (
    Cadences,
    CandleFolder,
    Coinalyze,
    FeedFile,
    Folders,
    MarketRules,
    Notifier,
    Retention,
    Strategies,
)
from quant_assets.signals import discover_strategies
from quant_assets.storage.lake import Lake
from quant_assets.storage.origins import environment_settings

#: Keys of the strategies of a code location. The processes that it starts for runs inherit it: they discover strategies
#: anew, and one that was installed since has no place in the graph that the runs were planned by.
LOADED_STRATEGIES: Final = "QUANT_ASSETS_LOADED_STRATEGIES"


def build_definitions(
    settings: Settings,
    progress: Progress = silent,
    clock: Clock = SYSTEM,
    *,
    loaded: Collection[str] | None = None,
    origin_problem: str = "",
) -> dg.Definitions:
    """Put everything together for these settings; with the strategies of these keys alone, where they are given.

    Runs that would fetch or resolve fail with `origin_problem`, where there is one.
    """
    found = discover_strategies().strategies
    strategies = [strategy for strategy in found if loaded is None or strategy.key in loaded]
    not_loaded = [strategy.name for strategy in found if strategy not in strategies]
    lake = Lake(settings.lake_dir)
    return dg.Definitions(
        assets=dg.with_source_code_references(
            [
                candles,
                market_list_asset(settings.provider),
                symbol_map,
                derivatives,
                features,
                *(signal_asset(strategy) for strategy in strategies),
                feed_asset(strategies, not_loaded),
                disk_use,
            ]
        ),
        jobs=[market_list_job, scan_job, analyse_job, refresh_job, prune_job],
        schedules=[scan_every_quarter_hour, refresh_until_the_next_scan, prune_every_night],
        sensors=[keep_up, new_candles, tell_of_failed_runs, tell_of_stale_assets],
        # One process: a step takes milliseconds, and what one writes the next has in memory.
        executor=dg.in_process_executor,
        resources={
            "io_manager": TableIOManager(lake),
            "document_io_manager": DocumentIOManager(lake),
            "lake": lake,
            "progress": progress,
            "clock": clock,
            "coinalyze": Coinalyze(
                base_url=settings.base_url,
                calls_per_minute=settings.calls_per_minute,
                store_dir=str(settings.store_dir),
                budget_path=str(settings.budget_path),
                provider=settings.provider,
                key_variable=settings.key_variable,
                data_dir=str(settings.data_dir),
                origin_problem=origin_problem,
            ),
            "candle_folder": CandleFolder(path=str(settings.candle_folder)),
            "market_rules": MarketRules(path=str(settings.rules_path)),
            "strategies": Strategies(found, settings.strategies_path),
            "cadences": Cadences(path=str(settings.policy_path)),
            "retention": Retention(path=str(settings.retention_path)),
            "folders": Folders(data=str(settings.data_dir), store=str(settings.store_dir)),
            "notifier": Notifier(address_variable=WEBHOOK_VARIABLE),
            "feed_file": FeedFile(path=str(settings.feed_path)),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Follow the environment."""
    gc.set_threshold(200_000, 50, 1_000)  # a run lives for seconds, and makes few cycles among many objects
    found = ",".join(strategy.key for strategy in discover_strategies().strategies)
    loaded = os.environ.setdefault(LOADED_STRATEGIES, found).split(",")
    settings, origin_problem = environment_settings(fetches=True)
    return build_definitions(settings, loaded=loaded, origin_problem=origin_problem)
