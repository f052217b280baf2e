"""The stage `signals`: one table for each strategy that is registered."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from quant_assets.defs import columns
from quant_assets.defs.partitions import WINDOWS
from quant_assets.signals import Strategy, run_strategy


def signal_asset(strategy: Strategy) -> dg.AssetsDefinition:
    """Return the asset `signals/KEY` of a strategy."""

    @dg.asset(
        key=["signals", strategy.key],
        group_name="signals",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        description=f"{strategy.description} One row a market: bias, action, score with its parts, setup or reason.",
        metadata=columns.described_schema(columns.signal_columns(strategy)),
        check_specs=[
            dg.AssetCheckSpec(
                "judged", asset=["signals", strategy.key], description="The strategy failed on no market."
            )
        ],
    )
    def signals(
        context: dg.AssetExecutionContext, features: pd.DataFrame
    ) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
        failures: list[str] = []
        table = run_strategy(strategy, features, failures.append)
        for failure in failures[:5]:
            context.log.warning(failure)
        actions = table["action"].value_counts()
        yield dg.AssetCheckResult(
            check_name="judged",
            passed=not failures,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"failures": len(failures), "first": dg.MetadataValue.json(failures[:5])},
        )
        yield dg.Output(
            table,
            metadata={
                **columns.table_metadata(table, columns.signal_columns(strategy)),
                **{action: int(actions.get(action, 0)) for action in ("LONG", "SHORT", "WAIT")},
                "best_score": float(table["score"].max()) if len(table) else 0.0,
                "failures": dg.MetadataValue.json(failures[:5]),
            },
        )

    return signals
