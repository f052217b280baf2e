"""Checks of what is partitioned by window: each window of a run has a result of its own.

Dagster plans a check for each window that a run is about, and shows a plan without a result as skipped.
"""

from __future__ import annotations

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
    if context.has_partition_key:
        ((_, result),) = results.items()
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=bool(result.passed),
            severity=severity,
            metadata=result.metadata,
        )
        return
    # Dagster's `AssetCheckResult` speaks of a single partition, and would leave the windows of a range without.
    output = spec.get_python_identifier()
    if output in context.op_execution_context.selected_output_names:
        yield dg.Output(None, output)
    for key, result in results.items():
        yield dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=bool(result.passed),
            severity=severity,
            blocking=spec.blocking,
            metadata=result.metadata,
            partition=key,
        )
