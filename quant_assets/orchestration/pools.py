"""The names of the pools of the assets. dagster.yaml limits each pool to one run at a time.

Assets that are computed for a window, from candle features to the feed, are in no pool: each run has leases for its
windows (quant_assets/orchestration/window_leases.py), so that a scan does not wait for a backfill.
"""

from typing import Final

#: Assets that send requests to providers, so that a refresh and a backfill do not share one budget.
PROVIDER: Final = "coinalyze"
#: Assets without partitions that follow the signals of all windows.
RECORD: Final = "analysis"
#: Assets that send requests to exchanges.
EXCHANGES: Final = "exchanges"
