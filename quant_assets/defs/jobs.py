"""The jobs: what is materialized together."""

from __future__ import annotations

from typing import Final

import dagster as dg

from quant_assets.orchestration.job_names import ANALYSE, MARKET_LIST, PRUNE, REFRESH, SCAN

_WITHOUT_CALLS: Final = dg.AssetSelection.groups("candles", "signals", "feed") | dg.AssetSelection.assets("symbol_map")

#: The list is fetched by itself: if that fails, scans go on with the last one.
market_list_job = dg.define_asset_job(
    MARKET_LIST,
    selection=["coinalyze_markets"],
    description="Fetch Coinalyze's market list: two calls.",
)

scan_job = dg.define_asset_job(
    SCAN,
    selection=_WITHOUT_CALLS | dg.AssetSelection.groups("derivatives"),
    description="Scan one window: candles, symbol map, derivatives, features, signals, feed.",
)

analyse_job = dg.define_asset_job(
    ANALYSE,
    selection=_WITHOUT_CALLS,
    description="Scan one window with the derivatives that are known: candles, symbol map, features, signals, feed.",
)

#: What the scan had no time for. Signals and feed follow by their automation conditions.
refresh_job = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups("derivatives"),
    description="Go on asking for a window's derivatives.",
)

prune_job = dg.define_asset_job(
    PRUNE,
    selection=["disk_use"],
    description="Remove windows, bars and run records that are older than data/retention.toml says.",
)
