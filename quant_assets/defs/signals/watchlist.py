"""The asset `watchlist`: the markets in the order in which their derivatives are worth fetching."""

import time
from collections.abc import Sequence

import dagster as dg
import pandas as pd

from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import FOLLOW_INPUTS, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import WINDOW_TABLES
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.resources import Strategies
from quant_assets.signals import (
    MarketCandles,
    Strategy,
    build_watchlist,
    has_indicators,
    run_strategy,
    run_strategy_by_columns,
)


def watchlist_asset(strategies: Sequence[Strategy]) -> dg.AssetsDefinition:
    """Return the asset `watchlist`; it reads candles if any of the strategies has indicators of its own."""
    reads_candles = any(has_indicators(strategy) for strategy in strategies)

    @dg.asset(
        name="watchlist",
        group_name="signals",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        backfill_policy=BACKFILL_POLICY,
        io_manager_key=WINDOW_TABLES,
        freshness_policy=WINDOW_FRESHNESS,
        automation_condition=FOLLOW_INPUTS,
        ins={"candles": dg.AssetIn()} if reads_candles else {},
        description=(
            "The order in which derivatives are worth fetching: markets with a setup, those near one, the rest; then "
            "by traded volume. All strategies judge the candle features with neutral derivatives. A refresh takes the "
            "newest."
        ),
        metadata=columns.schema(columns.WATCHLIST),
    )
    def watchlist(
        context: dg.AssetExecutionContext,
        candle_features: Tables,
        strategies: dg.ResourceParam[Strategies],
        **inputs: pd.DataFrame,
    ) -> Tables:
        configured = list(strategies.load().values())
        candles = MarketCandles(inputs["candles"]) if reads_candles else None
        windows = windows_of(context)
        run = run_strategy if len(windows) == 1 else run_strategy_by_columns
        tables: Tables = {}
        for window in windows:
            started = time.perf_counter()
            table = tables[window.key] = build_watchlist(candle_features[window.key], window, configured, candles, run)
            context.add_asset_metadata(
                {
                    "dagster/row_count": len(table),
                    "setup": int(table["setup"].sum()),
                    "near": int(table["near"].sum()),
                    "seconds": time.perf_counter() - started,
                },
                partition_key=window.key,
            )
        return tables

    return watchlist
