"""Freshness policies and automation conditions of the assets."""

from datetime import timedelta
from typing import Any, Final

import dagster as dg

from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.market_lists import LIST_ASSETS

#: Warns an hour before it fails, so that a failed fetch of the market list can be repeated in time.
DAILY_FRESHNESS: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=24), warn_window=timedelta(hours=23)
)
#: Each window is materialized before the next one ends.
WINDOW_FRESHNESS: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(minutes=15), warn_window=timedelta(minutes=12)
)
#: Missing windows within this time are filled automatically; older windows are backfilled by hand.
BACKFILL_LOOKBACK: Final = timedelta(hours=24)

_Condition: Final[Any] = dg.AutomationCondition
_MARKET_LIST: Final = dg.AssetSelection.assets(*LIST_ASSETS.values())
_UNPARTITIONED: Final = dg.AssetSelection.assets("candles", "candle_files", "symbol_map", "trades") | _MARKET_LIST
#: If a window of these is missing, its readers use the newest earlier window, or do without.
_CARRIED_FORWARD: Final = dg.AssetSelection.assets(*DATASETS, "watchlist", "track_record")

_INPUTS_UPDATED: Final = _Condition.any_deps_match(_Condition.newly_updated())
#: An input was materialized after the asset, and after the asset was last requested; or it is requested in this tick.
#: Dagster's `any_deps_updated()` and `since_last_handled()` cannot tell which came first between two evaluations, since
#: their `|` and `&` carry no timestamps: an input refreshed right after a scan would trigger nothing.
_INPUTS_ARE_NEWER: Final = (
    _INPUTS_UPDATED.since(_Condition.newly_updated()) & _INPUTS_UPDATED.since(_Condition.newly_requested())
) | _Condition.any_deps_match(_Condition.will_be_requested())

_HOURLY: Final = _Condition.cron_tick_passed("7 * * * *")
_LIST_IS_DUE: Final = (
    _Condition.missing()
    | _Condition.freshness_warned()
    | _Condition.freshness_failed()
    | _Condition.code_version_changed().since_last_handled()
)
#: Fetch the list as soon as it is missing. While it stays missing, comes from another provider, or is about to be too
#: old, fetch it once an hour, so that a provider that is down gets few requests.
REFRESH_BEFORE_STALE: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (_Condition.missing().newly_true() | (_LIST_IS_DUE & _HOURLY)) & ~_Condition.in_progress()
).with_label("before it is too old")

#: Rebuild the symbol map, which costs no call, after each new list, and before it is a day old.
FOLLOW_MARKET_LIST: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (
        _INPUTS_ARE_NEWER.allow(_MARKET_LIST)
        | (_Condition.freshness_warned().newly_true() | _Condition.freshness_failed().newly_true()).since_last_handled()
    )
    & ~_Condition.any_deps_missing().ignore(_MARKET_LIST)
    & ~_Condition.in_progress()
).with_label("follows the list, before it is too old")

#: Backfill the windows that are missing because the machine was off or their run failed, once. The schedule does the
#: newest window.
BACKFILL_MISSING: Final[dg.AutomationCondition[dg.AssetKey]] = (
    _Condition.missing().newly_true().since_last_handled()
    & _Condition.in_latest_time_window(BACKFILL_LOOKBACK)
    & ~_Condition.in_latest_time_window()
    & ~_Condition.any_deps_missing().ignore(_MARKET_LIST | _CARRIED_FORWARD)
    & ~_Condition.in_progress()
).with_label("fills its gaps")

#: Materialize the newest window again after one of its inputs was refreshed, and backfill missing windows.
FOLLOW_INPUTS: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (
        _Condition.in_latest_time_window()
        & _INPUTS_ARE_NEWER.ignore(_UNPARTITIONED)
        & ~_Condition.any_deps_missing().ignore(_MARKET_LIST | _CARRIED_FORWARD)
        & ~_Condition.any_deps_in_progress().ignore(_UNPARTITIONED)
        & ~_Condition.in_progress()
    )
    | BACKFILL_MISSING
).with_label("follows its inputs, fills its gaps")

#: Follow signals of the newest window that no scan has followed, once an hour: a run takes seconds, and the next scan
#: does it anyway, also for older windows.
FOLLOW_SIGNALS: Final[dg.AutomationCondition[dg.AssetKey]] = (
    _INPUTS_UPDATED.since(_Condition.newly_updated()) & _HOURLY & ~_Condition.in_progress()
).with_label("follows the signals, once an hour")
