"""Run jobs in this process: quietly, and with the metadata or the failure that they leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

#: Nothing on the terminal; Dagster's records have every event.
QUIET_LOGGERS: Final = {"console": {"config": {"log_level": "CRITICAL"}}}
#: `package.module.Error: ` in front of a message.
_CLASS_PATH: Final = re.compile(r"^(\w+\.)*\w+: ")


def quiet_run_config(**ops: Mapping[str, Any]) -> dg.RunConfig:
    """Return the configuration of a run that logs nothing; `ops` holds the configuration of each asset by its name."""
    return dg.RunConfig(ops={name: {"config": dict(config)} for name, config in ops.items()}, loggers=QUIET_LOGGERS)


def materialized_metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Return the metadata of each asset that a run materialized, as plain values by name."""
    return {
        event.asset_key.to_user_string(): plain_metadata(event.step_materialization_data.materialization.metadata)
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def plain_metadata(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    """Return metadata as plain values by name."""
    return {name: value.value for name, value in metadata.items()}


def failure_message(event: dg.DagsterEvent) -> str:
    """Return why a step failed: the message of its dg.Failure, or that of the exception that it raised."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error.cause or data.error if data.error is not None else None
    return error.message.strip() if error is not None else "failed"


def run_failure_message(event: dg.DagsterEvent) -> str:
    """Return why a run failed, "" if only its steps say why: the message of the first cause.

    If Dagster ended the run, for instance because it took too long, there is no cause, and its event says why.
    """
    if event.event_specific_data is None:
        return event.message or ""
    error = event.job_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else _CLASS_PATH.sub("", error.message.strip())


def step_failure(result: dg.ExecuteInProcessResult) -> tuple[str, dict[str, Any]]:
    """Return the message of the first step that failed, and the metadata of its dg.Failure.

    Raises KeyboardInterrupt if the step was interrupted.
    """
    for event in result.all_events:
        if event.is_step_failure:
            if _was_interrupted(event):
                raise KeyboardInterrupt
            failure = event.step_failure_data.user_failure_data
            if failure is not None:
                return failure_message(event), plain_metadata(failure.metadata)
            return f"{event.step_key}: {_CLASS_PATH.sub('', failure_message(event))}", {}
    return "the run failed before its first step", {}


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    """Tell whether a step failed because the process was told to stop."""
    error = event.step_failure_data.error
    while error is not None:
        if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
            return True
        error = error.cause
    return False
