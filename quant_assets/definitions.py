"""What Dagster loads: assets, jobs and resources put together, and nothing else.

`defs` follows the environment; the command line builds its own with its own progress.
"""

from __future__ import annotations

import os

import dagster as dg

from quant_assets.defs.assets.candles import candles
from quant_assets.defs.assets.derivatives import derivatives
from quant_assets.defs.assets.features import features
from quant_assets.defs.assets.feed import feed_asset
from quant_assets.defs.assets.markets import coinalyze_markets, symbol_map
from quant_assets.defs.assets.signals import signal_asset
from quant_assets.defs.automation import (
    market_list_every_day,
    new_candles,
    refresh_every_quarter_hour,
    scan_every_quarter_hour,
)
from quant_assets.defs.io_managers import DocumentIOManager, TableIOManager
from quant_assets.defs.jobs import market_list_job, refresh_job, scan_job
from quant_assets.defs.resources import Cadences, CandleFolder, Coinalyze, FeedFile, MarketRules
from quant_assets.lake import Lake
from quant_assets.progress import Progress, silent
from quant_assets.settings import Settings
from quant_assets.signals import discover_strategies


def build_definitions(settings: Settings, progress: Progress = silent) -> dg.Definitions:
    """Put everything together for these settings."""
    strategies = discover_strategies().strategies
    lake = Lake(settings.lake_dir)
    return dg.Definitions(
        assets=[
            candles,
            coinalyze_markets,
            symbol_map,
            derivatives,
            features,
            *(signal_asset(strategy) for strategy in strategies),
            feed_asset(strategies),
        ],
        jobs=[market_list_job, scan_job, refresh_job],
        schedules=[scan_every_quarter_hour, refresh_every_quarter_hour, market_list_every_day],
        sensors=[new_candles],
        # One process: a step takes milliseconds, and what one writes the next has in memory.
        executor=dg.in_process_executor,
        resources={
            "io_manager": TableIOManager(lake),
            "document_io_manager": DocumentIOManager(lake),
            "lake": lake,
            "progress": progress,
            "coinalyze": Coinalyze(
                base_url=settings.base_url,
                calls_per_minute=settings.calls_per_minute,
                store_dir=str(settings.store_dir),
                provider=settings.provider,
                key_variable=settings.key_variable,
            ),
            "candle_folder": CandleFolder(path=str(settings.candle_folder)),
            "market_rules": MarketRules(path=str(settings.rules_path)),
            "cadences": Cadences(path=str(settings.policy_path)),
            "feed_file": FeedFile(path=str(settings.feed_path)),
        },
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Follow the environment."""
    return build_definitions(Settings.from_environment(os.environ))
