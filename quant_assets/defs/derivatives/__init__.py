"""The stage `derivatives`: datasets by window, and the schedule that refreshes them."""

import dagster as dg

from quant_assets.defs.derivatives.assets import derivatives
from quant_assets.defs.derivatives.refreshes import refresh_job, refresh_until_the_next_scan
from quant_assets.orchestration.project import Project


def build(_: Project) -> dg.Definitions:
    """Return the datasets, and the job and schedule that refresh them."""
    return dg.Definitions(
        assets=dg.with_source_code_references([derivatives]),
        jobs=[refresh_job],
        schedules=[refresh_until_the_next_scan],
    )
