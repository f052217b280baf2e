"""Who is told of what: failed runs, and data that are too old. What is sent where is in quant_assets/alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
from pydantic import BaseModel

from quant_assets.alerts.notices import Notice
from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.defs.feed.newest_window import (
    FEED,
    STALE_FOR_SECONDS,
    check_fields,
    describe_missing,
    is_in_time,
    newest_window,
)
from quant_assets.orchestration.partitions import WINDOWS
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import Notifier
from quant_assets.storage.lake import Lake


@dg.run_failure_sensor(
    name="tell_of_failed_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a notice of every run that failed: to the log, and to QUANT_WEBHOOK_URL where that is set.",
)
def tell_of_failed_runs(context: dg.RunFailureSensorContext, notifier: Notifier) -> None:
    """Send a notice of a failed run."""
    run = context.dagster_run
    steps = [
        f"{event.step_key}: {_message(event)}" for event in context.get_step_failure_events() if event.step_key
    ] or [context.failure_event.message or "failed before its first step"]
    window = run.tags.get("dagster/partition")
    subject = f"{run.job_name}{f' of window {window}' if window else ''} failed"
    notifier.send(Notice(subject, "\n".join([*steps, f"run {run.run_id}"])))


class StaleCursor(BaseModel):
    """What `tell_of_stale_assets` keeps from one look to the next; assets go by name."""

    #: The key of the newest window of each asset that has windows.
    newest: dict[str, str] = {}
    #: Epoch seconds at which an asset without windows was first seen to break its policy.
    since: dict[str, float] = {}
    #: Assets that a notice has called stale.
    told: list[str] = []
    #: The feed's newest window where its check was reported as failed; empty where it passes.
    failed_at: str = ""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether an asset is stale, and the text of a notice of it."""

    is_stale: bool
    text: str


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Sends a notice when the newest window of an asset ended more than 18 minutes ago, or when market list or map "
        "have been older than their freshness policy allows for three minutes, and when that is over. Reports the "
        "feed's check newest_window when it changes."
    ),
)
def tell_of_stale_assets(
    context: dg.SensorEvaluationContext,
    notifier: Notifier,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.SensorResult:
    """Send a notice of each asset that has become stale or fresh again, and report the feed's check."""
    now, before = clock.now(), StaleCursor.model_validate_json(context.cursor or "{}")
    by_window, by_policy = _kept_fresh(context)
    newest = _newest_windows(lake, by_window, now, before.newest)
    since = _broken_since(context.instance, by_policy, now, before.since)
    found = {name: _window_freshness(window, now) for name, window in newest.items()}
    found |= _policy_freshness(by_policy, since, now)
    for name, freshness in found.items():
        if freshness.is_stale != (name in before.told):
            notifier.send(Notice(f"{name} is {'stale' if freshness.is_stale else 'fresh again'}", freshness.text))
    names = [key.to_user_string() for key in (*by_window, *by_policy)]
    stale = [name for name in names if (found[name].is_stale if name in found else name in before.told)]
    evaluation, failed_at = _changed_check(newest.get(FEED), now, before.failed_at)
    cursor = StaleCursor(
        newest={name: window.key for name, window in newest.items()}, since=since, told=stale, failed_at=failed_at
    )
    return dg.SensorResult(
        skip_reason=f"stale: {', '.join(stale) or 'nothing'}",
        cursor=cursor.model_dump_json(),
        asset_events=[evaluation] if evaluation else [],
    )


def _kept_fresh(context: dg.SensorEvaluationContext) -> tuple[list[dg.AssetKey], list[dg.AssetKey]]:
    """Return the assets that have a freshness policy: those with windows, and those without partitions."""
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
        return Freshness(is_stale=False, text=f"Window {newest.key} is there.")
    return Freshness(is_stale=True, text=describe_missing(newest))


def _broken_since(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], now: datetime, before: Mapping[str, float]
) -> dict[str, float]:
    """Return since when (epoch seconds) Dagster has been saying that an asset breaks its freshness policy."""
    records = instance.get_freshness_state_records(keys)
    broken = [key.to_user_string() for key, record in records.items() if record.freshness_state.value == "FAIL"]
    return {name: before.get(name, now.timestamp()) for name in broken}


def _policy_freshness(keys: Sequence[dg.AssetKey], since: Mapping[str, float], now: datetime) -> dict[str, Freshness]:
    """Return the freshness of assets without windows; one that broke its policy only just now is left out."""
    found = {}
    for name in (key.to_user_string() for key in keys):
        if name not in since:
            found[name] = Freshness(is_stale=False, text="Its freshness policy is kept.")
        elif now.timestamp() - since[name] >= STALE_FOR_SECONDS:
            found[name] = Freshness(
                is_stale=True,
                text="It is older than its freshness policy allows. In Dagster, look at its failed runs, at whether "
                "the daemon runs, and at whether keep_up is turned on.",
            )
    return found


def _changed_check(newest: Window | None, now: datetime, failed_at: str) -> tuple[dg.AssetCheckEvaluation | None, str]:
    """Return the feed's check where it is another than at the last look, and the window at which it fails now.

    A run of the feed reports the check too. What is remembered is the window at which it failed, since another window
    that is there means that a run has reported it as passed meanwhile.
    """
    fails_at = newest.key if newest is not None and not is_in_time(newest, now) else ""
    if newest is None or fails_at == failed_at:
        return None, failed_at
    return dg.AssetCheckEvaluation(**check_fields(newest, now), partition=newest.key), fails_at


def _message(event: dg.DagsterEvent) -> str:
    """Return what a failed step has to say for itself."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    return error.message.strip() if error is not None else "failed"


def build(_: Project) -> dg.Definitions:
    """Return the sensors that send notices; they run from the start."""
    return dg.Definitions(sensors=[tell_of_failed_runs, tell_of_stale_assets])
