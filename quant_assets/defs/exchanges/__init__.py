"""The stage `exchanges`: the markets of the exchanges themselves, their candles, and what fetches and scans them."""

import dagster as dg

from quant_assets.defs.exchanges.candles import exchange_candles
from quant_assets.defs.exchanges.fetches import fetch_every_quarter_hour, fetch_job
from quant_assets.defs.exchanges.markets import exchange_markets
from quant_assets.defs.exchanges.scans import fetched_bars
from quant_assets.orchestration.project import Project


def build(_: Project) -> dg.Definitions:
    """Return the assets that fetch from exchanges, and what starts a fetch, and a scan of what it fetched."""
    return dg.Definitions(
        assets=dg.with_source_code_references([exchange_markets, exchange_candles]),
        jobs=[fetch_job],
        schedules=[fetch_every_quarter_hour],
        sensors=[fetched_bars],
    )
