"""The sensor that scans a window when its bars have been fetched, and again when late ones have come."""

from pathlib import Path
from typing import Final

import dagster as dg
from pydantic import BaseModel

from quant_assets.candles.exchanges.selected_markets import SelectedMarkets, arrived_markets
from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.defs.scans import analyse_job, scan_job
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.resources import CandleFolder, MarketRules
from quant_assets.orchestration.run_requests import SCAN_SECONDS, run_request
from quant_assets.storage.lake import Lake

#: A window is scanned when so much of the watchlist has its bar, or so long after its end.
WATCHLIST_SHARE: Final = 0.95
MAX_WAIT_SECONDS: Final = 20.0
#: Late bars are scanned once all have come, or so long after the window's end; at most once for each of these.
FOLLOW_SECONDS: Final = (60.0, 180.0, 420.0)


class BarsCursor(BaseModel):
    """The state of `fetched_bars` between two ticks: the window, its scans, and the bars that the last one had."""

    window: str = ""
    scans: int = 0
    arrived: int = 0


@dg.sensor(
    jobs=[scan_job, analyse_job],
    minimum_interval_seconds=5,
    description=(
        "When 95 % of the watchlist have their newest bar from the exchanges, or 20 seconds after a window's end: scan "
        "it with the derivatives that are stored or can be had at once. Late bars are followed at most three times."
    ),
)
def fetched_bars(
    context: dg.SensorEvaluationContext,
    candle_folder: CandleFolder,
    exchange_source: ExchangeSource,
    market_rules: MarketRules,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> dg.RunRequest | dg.SkipReason:
    """Request a scan of the last window, or its analysis with bars that came later, which spends no call."""
    window = Window.last_complete(clock.now())
    cursor = BarsCursor.model_validate_json(context.cursor or "{}")
    if cursor.window != window.key:
        cursor = BarsCursor(window=window.key)
    if cursor.scans > len(FOLLOW_SECONDS):
        return dg.SkipReason(f"{window.key} was scanned {cursor.scans} times")
    exchanges = exchange_source.chosen_exchanges()
    table = lake.read_undamaged(["exchange_markets"])
    if not exchanges or table is None:
        return dg.SkipReason("exchanges.toml names no exchange" if not exchanges else "no market list was fetched yet")
    markets = SelectedMarkets.of_tables(
        table, exchanges, lake.newest_undamaged(["watchlist"], window.key), market_rules.load()
    )
    store = exchange_source.store()
    arrived = arrived_markets(store, exchanges, window.end_ms).intersection(markets.in_order)
    if not (arrived or store.exchanges() or Path(candle_folder.path).is_dir()):
        return dg.SkipReason("no candles were fetched yet, and there is no folder of candle files")
    age_seconds = clock.seconds() - window.end_seconds
    if cursor.scans == 0:
        watched = markets.watched or markets.others
        is_ready = len(arrived.intersection(watched)) >= WATCHLIST_SHARE * len(watched)
        is_late = age_seconds >= MAX_WAIT_SECONDS
    else:
        is_ready = cursor.arrived < len(arrived) == len(markets.in_order)
        is_late = cursor.arrived < len(arrived) and age_seconds >= FOLLOW_SECONDS[cursor.scans - 1]
    if not (is_ready or is_late):
        return dg.SkipReason(f"{len(arrived)} of {len(markets.in_order)} markets have the bar of {window.key}")
    state = BarsCursor(window=window.key, scans=cursor.scans + 1, arrived=len(arrived))
    context.update_cursor(state.model_dump_json())
    if cursor.scans == 0:
        return run_request(window, "bars", SCAN_SECONDS, scan_job.name)
    return run_request(window, f"bars {state.scans}", None, analyse_job.name)
