"""The stored market lists of the providers: one asset each, `<provider>_markets`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.derivatives.market_sources import MarketLists
from quant_assets.derivatives.provider_choice import ProviderChoice, datasets_by_provider
from quant_assets.markets import ResolutionRules, list_of_provider
from quant_assets.providers.base import Provider
from quant_assets.providers.registry import PROVIDERS
from quant_assets.storage.lake import Lake

LIST_ASSETS: Final[Mapping[str, str]] = {name: f"{name}_markets" for name in PROVIDERS}
"""Name of a provider → the asset with its market list."""


def stored_list(lake: Lake, settings: Settings, provider: Provider) -> pd.DataFrame | None:
    """Return the stored market list of a provider, None if there is none of its present origin."""
    return list_of_provider(lake.read_undamaged([LIST_ASSETS[provider.name]]), provider.origin(settings))


def lists_in_use(
    tables: Mapping[str, pd.DataFrame | None],
    settings: Settings,
    choice: ProviderChoice,
    rules: ResolutionRules,
    now: datetime,
) -> MarketLists:
    """Return the lists of the providers in use, from the tables of their assets (by the name of the asset)."""
    used = {name: PROVIDERS[name].origin(settings) for name in datasets_by_provider(choice)}
    found = {name: list_of_provider(tables[LIST_ASSETS[name]], origin) for name, origin in used.items()}
    return MarketLists(found, choice, rules, now)
