"""Resolve markets now, for the commands `resolve` and `plan`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import dagster as dg
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.derivatives.provider_choice import load_provider_choice
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.markets import load_rules
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.market_list_run import due_market_lists, fetch_market_lists_if_due
from quant_assets.orchestration.market_lists import LIST_ASSETS, lists_in_use
from quant_assets.storage.lake import Lake


def current_symbol_map(
    settings: Settings, definitions: Callable[[Settings], dg.Definitions], markets: pd.DataFrame, now: datetime
) -> tuple[pd.DataFrame, str]:
    """Resolve `markets` (columns exchange and symbol) as a refresh would now; return the map and the list's problem.

    The problem is "" if the market list was fetched or not due. A symbol that was empty twice since the list was
    fetched is skipped, as in a refresh. If there is a key and the list is due, this spends two calls; otherwise it
    creates and changes nothing. Raises RulesError, ProviderChoiceError, StoreError, and SettingsError if the list is
    due and Dagster's instance cannot be opened.
    """
    problem = ""
    if due_market_lists(settings, now):
        with open_instance(settings) as instance:
            problem = fetch_market_lists_if_due(settings, definitions(settings), instance).problem
    lake, choice = Lake(settings.lake_place), load_provider_choice(settings.providers_path)
    tables = {asset: lake.read_undamaged([asset]) for asset in LIST_ASSETS.values()}
    found = lists_in_use(tables, settings, choice, load_rules(settings.rules_path), now)
    with closing(DerivativesStore(settings.store_place, read_only=True)) as store:
        return found.resolve(markets, found.empty_symbols(store)), problem
