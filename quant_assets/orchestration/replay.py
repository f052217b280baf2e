"""Replay windows: features, signals and feeds of a range again, in this process, without a daemon and without calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg

from quant_assets.common.progress import Progress
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import LTF
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.job_runs import materialized_metadata, plain_metadata, quiet_run_config, step_failure
from quant_assets.orchestration.partitions import BACKFILL_POLICY
from quant_assets.orchestration.run_tags import FIRST_PARTITION, LAST_PARTITION
from quant_assets.orchestration.scan import ScanFailed, scan_lock, translate_disk_errors
from quant_assets.signals import discover_strategies
from quant_assets.signals.features.candle_features import MAX_AGE_MS

WINDOWS_PER_RUN: Final = BACKFILL_POLICY.max_partitions_per_run or 1
ACTIONS: Final = ("LONG", "SHORT", "WAIT")
_MINUTE: Final = "%Y-%m-%dT%H:%MZ"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The counts of a replay; `actions` counts the signals of all windows by action.

    `published` says whether the newest window replaced the master feed.
    """

    windows: int
    runs: int
    markets: int
    actions: dict[str, int]
    published: bool
    elapsed_seconds: float


def windows_between(first: Window, last: Window) -> list[Window]:
    """Return the windows from the first to the last, both included, the oldest first."""
    count = (last.end - first.end) // WINDOW_LENGTH + 1
    return [Window(first.end + number * WINDOW_LENGTH) for number in range(count)]


def run_replay(
    settings: Settings, definitions: dg.Definitions, folder: Path | None, windows: Sequence[Window], progress: Progress
) -> ReplayResult:
    """Materialize features, signals and feeds of consecutive windows, the oldest first.

    The candles are those of `folder` alone; None for the stored ones of exchanges, of the whole range, and those of the
    environment's folder. Derivatives are those stored for each window, or carried forward to it. Raises ScanFailed; the
    windows of earlier runs are kept.
    """
    started = time.monotonic()
    strategies = discover_strategies(settings.strategies_dir).strategies
    signals = [dg.AssetKey(["signals", strategy.key]) for strategy in strategies]
    inputs = [dg.AssetKey(name) for name in ("candles", "candle_files", "symbol_map")]
    before, after = ("candle_features", "watchlist", "features"), ("track_record", "master_feed")
    by_window = [*map(dg.AssetKey, before), *signals, *map(dg.AssetKey, after)]
    groups = [windows[begin : begin + WINDOWS_PER_RUN] for begin in range(0, len(windows), WINDOWS_PER_RUN)]
    feeds: dict[str, Any] = {}
    with translate_disk_errors(settings), open_instance(settings) as instance, scan_lock(settings, progress):
        job = definitions.resolve_implicit_global_asset_job_def()

        def materialize(keys: Sequence[dg.AssetKey], what: str, **run: Any) -> dg.ExecuteInProcessResult:
            result = job.execute_in_process(instance=instance, asset_selection=list(keys), raise_on_error=False, **run)
            if not result.success:
                raise ScanFailed(f"{what}: {step_failure(result)[0]}")
            return result

        candles = materialize(
            inputs,
            "candles and symbol map",
            run_config=quiet_run_config(
                candles={
                    "folder": "" if folder is None else str(folder),
                    "first_end_ms": windows[0].end_ms,
                    "closed_by_ms": windows[-1].end_ms,
                }
            ),
        )
        _require_candles(materialized_metadata(candles)["candles"], windows)
        done = 0
        for group in groups:
            progress("windows replayed", done, len(windows), group[0].key)
            result = materialize(
                by_window,
                f"windows {group[0].key} to {group[-1].key}",
                run_config=quiet_run_config(),
                tags={
                    FIRST_PARTITION: group[0].key,
                    LAST_PARTITION: group[-1].key,
                },
            )
            for event in result.get_asset_materialization_events():
                if event.asset_key == dg.AssetKey("master_feed") and event.partition:
                    metadata = event.step_materialization_data.materialization.metadata
                    feeds[event.partition] = plain_metadata(metadata)
            done += len(group)
            progress("windows replayed", done, len(windows), "")
    actions = {action: sum(int(feed[action]) for feed in feeds.values()) for action in ACTIONS}
    return ReplayResult(
        windows=len(feeds),
        runs=len(groups),
        markets=int(feeds[windows[-1].key]["markets"]),
        actions=actions,
        published=bool(feeds[windows[-1].key]["published"]),
        elapsed_seconds=time.monotonic() - started,
    )


def _require_candles(candles: Mapping[str, Any], windows: Sequence[Window]) -> None:
    """Raise ScanFailed if no window has candles that a scan accepts, given the metadata of the asset `candles`."""
    asked = f"the windows {windows[0].key} to {windows[-1].key}"
    if "reach_to" not in candles:
        raise ScanFailed(f"there are no 15m candles for {asked}. Fetch them, or choose other windows")
    begin, end = (datetime.fromtimestamp(candles[name], UTC) for name in ("begin_at", "reach_to"))
    if end + timedelta(milliseconds=MAX_AGE_MS[LTF]) < windows[0].end or begin >= windows[-1].end:
        raise ScanFailed(
            f"there are no candles for {asked}: the 15m candles run from {begin:{_MINUTE}} to {end:{_MINUTE}}. "
            "Choose --from and --to in this range"
        )
