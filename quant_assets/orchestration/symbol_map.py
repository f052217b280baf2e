"""Resolve markets now, for the commands `resolve` and `plan`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import dagster as dg
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.markets import list_of_provider, load_rules, resolve_markets
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.market_list_run import fetch_market_list_if_due, market_list_is_due
from quant_assets.storage.lake import Lake


def current_symbol_map(
    settings: Settings, definitions: Callable[[Settings], dg.Definitions], markets: pd.DataFrame, now: datetime
) -> tuple[pd.DataFrame, str]:
    """Resolve `markets` (columns exchange and symbol) as a refresh would now; return the map and the list's problem.

    The problem is "" if the market list was fetched or not due. A symbol that was empty twice since the list was
    fetched is skipped, as in a refresh. If there is a key and the list is due, this spends two calls; otherwise it
    creates and changes nothing. Raises RulesError, StoreError, and SettingsError if the list is due and Dagster's
    instance cannot be opened.
    """
    problem = ""
    if market_list_is_due(settings, now):
        with open_instance(settings) as instance:
            problem = fetch_market_list_if_due(settings, definitions(settings), instance).problem
    market_list = list_of_provider(Lake(settings.lake_dir).read_undamaged(["coinalyze_markets"]), settings.provider)
    since_ms = 0.0 if market_list is None else float(market_list["fetched_at_ms"].max())
    with closing(DerivativesStore(settings.store_dir / "derivatives.sqlite", read_only=True)) as store:
        empty = store.empty_twice(since_ms)
    rules = load_rules(settings.rules_path)
    return resolve_markets(markets, market_list, datasets=ENTRIES, now=now, rules=rules, empty=empty), problem
