"""What assets ask for by themselves: how fresh they are to be, and when they are to be materialized."""

from datetime import timedelta
from typing import Any, Final

import dagster as dg

from quant_assets.derivatives.datasets import DATASETS

#: A failed fetch of the market list has an hour to mend before anybody is told.
FRESH_FOR_A_DAY: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=24), warn_window=timedelta(hours=23)
)
#: What speaks of a window is there anew within the next one.
FRESH_FOR_A_WINDOW: Final = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(minutes=15), warn_window=timedelta(minutes=12)
)
#: How far back a gap is filled by itself; older windows are backfilled by hand.
GAP: Final = timedelta(hours=24)

_Condition: Final[Any] = dg.AutomationCondition
_LIST: Final = dg.AssetSelection.assets("coinalyze_markets")
_UNPARTITIONED: Final = dg.AssetSelection.assets("candles", "candle_files", "symbol_map") | _LIST
#: Where one of these is missing, the newest before it serves.
_CARRIED_FORWARD: Final = dg.AssetSelection.assets(*DATASETS)

_INPUTS_UPDATED: Final = _Condition.any_deps_match(_Condition.newly_updated())
#: An input was materialized after the asset was, and after the asset was asked for; or it is asked for now. Dagster's
#: `any_deps_updated()` and `since_last_handled()` do not tell which came first when both lie between two looks: their
#: `|` and `&` pass on no moments, so an input that was refreshed right after a scan would be followed by nothing.
_INPUTS_ARE_NEWER: Final = (
    _INPUTS_UPDATED.since(_Condition.newly_updated()) & _INPUTS_UPDATED.since(_Condition.newly_requested())
) | _Condition.any_deps_match(_Condition.will_be_requested())

_ONCE_AN_HOUR: Final = _Condition.cron_tick_passed("7 * * * *")
_LIST_IS_DUE: Final = (
    _Condition.missing()
    | _Condition.freshness_warned()
    | _Condition.freshness_failed()
    | _Condition.code_version_changed().since_last_handled()
)
#: The list is fetched as soon as it is missing. While it is missing still, of another provider, or about to be too old,
#: once an hour, so that a provider that is down is not asked at every look.
REFRESH_BEFORE_STALE: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (_Condition.missing().newly_true() | (_LIST_IS_DUE & _ONCE_AN_HOUR)) & ~_Condition.in_progress()
).with_label("before it is too old")

#: The map costs no call, so it follows a new list at once, and is made again before it is a day old.
FOLLOWS_THE_LIST: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (
        _INPUTS_ARE_NEWER.allow(_LIST)
        | (_Condition.freshness_warned().newly_true() | _Condition.freshness_failed().newly_true()).since_last_handled()
    )
    & ~_Condition.any_deps_missing().ignore(_LIST)
    & ~_Condition.in_progress()
).with_label("follows the list, before it is too old")

#: Windows that went by without a table, since the machine was off or their run failed, are asked for once: all of them
#: as one backfill. The newest window is left to its schedule.
BACKFILL_MISSING: Final[dg.AutomationCondition[dg.AssetKey]] = (
    _Condition.missing().newly_true().since_last_handled()
    & _Condition.in_latest_time_window(GAP)
    & ~_Condition.in_latest_time_window()
    & ~_Condition.any_deps_missing().ignore(_LIST | _CARRIED_FORWARD)
    & ~_Condition.in_progress()
).with_label("fills its gaps")

#: The newest window again, when one of its inputs was refreshed by a run that did not come to here.
FOLLOWS_ITS_INPUTS: Final[dg.AutomationCondition[dg.AssetKey]] = (
    (
        _Condition.in_latest_time_window()
        & _INPUTS_ARE_NEWER.ignore(_UNPARTITIONED)
        & ~_Condition.any_deps_missing().ignore(_LIST | _CARRIED_FORWARD)
        & ~_Condition.any_deps_in_progress().ignore(_UNPARTITIONED)
        & ~_Condition.in_progress()
    )
    | BACKFILL_MISSING
).with_label("follows its inputs, fills its gaps")
