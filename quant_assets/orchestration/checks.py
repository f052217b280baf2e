"""Checks of what is partitioned by window: each window of a run has a result of its own.

Dagster plans a check for each window that a run is about, and shows a plan without a result as skipped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from quant_assets.orchestration.partitions import WINDOWS

#: What is yielded for a check.
Evaluated = dg.Output[None] | dg.AssetCheckResult | dg.AssetCheckEvaluation


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Whether a check passed for one window, and the numbers behind it."""

    passed: bool
    metadata: Mapping[str, dg.MetadataValue[Any] | int | float | str] = field(default_factory=dict)


def window_check(asset: str | list[str], name: str, description: str, *, blocking: bool = False) -> dg.AssetCheckSpec:
    """Return the declaration of a check of an asset that is partitioned by window."""
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=WINDOWS)


def window_results(
    context: dg.AssetExecutionContext,
    spec: dg.AssetCheckSpec,
    results: Mapping[str, WindowResult],
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> Iterator[Evaluated]:
    """Give the results of a check, by the window's key; yield them after the asset's output."""
    evaluations = {
        key: dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=bool(result.passed),
            severity=severity,
            blocking=spec.blocking,
            metadata=result.metadata,
            partition=key,
        )
        for key, result in results.items()
    }
    if context.has_partition_key:
        ((_, evaluation),) = evaluations.items()
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=evaluation.passed,
            severity=severity,
            metadata=evaluation.metadata,
        )
    else:
        # Dagster's `AssetCheckResult` speaks of a single partition, and would leave the windows of a range without.
        output = spec.get_python_identifier()
        if output in context.op_execution_context.selected_output_names:
            yield dg.Output(None, output)
        yield from evaluations.values()
    _repeat_for_runs_that_were_overtaken(context, spec, evaluations)


def _repeat_for_runs_that_were_overtaken(
    context: dg.AssetExecutionContext, spec: dg.AssetCheckSpec, evaluations: Mapping[str, dg.AssetCheckEvaluation]
) -> None:
    """Report the result once more where a run that was planned after this one has come to the window before it.

    Dagster shows the result that was planned last. That one is about a table that this run has replaced, so the check
    would count as not evaluated.
    """
    shown = context.instance.get_latest_asset_check_evaluation_record(spec.key)
    if shown is None or shown.run_id == context.run.run_id or shown.evaluation is None:
        return
    table = context.instance.get_latest_materialization_event(spec.asset_key)
    if shown.partition in evaluations and table is not None:
        # Dagster compares the moments, and keeps that of a result in whole seconds in SQLite.
        time.sleep(min(max(int(table.timestamp) + 1 - time.time(), 0.0), 1.0))
        context.instance.report_runless_asset_event(evaluations[shown.partition])
