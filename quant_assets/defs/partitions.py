"""The partitions of everything that speaks of a moment: 15-minute windows in UTC."""

from typing import Final

import dagster as dg

from quant_assets.windows import KEY_FORMAT

FIRST_WINDOW: Final = "2026-01-01-00:00"

#: A key names the start of its window: `2026-01-19-16:45` ends at 17:00.
WINDOWS: Final = dg.TimeWindowPartitionsDefinition(
    cron_schedule="*/15 * * * *", start=FIRST_WINDOW, fmt=KEY_FORMAT, timezone="UTC"
)
