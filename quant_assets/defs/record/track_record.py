"""The asset `track_record`: what published signals were worth, as known at a window's end."""

import time
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.evaluation import read_trades, track_record
from quant_assets.evaluation.track_record import ALL_SCORES, BOTH_SIDES, MAX_PERIOD
from quant_assets.evaluation.trade_table import empty_trades
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import BACKFILL_MISSING, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import WINDOW_TABLES
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.signals import Strategy
from quant_assets.storage.lake import Lake, LakeError


def track_record_asset(strategies: Sequence[Strategy]) -> dg.AssetsDefinition:
    """Return the asset `track_record`."""
    names = [strategy.name for strategy in strategies]

    @dg.asset(
        name="track_record",
        group_name="record",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        deps=["trades"],
        partitions_def=WINDOWS,
        backfill_policy=BACKFILL_POLICY,
        io_manager_key=WINDOW_TABLES,
        freshness_policy=WINDOW_FRESHNESS,
        automation_condition=BACKFILL_MISSING,
        description=(
            "Statistics of each strategy over the mature trades that were entered in the 7, 30 and 90 days before the "
            "window's end, by side and score quartile. Only what was known at the window's end counts."
        ),
        metadata=columns.schema(columns.TRACK_RECORD),
    )
    def track_record_of_window(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> Tables:
        started = time.perf_counter()
        try:
            trades = read_trades(lake)
        except LakeError as error:  # the check `up_to_date` of the trades fails with it
            context.log.warning("%s; there is no record", error)
            trades = None
        windows = windows_of(context)
        known = empty_trades() if trades is None else trades
        tables = {window.key: track_record(known, window.end_ms) for window in windows}
        seconds = (time.perf_counter() - started) / len(windows)
        for key, table in tables.items():
            metadata = {"dagster/row_count": len(table), "seconds": seconds, **_by_strategy(table, names)}
            context.add_asset_metadata(metadata, partition_key=key)
        return tables

    return track_record_of_window


def _by_strategy(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """Return the trades and the mean result of each strategy in the longest period; no mean without a trade."""
    whole = table[
        (table["period_days"] == MAX_PERIOD) & (table["side"] == BOTH_SIDES) & (table["quartile"] == ALL_SCORES)
    ].set_index("strategy")
    found: dict[str, Any] = {f"{name}: n": int(whole["n"].get(name, 0)) for name in names}
    found |= {f"{name}: mean_r": float(whole["mean_r"][name]) for name in names if name in whole.index}
    return found
