"""The jobs: what is materialized together.

Here: selections. Not here: when they run.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

MARKET_LIST: Final = "market_list"
SCAN: Final = "scan"
REFRESH: Final = "refresh"

#: The list is fetched by itself: if that fails, scans go on with the last one.
market_list_job = dg.define_asset_job(
    MARKET_LIST,
    selection=["coinalyze_markets"],
    description="Fetch Coinalyze's market list: two calls.",
)

scan_job = dg.define_asset_job(
    SCAN,
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets("coinalyze_markets"),
    description="Scan one window: candles, symbol map, derivatives, features, signals, feed.",
)

#: What the scan had no time for: it goes on for as long as the window lasts, and then brings the feed up to date.
refresh_job = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups("derivatives", "signals", "feed"),
    config={"ops": {"derivatives": {"config": {"max_wait_seconds": 86_400.0}}}},
    description="Refresh a window's derivatives for as long as it lasts, then bring signals and feed up to date.",
)
