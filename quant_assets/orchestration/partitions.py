"""The partitions of assets: 15-minute windows in UTC."""

from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.common.windows import FIRST_WINDOW, KEY_FORMAT, Window

#: A key names the start of its window: `2026-01-19-16:45` ends at 17:00.
WINDOWS: Final = dg.TimeWindowPartitionsDefinition(
    cron_schedule="*/15 * * * *", start=FIRST_WINDOW, fmt=KEY_FORMAT, timezone="UTC"
)
#: A backfill runs four hours of windows at a time: one run for each window would mostly start up, and longer runs would
#: make a scheduled scan wait.
BACKFILL_POLICY: Final = dg.BackfillPolicy.multi_run(max_partitions_per_run=16)

#: A table for each window of a run, by the window's key.
Tables = dict[str, pd.DataFrame]


def windows_of(context: dg.AssetExecutionContext) -> list[Window]:
    """Return the windows of a run, the oldest first."""
    return [Window.of_key(key) for key in context.partition_keys]
