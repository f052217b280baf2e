"""What runs have to share: the names of the pools that assets belong to.

Their limit, one run at a time, stands in dagster.yaml.
"""

from typing import Final

#: Everything that asks the provider: a refresh and a backfill take turns, instead of halving the budget.
COINALYZE: Final = "coinalyze"
#: Everything that writes features, signals or the feed: no two runs write the same window at once.
ANALYSIS: Final = "analysis"
