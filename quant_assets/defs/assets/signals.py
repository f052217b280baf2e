"""The stage `signals`: one table for each strategy that is registered."""

import time
from collections.abc import Iterator

import dagster as dg

from quant_assets.defs import columns
from quant_assets.defs.conditions import FOLLOWS_ITS_INPUTS, FRESH_FOR_A_WINDOW
from quant_assets.defs.partitions import FOUR_HOURS, WINDOWS, Tables, windows_of
from quant_assets.defs.pools import ANALYSIS
from quant_assets.defs.resources import Strategies
from quant_assets.signals import Strategy, parameters_of, run_strategy

SHOWN_FAILURES = 5


def signal_asset(strategy: Strategy) -> dg.AssetsDefinition:
    """Return the asset `signals/KEY` of a strategy."""

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
        check_specs=[
            dg.AssetCheckSpec(
                "judged", asset=["signals", strategy.key], description="The strategy failed on no market."
            )
        ],
    )
    def signals(
        context: dg.AssetExecutionContext, features: Tables, strategies: dg.ResourceParam[Strategies]
    ) -> Iterator[dg.Output[Tables] | dg.AssetCheckResult]:
        tables: Tables = {}
        failures: list[str] = []
        judge = strategies.load()[strategy.key]
        windows = windows_of(context)
        for window in windows:
            started, failed_before = time.perf_counter(), len(failures)
            table = tables[window.key] = run_strategy(judge, features[window.key], failures.append)
            actions = table["action"].value_counts()
            context.add_asset_metadata(
                {
                    "dagster/row_count": len(table),
                    **{action: int(actions.get(action, 0)) for action in ("LONG", "SHORT", "WAIT")},
                    **({"best_score": float(table["score"].max())} if len(table) else {}),
                    "parameters": dg.MetadataValue.json(parameters_of(judge)),
                    "failures": dg.MetadataValue.json(failures[failed_before:][:SHOWN_FAILURES]),
                    "seconds": time.perf_counter() - started,
                },
                partition_key=window.key,
            )
        # Dagster shows the lineage of the newest materialization.
        context.add_asset_metadata(columns.lineage(strategy), partition_key=windows[-1].key)
        for failure in failures[:SHOWN_FAILURES]:
            context.log.warning(failure)
        yield dg.Output(tables)
        yield dg.AssetCheckResult(
            check_name="judged",
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failures": len(failures), "first": dg.MetadataValue.json(failures[:SHOWN_FAILURES])},
        )

    return signals
