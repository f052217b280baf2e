"""Report checks of assets that are partitioned by window: one result for each window of a run.

Dagster plans a check for each window of a run, and shows a planned check without a result as skipped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from quant_assets.orchestration.partitions import WINDOWS

#: What an asset yields for a check.
CheckEvent = dg.Output[None] | dg.AssetCheckResult | dg.AssetCheckEvaluation


@dataclass(frozen=True, slots=True)
class WindowCheckResult:
    """The result of a check for one window, and its numbers."""

    passed: bool
    metadata: Mapping[str, dg.MetadataValue[Any] | int | float | str] = field(default_factory=dict)


def window_check_spec(
    asset: str | list[str], name: str, description: str, *, blocking: bool = False
) -> dg.AssetCheckSpec:
    """Return the spec of a check of an asset that is partitioned by window."""
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=WINDOWS)


def window_check_results(
    context: dg.AssetExecutionContext,
    spec: dg.AssetCheckSpec,
    results: Mapping[str, WindowCheckResult],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> Iterator[CheckEvent]:
    """Yield the results of a check, given by window key. Call it after yielding the asset's output."""
    if context.has_partition_key:
        ((_, result),) = results.items()
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=bool(result.passed),
            severity=severity,
            metadata=result.metadata,
        )
    else:
        # Dagster's `AssetCheckResult` is for one partition; a range of windows needs an evaluation for each.
        output = spec.get_python_identifier()
        if output in context.op_execution_context.selected_output_names:
            yield dg.Output(None, output)
        for key, result in results.items():
            yield _evaluation(spec, result, severity, key)
    _report_again_if_overtaken(context, spec, results, severity)


def _evaluation(
    spec: dg.AssetCheckSpec, result: WindowCheckResult, severity: dg.AssetCheckSeverity, partition: str | None
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=bool(result.passed),
        severity=severity,
        blocking=spec.blocking,
        metadata=result.metadata,
        partition=partition,
    )


def _report_again_if_overtaken(
    context: dg.AssetExecutionContext,
    spec: dg.AssetCheckSpec,
    results: Mapping[str, WindowCheckResult],
    severity: dg.AssetCheckSeverity,
) -> None:
    """Report a result again if a run that was planned later has already checked the same window.

    Dagster shows the result that was planned last. It belongs to a table that this run has replaced, so Dagster would
    show the check as not evaluated. The new report is of no run, and Dagster stores only one of those for a check and
    partition; so it is reported without a partition, with the window as metadata.
    """
    shown = context.instance.get_latest_asset_check_evaluation_record(spec.key)
    if shown is None or shown.run_id == context.run.run_id or shown.evaluation is None:
        return
    window = max(results) if shown.partition is None else shown.partition
    table = context.instance.get_latest_materialization_event(spec.asset_key)
    if window in results and table is not None:
        # The result must be newer than the table, and SQLite keeps its time in whole seconds.
        time.sleep(min(max(int(table.timestamp) + 1 - time.time(), 0.0), 1.0))
        result = results[window]
        again = WindowCheckResult(result.passed, {**result.metadata, "window": window})
        context.instance.report_runless_asset_event(_evaluation(spec, again, severity, partition=None))
