"""The partitions of assets: 15-minute windows in UTC."""

import os
from collections.abc import Mapping
from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.common.settings import MAX_WINDOWS_PER_RUN, VARIABLES, Settings
from quant_assets.common.windows import FIRST_WINDOW, KEY_FORMAT, Window

#: A key names the start of its window: `2026-01-19-16:45` ends at 17:00.
WINDOWS: Final = dg.TimeWindowPartitionsDefinition(
    cron_schedule="*/15 * * * *", start=FIRST_WINDOW, fmt=KEY_FORMAT, timezone="UTC"
)


def _windows_per_run(environment: Mapping[str, str]) -> int:
    """Return how many windows a run of a backfill has. Settings report a number that is invalid."""
    given = environment.get(VARIABLES["windows_per_run"], "").strip()
    return int(given) if given.isdecimal() and 0 < int(given) <= MAX_WINDOWS_PER_RUN else Settings().windows_per_run


#: One run for each window would mostly start up, and a run of very many needs much memory (docs/scale.md).
BACKFILL_POLICY: Final = dg.BackfillPolicy.multi_run(max_partitions_per_run=_windows_per_run(os.environ))

#: A table for each window of a run, by the window's key.
Tables = dict[str, pd.DataFrame]


def windows_of(context: dg.AssetExecutionContext) -> list[Window]:
    """Return the windows of a run, the oldest first."""
    return [Window.of_key(key) for key in context.partition_keys]
