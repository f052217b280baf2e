"""The assets `signals/KEY`: one table for each registered strategy."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import CheckEvent, WindowCheckResult, window_check_results, window_check_spec
from quant_assets.orchestration.conditions import FOLLOW_INPUTS, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import WINDOW_TABLES
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.resources import Strategies
from quant_assets.signals import (
    FeaturesCache,
    MarketCandles,
    Strategy,
    describe,
    has_indicators,
    own_values,
    parameters_of,
    run_strategy,
    run_strategy_by_columns,
    usable_markets,
)

SHOWN_FAILURES = 5


def signal_asset(strategy: Strategy, problem: str = "") -> dg.AssetsDefinition:
    """Return the asset `signals/KEY` of a strategy, described with its parameters.

    `problem` is why these are not the parameters in force, "" if they are.
    """
    reads_candles = has_indicators(strategy)
    note = f"\n\n**These are the default parameters:** {problem}" if problem else ""
    no_errors = window_check_spec(
        ["signals", strategy.key], "no_strategy_errors", "The strategy raised no error on any market."
    )

    @dg.asset(
        key=["signals", strategy.key],
        group_name="signals",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        backfill_policy=BACKFILL_POLICY,
        io_manager_key=WINDOW_TABLES,
        freshness_policy=WINDOW_FRESHNESS,
        automation_condition=FOLLOW_INPUTS,
        ins={"candles": dg.AssetIn()} if reads_candles else {},
        description=describe(strategy) + note,
        metadata=columns.schema(columns.signal_columns(strategy)),
        check_specs=[no_errors],
    )
    def signals(
        context: dg.AssetExecutionContext,
        features: Tables,
        strategies: dg.ResourceParam[Strategies],
        features_cache: dg.ResourceParam[FeaturesCache],
        **inputs: pd.DataFrame,
    ) -> Iterator[dg.Output[Tables] | CheckEvent]:
        configured = strategies.load()[strategy.key]
        windows = windows_of(context)
        candles = MarketCandles(inputs["candles"]) if reads_candles else None
        tables: Tables = {}
        results: dict[str, WindowCheckResult] = {}
        for window in windows:
            started = time.perf_counter()
            failures: list[str] = []
            markets = features[window.key]
            if candles is None:
                own = None
                run = run_strategy if len(windows) == 1 else run_strategy_by_columns
                table = run(configured, markets, failures.append, features_cache)
            else:
                own = own_values(configured, candles, usable_markets(markets), window)
                table = run_strategy(configured, markets, failures.append, features_cache, own)
            tables[window.key] = table
            shown = failures[:SHOWN_FAILURES]
            for failure in shown:
                context.log.warning(failure)
            results[window.key] = WindowCheckResult(
                not failures, {"failures": len(failures), "first": dg.MetadataValue.json(shown)}
            )
            metadata = _metadata(table, configured, shown)
            metadata["seconds"] = time.perf_counter() - started
            if own is not None:
                metadata["indicator_seconds"] = own.seconds
            context.add_asset_metadata(metadata, partition_key=window.key)
        # Dagster shows the lineage and the words of the newest materialization.
        shown_columns = columns.signal_columns(configured, tables[windows[-1].key].columns)
        context.add_asset_metadata(
            {
                **columns.lineage(strategy, shown_columns),
                **(columns.schema(shown_columns) if reads_candles else {}),
                "rules": dg.MetadataValue.md(describe(configured)),
            },
            partition_key=windows[-1].key,
        )
        yield dg.Output(tables)
        yield from window_check_results(context, no_errors, results)

    return signals


def _metadata(table: pd.DataFrame, strategy: Strategy, failures: list[str]) -> dict[str, Any]:
    """Return the metadata of one window's table."""
    actions = table["action"].value_counts()
    return {
        "dagster/row_count": len(table),
        **{action: int(actions.get(action, 0)) for action in ("LONG", "SHORT", "WAIT")},
        **({"best_score": float(table["score"].max())} if len(table) else {}),
        "parameters": dg.MetadataValue.json(parameters_of(strategy)),
        "failures": dg.MetadataValue.json(failures),
    }
