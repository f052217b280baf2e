"""What runs have to share: the names of the pools that assets belong to.

Here: the names. Their limit, one run at a time, stands in dagster.yaml. Not here: the call budget itself, which
processes share whether or not Dagster started them (quant_assets/coinalyze/budget.py).
"""

from typing import Final

#: Everything that asks the provider: a refresh and a backfill take turns, instead of halving the budget.
COINALYZE: Final = "coinalyze"
#: Everything that writes features, signals or the feed: no two runs write the same window at once.
ANALYSIS: Final = "analysis"
