"""The symbols that serve each market: one symbol map from the market lists of all providers in use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from quant_assets.derivatives.datasets import DATASETS, PRIMARY_DATASET, SPECS
from quant_assets.derivatives.provider_choice import ProviderChoice, datasets_by_provider
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.markets import ResolutionRules, resolve_markets
from quant_assets.markets.resolution import LIST_TIME, SOURCE_PARTS
from quant_assets.providers.registry import provider_name

EmptySymbols = Mapping[str, Collection[str]]
"""Dataset → symbols whose last two responses were empty."""


@dataclass(frozen=True, slots=True)
class MarketLists:
    """The stored market list of each provider in use (None if it has none), and what else decides a symbol map.

    `now` is timezone-aware: markets that expire by then count as delisted.
    """

    by_provider: Mapping[str, pd.DataFrame | None]
    choice: ProviderChoice
    rules: ResolutionRules
    now: datetime

    def resolve(self, markets: pd.DataFrame, empty: EmptySymbols | None = None) -> pd.DataFrame:
        """Return the symbol map of `markets` (columns exchange and symbol), without the symbols of `empty`.

        Columns are those of `resolve_markets`. Those of a dataset come from the list of its provider, all others from
        the list of open interest's.
        """
        found = {
            provider: resolve_markets(
                markets,
                self.by_provider.get(provider),
                datasets=[SPECS[dataset] for dataset in dict.fromkeys((PRIMARY_DATASET, *datasets))],
                now=self.now,
                rules=self.rules,
                empty=empty or {},
            )
            for provider, datasets in datasets_by_provider(self.choice).items()
        }
        first = found[self.choice[PRIMARY_DATASET]]
        if len(found) == 1:
            return first
        of_datasets = {
            column: found[self.choice[dataset]][column]
            for dataset in DATASETS
            for column in (f"{dataset}_{part}" for part in SOURCE_PARTS)
        }
        others = first.columns.difference(list(of_datasets), sort=False)
        columns = [*others.drop(LIST_TIME), *of_datasets, LIST_TIME]
        return first[others].assign(**of_datasets)[columns]

    def empty_symbols(self, store: DerivativesStore) -> EmptySymbols:
        """Return by dataset the symbols whose last two responses, both since its provider's list, were empty."""
        found: dict[str, Collection[str]] = {}
        for provider, datasets in datasets_by_provider(self.choice).items():
            empty = store.empty_twice(self.list_fetched_at_ms(provider))
            found |= {dataset: empty[dataset] for dataset in datasets}
        return found

    def list_fetched_at_ms(self, provider: str) -> float:
        """Return when a provider's market list was fetched, epoch ms; 0 without one."""
        market_list = self.by_provider.get(provider)
        return 0.0 if market_list is None else float(market_list["fetched_at_ms"].max())

    @property
    def simulated(self) -> bool:
        """Return whether any of the lists comes from an emulator."""
        lists = (found for found in self.by_provider.values() if found is not None)
        return any(bool(found["simulated"].any()) for found in lists)


@dataclass(frozen=True, slots=True)
class MarketSources:
    """The symbol map of a run, and the lists that replace symbols whose responses were empty."""

    symbol_map: pd.DataFrame
    lists: MarketLists

    def resolve(self, empty: EmptySymbols) -> pd.DataFrame:
        """Return the symbol map, resolved again if a symbol of it is in `empty`, or a dataset's provider has changed.

        Empty symbols are not replaced if no market list is stored.
        """
        replaces = any(empty.values()) and any(found is not None for found in self.lists.by_provider.values())
        if replaces or self._names_another_provider():
            return self.lists.resolve(self.symbol_map, empty)
        return self.symbol_map

    def _names_another_provider(self) -> bool:
        """Return whether the symbol map is from before the provider of a dataset was changed."""
        return any(
            provider_name(symbol) != self.lists.choice[dataset]
            for dataset in DATASETS
            for symbol in set(self.symbol_map[f"{dataset}_symbol"]) - {""}
        )
