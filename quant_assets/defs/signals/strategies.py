"""The stage `signals`: one table for each strategy that is registered."""

import time
from collections.abc import Iterator

import dagster as dg

from quant_assets.orchestration import columns
from quant_assets.orchestration.checks import Evaluated, WindowResult, window_check, window_results
from quant_assets.orchestration.conditions import FOLLOWS_ITS_INPUTS, FRESH_FOR_A_WINDOW
from quant_assets.orchestration.partitions import FOUR_HOURS, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import ANALYSIS
from quant_assets.orchestration.resources import Strategies
from quant_assets.signals import Strategy, parameters_of, run_strategy

SHOWN_FAILURES = 5


def signal_asset(strategy: Strategy) -> dg.AssetsDefinition:
    """Return the asset `signals/KEY` of a strategy."""

    judged = window_check(["signals", strategy.key], "judged", "The strategy failed on no market.")

    @dg.asset(
        key=["signals", strategy.key],
        group_name="signals",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        backfill_policy=FOUR_HOURS,
        freshness_policy=FRESH_FOR_A_WINDOW,
        automation_condition=FOLLOWS_ITS_INPUTS,
        pool=ANALYSIS,
        description=f"{strategy.description} One row a market: bias, action, score with its parts, setup or reason.",
        metadata=columns.schema(columns.signal_columns(strategy)),
        check_specs=[judged],
    )
    def signals(
        context: dg.AssetExecutionContext, features: Tables, strategies: dg.ResourceParam[Strategies]
    ) -> Iterator[dg.Output[Tables] | Evaluated]:
        tables: Tables = {}
        results: dict[str, WindowResult] = {}
        judge = strategies.load()[strategy.key]
        windows = windows_of(context)
        for window in windows:
            started = time.perf_counter()
            failures: list[str] = []
            table = tables[window.key] = run_strategy(judge, features[window.key], failures.append)
            actions = table["action"].value_counts()
            context.add_asset_metadata(
                {
                    "dagster/row_count": len(table),
                    **{action: int(actions.get(action, 0)) for action in ("LONG", "SHORT", "WAIT")},
                    **({"best_score": float(table["score"].max())} if len(table) else {}),
                    "parameters": dg.MetadataValue.json(parameters_of(judge)),
                    "failures": dg.MetadataValue.json(failures[:SHOWN_FAILURES]),
                    "seconds": time.perf_counter() - started,
                },
                partition_key=window.key,
            )
            first = failures[:SHOWN_FAILURES]
            results[window.key] = WindowResult(
                not failures, {"failures": len(failures), "first": dg.MetadataValue.json(first)}
            )
            for failure in first:
                context.log.warning(failure)
        # Dagster shows the lineage of the newest materialization.
        context.add_asset_metadata(columns.lineage(strategy), partition_key=windows[-1].key)
        yield dg.Output(tables)
        yield from window_results(context, judged, results)

    return signals
