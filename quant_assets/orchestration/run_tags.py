"""The tags of Dagster that this project reads or sets on runs."""

from typing import Final

PARTITION: Final = "dagster/partition"
FIRST_PARTITION: Final = "dagster/asset_partition_range_start"
LAST_PARTITION: Final = "dagster/asset_partition_range_end"
BACKFILL: Final = "dagster/backfill"
PRIORITY: Final = "dagster/priority"
#: Seconds after which Dagster ends the run.
MAX_RUNTIME: Final = "dagster/max_runtime"
