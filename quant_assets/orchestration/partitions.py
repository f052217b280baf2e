"""The partitions of everything that speaks of a moment: 15-minute windows in UTC."""

from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.common.windows import FIRST_WINDOW, KEY_FORMAT, Window

#: A key names the start of its window: `2026-01-19-16:45` ends at 17:00.
WINDOWS: Final = dg.TimeWindowPartitionsDefinition(
    cron_schedule="*/15 * * * *", start=FIRST_WINDOW, fmt=KEY_FORMAT, timezone="UTC"
)
#: A run of its own for each window would spend more on starting than on working. Four hours at once is little memory
#: for any number of markets, and makes a scheduled scan wait for seconds only.
FOUR_HOURS: Final = dg.BackfillPolicy.multi_run(max_partitions_per_run=16)

#: A table for each window of a run, by the window's key.
Tables = dict[str, pd.DataFrame]


def windows_of(context: dg.AssetExecutionContext) -> list[Window]:
    """Return the windows that a run is about, the oldest first."""
    return [Window.of_key(key) for key in context.partition_keys]
