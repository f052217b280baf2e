"""The names of the pools of the assets. dagster.yaml limits each pool to one run at a time."""

from typing import Final

#: Assets that send requests to providers, so that a refresh and a backfill do not share one budget.
PROVIDER: Final = "coinalyze"
#: Assets that are computed for a window, from candle features to the feed, so that no two runs write it at once.
ANALYSIS: Final = "analysis"
#: Assets that send requests to exchanges.
EXCHANGES: Final = "exchanges"
