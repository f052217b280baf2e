"""The queue of runs of an installation with workers, which deploy/workers/dagster-workers.yaml names."""

from __future__ import annotations

import os
import weakref
from typing import Any

import dagster as dg

from quant_assets.common.settings import Settings
from quant_assets.orchestration.configuration import CONFIGURATION_TAG, Configuration, has_several_machines


class ConfigurationTagger(dg.QueuedRunCoordinator[Any]):
    """Tags each run with the configuration of the machine that launches it, whoever launches it, and puts it in queue.

    Schedules, sensors, backfills, the web interface and retries all submit their runs here.
    """

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Remember the instance that the runs belong to."""
        super().register_instance(instance)
        self._owner = weakref.ref(instance)

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run, and put it in the queue. Raises SettingsError, and OSError if a file cannot be read."""
        settings, instance = Settings.from_environment(os.environ), self._owner()
        if instance is not None and has_several_machines(settings):
            instance.add_run_tags(context.dagster_run.run_id, {CONFIGURATION_TAG: Configuration.of(settings).tag})
        return super().submit_run(context)
