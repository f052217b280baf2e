"""Run many windows with a virtual clock, started only by schedules and automation conditions.

Dagster evaluates each schedule tick, and the automation conditions at chosen minutes. The requested runs are executed
on a real instance, against the emulator over HTTP. The emulator's limit and Dagster's records use the virtual clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import dagster as dg
from dagster._core.test_utils import get_freezable_log_manager

from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.definitions import build_definitions
from quant_assets.defs.derivatives.refreshes import REFRESH_MINUTES, refresh_until_the_next_scan
from quant_assets.defs.maintenance import prune_every_night
from quant_assets.defs.scans import scan_every_quarter_hour
from quant_assets.emulator import Emulator
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.job_runs import QUIET_LOGGERS


@dataclass
class TimeLapse:
    """Consecutive windows from `begin` on. `before` is called at each tick with the window's number and minute.

    `evaluated` are the minutes of each window at which the automation conditions are evaluated, after the schedules.
    """

    settings: Settings
    emulator: Emulator
    begin: datetime
    before: Callable[[int, int], None] = lambda number, minute: None
    evaluated: tuple[int, ...] = (0, 1, 2, 6, 8, 10, 14)
    #: Keep Dagster's records in memory, at half the cost.
    in_memory: bool = False
    seconds: float = 0.0
    requested: list[tuple[datetime, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seconds = self.begin.timestamp()
        self.clock = Clock(seconds=lambda: self.seconds, sleep=self.sleep, monotonic=lambda: self.seconds)
        self.definitions = build_definitions(self.settings, clock=self.clock)
        self._cursor: Any = None

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> datetime:
        return self.clock.now()

    def window(self, number: int) -> Window:
        """Return the window whose scan starts quarter hour `number`."""
        return Window.last_complete(self.begin + number * WINDOW_LENGTH)

    @contextmanager
    def opened(self) -> Iterator[dg.DagsterInstance]:
        """Open the instance, with emulator and Dagster on the virtual clock."""
        self.emulator.clock = self.now
        with (
            patch("dagster._time._mockable_get_current_datetime", self.now),
            patch("dagster._time._mockable_get_current_timestamp", lambda: self.seconds),
            patch("dagster._core.log_manager.DagsterLogManager", get_freezable_log_manager()),
            dg.DagsterInstance.ephemeral() if self.in_memory else open_instance(self.settings) as instance,
        ):
            yield instance

    def run_window(self, instance: dg.DagsterInstance, number: int) -> None:
        """Run everything that is requested in quarter hour `number`."""
        tick = self.begin + number * WINDOW_LENGTH
        for minute in sorted({0, *REFRESH_MINUTES, *self.evaluated}):
            moment = tick + timedelta(minutes=minute)
            self.seconds = max(self.seconds, moment.timestamp())
            self.before(number, minute)
            if minute in {0, *REFRESH_MINUTES}:
                self.run(instance, refresh_until_the_next_scan if minute else scan_every_quarter_hour, moment)
            if minute in self.evaluated:
                self.evaluate(instance)

    def evaluate(self, instance: dg.DagsterInstance) -> None:
        """Evaluate the automation conditions now, and execute the runs that they request."""
        evaluated: Any = dg.evaluate_automation_conditions(
            self.definitions, instance, cursor=self._cursor, evaluation_time=self.now()
        )
        self._cursor = evaluated.cursor
        self._materialize(instance, evaluated)

    def prune(self, instance: dg.DagsterInstance) -> None:
        """Run the nightly removal of old data now."""
        self.run(instance, prune_every_night, self.now())

    def run(self, instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition, tick: datetime) -> None:
        """Evaluate a schedule at its tick, and execute the run that it requests."""
        resources = {name: (self.definitions.resources or {})[name] for name in schedule.required_resource_keys}
        with dg.build_schedule_context(scheduled_execution_time=tick, resources=resources) as context:
            request: Any = schedule(context)
        if isinstance(request, dg.SkipReason):
            self.failed.append(f"{schedule.name} skipped {tick:%H:%M}")
            return
        self.execute(instance, schedule.job_name, request)

    def execute(self, instance: dg.DagsterInstance, job: str, request: dg.RunRequest) -> None:
        """Execute a run that was requested."""
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            run_config=dg.RunConfig(ops=request.run_config.get("ops"), loggers=QUIET_LOGGERS),
            tags=request.tags,
            raise_on_error=False,
        )
        self._record(job, result)

    def _materialize(self, instance: dg.DagsterInstance, evaluated: Any) -> None:
        """Execute the runs that the conditions request."""
        keys = [result.key for result in evaluated.results if result.true_subset.size]
        if not keys:
            return
        partitions = {
            key
            for result in evaluated.results
            if result.true_subset.is_partitioned
            for key in result.true_subset.expensively_compute_partition_keys()
        }
        assert len(partitions) <= 1, f"expected no backfill, but got {sorted(partitions)}"
        result = self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=keys,
            partition_key=next(iter(partitions), None),
            run_config=dg.RunConfig(loggers=QUIET_LOGGERS),
            raise_on_error=False,
        )
        self._record("keep_up", result)

    def _record(self, name: str, result: dg.ExecuteInProcessResult) -> None:
        self.requested.append((self.now(), name))
        if not result.success:
            self.failed.append(f"{name} at {self.now():%H:%M}")


def shown_checks(instance: dg.DagsterInstance) -> dict[str, bool]:
    """Return whether the last result of each check of open interest passed."""
    checks = {}
    for name in ("coverage", "age", "refresh"):
        key = dg.AssetCheckKey(dg.AssetKey("open_interest"), name)
        (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        checks[name] = record.status.value == "SUCCEEDED"
    return checks


def shown_metadata(instance: dg.DagsterInstance, asset: str = "open_interest") -> dict[str, Any]:
    """Return the metadata of an asset's newest materialization."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
    return {name: value.value for name, value in metadata.items()}
