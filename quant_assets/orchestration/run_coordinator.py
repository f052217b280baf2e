"""The queue of runs of an installation with workers, which deploy/workers/dagster-workers.yaml names."""

from __future__ import annotations

import os
import weakref
from typing import Any, Final

import dagster as dg

from quant_assets.common.settings import Settings
from quant_assets.orchestration.configuration import CONFIGURATION_TAG, Configuration, has_several_machines
from quant_assets.orchestration.run_tags import BACKFILL, MAX_RUNTIME

#: After this time a run of a backfill whose worker died goes on elsewhere.
BACKFILL_SECONDS: Final = 300


class TaggingRunCoordinator(dg.QueuedRunCoordinator[Any]):
    """Tags each run with the configuration of the machine that launches it, whoever launches it, and puts it in queue.

    Schedules, sensors, backfills, the web interface and retries all submit their runs here. Runs of backfills also get
    a time limit, unless they have one.
    """

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Remember the instance that the runs belong to."""
        super().register_instance(instance)
        self._owner = weakref.ref(instance)

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag a run, and put it in the queue. Raises SettingsError, and OSError if a file cannot be read."""
        settings, instance, run = Settings.from_environment(os.environ), self._owner(), context.dagster_run
        if instance is not None and has_several_machines(settings):
            tags = {CONFIGURATION_TAG: Configuration.of(settings).tag}
            if BACKFILL in run.tags and MAX_RUNTIME not in run.tags:
                tags[MAX_RUNTIME] = str(BACKFILL_SECONDS)
            instance.add_run_tags(run.run_id, tags)
        return super().submit_run(context)
