"""The stage `alerts`: sensors that send notices of failed runs and stale assets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from pydantic import BaseModel, Field

from quant_assets.alerts.notices import Notice
from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.defs.feed.newest_window import (
    FEED,
    STALE_GRACE_SECONDS,
    check_fields,
    describe_missing,
    is_in_time,
    newest_window,
)
from quant_assets.orchestration.job_runs import failure_message, run_failure_message
from quant_assets.orchestration.partitions import WINDOWS
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import Notifier
from quant_assets.orchestration.run_tags import PARTITION
from quant_assets.storage.lake import Lake


@dg.run_failure_sensor(
    name="tell_of_failed_runs",  # the daemon stores the sensor's state under this name
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a notice of every run that failed: to the log, and to QUANT_WEBHOOK_URL if it is set.",
)
def run_failure_alert(context: dg.RunFailureSensorContext, notifier: Notifier) -> None:
    """Send a notice of a failed run."""
    run = context.dagster_run
    reasons = [
        f"{event.step_key}: {failure_message(event)}" for event in context.get_step_failure_events() if event.step_key
    ]
    if reason_of_run := run_failure_message(context.failure_event):
        reasons.insert(0, reason_of_run)
    if not reasons:
        reasons.append(context.failure_event.message or "failed before its first step")
    window = run.tags.get(PARTITION)
    subject = f"{run.job_name}{f' of window {window}' if window else ''} failed"
    notifier.send(Notice(subject, "\n".join([*reasons, f"run {run.run_id}"])))


class StaleCursor(BaseModel):
    """The state of `staleness_alert` between two ticks. Assets are given by name."""

    #: The key of the newest window of each partitioned asset.
    newest: dict[str, str] = {}
    #: The time (epoch seconds) at which an unpartitioned asset was first seen to fail its freshness policy.
    since: dict[str, float] = {}
    #: Assets that the last notice reported as stale. Stored cursors have it as `told`.
    notified: list[str] = Field(default=[], alias="told")
    #: The feed's newest window when its check was reported as failed; "" while the check passes.
    failed_at: str = ""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether an asset is stale, and the text for a notice."""

    is_stale: bool
    text: str


@dg.sensor(
    name="tell_of_stale_assets",  # the daemon stores the sensor's state and cursor under this name
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Sends a notice when the newest window of an asset ended more than 18 minutes ago, or when the market list or "
        "the symbol map has failed its freshness policy for three minutes, and another when the asset is fresh again. "
        "Reports the feed's check newest_window when its result changes."
    ),
)
def staleness_alert(
    context: dg.SensorEvaluationContext,
    notifier: Notifier,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.SensorResult:
    """Send a notice of each asset that became stale or fresh again, and report the feed's check."""
    now, before = clock.now(), StaleCursor.model_validate_json(context.cursor or "{}")
    by_window, by_policy = _assets_with_freshness_policy(context)
    newest = _newest_windows(lake, by_window, now, before.newest)
    since = _failing_since(context.instance, by_policy, now, before.since)
    found = {name: _window_freshness(window, now) for name, window in newest.items()}
    found |= _policy_freshness(by_policy, since, now)
    for name, freshness in found.items():
        if freshness.is_stale != (name in before.notified):
            notifier.send(Notice(f"{name} is {'stale' if freshness.is_stale else 'fresh again'}", freshness.text))
    names = [key.to_user_string() for key in (*by_window, *by_policy)]
    stale = [name for name in names if (found[name].is_stale if name in found else name in before.notified)]
    evaluation, failed_at = _changed_check(newest.get(FEED), now, before.failed_at)
    cursor = StaleCursor(
        newest={name: window.key for name, window in newest.items()}, since=since, told=stale, failed_at=failed_at
    )
    return dg.SensorResult(
        skip_reason=f"stale: {', '.join(stale) or 'nothing'}",
        cursor=cursor.model_dump_json(by_alias=True),
        asset_events=[evaluation] if evaluation else [],
    )


def _assets_with_freshness_policy(context: dg.SensorEvaluationContext) -> tuple[list[dg.AssetKey], list[dg.AssetKey]]:
    """Return the assets with a freshness policy: those partitioned by window, and those without partitions."""
    repository = context.repository_def
    assets = {} if repository is None else repository.assets_defs_by_key
    specs = [asset.get_asset_spec(key) for key, asset in sorted(assets.items())]
    kept_fresh = [spec for spec in specs if spec.freshness_policy is not None]
    return (
        [spec.key for spec in kept_fresh if spec.partitions_def == WINDOWS],
        [spec.key for spec in kept_fresh if spec.partitions_def is None],
    )


def _newest_windows(
    lake: Lake, keys: Sequence[dg.AssetKey], now: datetime, known: Mapping[str, str]
) -> dict[str, Window]:
    """Return the newest window of each asset that has one."""
    newest = {}
    for key in keys:
        name = key.to_user_string()
        window = newest_window(lake, key.path, now, Window.of_key(known[name]) if name in known else None)
        if window is not None:
            newest[name] = window
    return newest


def _window_freshness(newest: Window, now: datetime) -> Freshness:
    if is_in_time(newest, now):
        return Freshness(is_stale=False, text=f"The newest window is {newest.key}.")
    return Freshness(is_stale=True, text=describe_missing(newest))


def _failing_since(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], now: datetime, before: Mapping[str, float]
) -> dict[str, float]:
    """Return since when (epoch seconds) each asset has failed its freshness policy, for those that do now."""
    records = instance.get_freshness_state_records(keys)
    broken = [key.to_user_string() for key, record in records.items() if record.freshness_state.value == "FAIL"]
    return {name: before.get(name, now.timestamp()) for name in broken}


def _policy_freshness(keys: Sequence[dg.AssetKey], since: Mapping[str, float], now: datetime) -> dict[str, Freshness]:
    """Return the freshness of unpartitioned assets, without those that have failed their policy for a short time."""
    found = {}
    for name in (key.to_user_string() for key in keys):
        if name not in since:
            found[name] = Freshness(is_stale=False, text="It passes its freshness policy.")
        elif now.timestamp() - since[name] >= STALE_GRACE_SECONDS:
            found[name] = Freshness(
                is_stale=True,
                text="It is older than its freshness policy allows. In Dagster, check its failed runs, that the "
                "daemon is running, and that the sensor keep_up is on.",
            )
    return found


def _changed_check(newest: Window | None, now: datetime, failed_at: str) -> tuple[dg.AssetCheckEvaluation | None, str]:
    """Return the feed's check result if it has changed since the last tick, and the window at which it fails now.

    Runs of the feed report the check too. Comparing windows covers that: if the newest window is another one, a run
    has reported the check as passed in between.
    """
    fails_at = newest.key if newest is not None and not is_in_time(newest, now) else ""
    if newest is None or fails_at == failed_at:
        return None, failed_at
    return dg.AssetCheckEvaluation(**check_fields(newest, now)), fails_at


def build(_: Project) -> dg.Definitions:
    """Return the sensors that send notices. They are on by default."""
    return dg.Definitions(sensors=[run_failure_alert, staleness_alert])
