"""The names of the pools of the assets. dagster.yaml limits each pool to one run at a time."""

import os
from typing import Final

from quant_assets.common.settings import VARIABLES

#: Assets that send requests to providers, so that a refresh and a backfill do not share one budget.
PROVIDER: Final = "coinalyze"
#: Assets without partitions that follow the signals of all windows.
RECORD: Final = "analysis"
#: Assets that are computed for a window, from candle features to the feed, so that no two runs write it at once. With a
#: database they are in no pool: each run has leases for its windows (quant_assets/orchestration/window_leases.py), a
#: scan does not wait for a backfill, and several workers can share one.
ANALYSIS: Final = None if os.environ.get(VARIABLES["database_url"], "").strip() else RECORD
#: Assets that send requests to exchanges.
EXCHANGES: Final = "exchanges"
