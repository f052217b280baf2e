"""Fetch the market lists before a scan, each in a run of its own: if that fails, the scan uses the stored list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.derivatives.provider_choice import datasets_by_provider, load_provider_choice
from quant_assets.markets import MAX_LIST_AGE
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.job_runs import materialized_metadata, quiet_run_config, step_failure
from quant_assets.orchestration.market_lists import LIST_ASSETS, stored_list
from quant_assets.providers.base import Provider
from quant_assets.providers.errors import InvalidApiKey
from quant_assets.providers.registry import PROVIDERS
from quant_assets.storage.database_clock import clock_of
from quant_assets.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class MarketListRun:
    """What fetching the market lists cost, and why it failed; all zero if none was due."""

    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    waited_seconds: float = 0.0
    problem: str = ""
    key_refused: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, Any], problem: str = "", *, key_refused: bool = False) -> MarketListRun:
        """Read the costs from the metadata of a run, which lacks them if the run failed before its first request."""
        return cls(
            int(metadata.get("calls", 0)),
            int(metadata.get("requests", 0)),
            int(metadata.get("rate_limited", 0)),
            float(metadata.get("waited_seconds", 0.0)),
            problem,
            key_refused,
        )

    def plus(self, other: MarketListRun) -> MarketListRun:
        """Return the sum of this run and that of another provider's list."""
        return MarketListRun(
            self.calls + other.calls,
            self.requests + other.requests,
            self.rate_limited + other.rate_limited,
            self.waited_seconds + other.waited_seconds,
            "; ".join(problem for problem in (self.problem, other.problem) if problem),
            self.key_refused or other.key_refused,
        )


def fetch_market_lists_if_due(
    settings: Settings, definitions: dg.Definitions, instance: dg.DagsterInstance, max_wait_seconds: float = 60.0
) -> MarketListRun:
    """Fetch each market list that is due, in a run of its own. A failure keeps the stored list."""
    total = MarketListRun()
    for provider in due_market_lists(settings, clock_of(settings).now()):
        total = total.plus(_fetch(settings, provider, definitions, instance, max_wait_seconds))
    return total


def due_market_lists(settings: Settings, now: datetime) -> list[Provider]:
    """Return the providers in use that have a key, and whose stored list is missing or a day old. Change nothing.

    Raise ProviderChoiceError.
    """
    choice = load_provider_choice(settings.providers_path)
    in_use = (PROVIDERS[name] for name in datasets_by_provider(choice))
    lake = Lake(settings.lake_place)
    return [
        provider
        for provider in in_use
        if provider.has_key(settings, os.environ) and _is_due(stored_list(lake, settings, provider), now)
    ]


def _is_due(market_list: pd.DataFrame | None, now: datetime) -> bool:
    if market_list is None:
        return True
    age_seconds = now.timestamp() - float(market_list["fetched_at_ms"].max()) / 1000
    # A list from the future was fetched while the clock was wrong.
    return not 0 <= age_seconds < MAX_LIST_AGE.total_seconds()


def _fetch(
    settings: Settings,
    provider: Provider,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    max_wait_seconds: float,
) -> MarketListRun:
    asset = LIST_ASSETS[provider.name]
    result = definitions.resolve_job_def(MARKET_LIST).execute_in_process(
        instance=instance,
        raise_on_error=False,
        asset_selection=[dg.AssetKey(asset)],
        run_config=quiet_run_config(**{asset: {"max_wait_seconds": max_wait_seconds, "retry": False}}),
    )
    if result.success:
        return MarketListRun.of(materialized_metadata(result)[asset])
    message, metadata = step_failure(result)
    return MarketListRun.of(
        metadata,
        f"market list of {provider.label}: {message}; {_fallback_note(settings, provider)}",
        key_refused=metadata.get("error") == InvalidApiKey.__name__,
    )


def _fallback_note(settings: Settings, provider: Provider) -> str:
    """Return what a scan does without a new market list."""
    if stored_list(Lake(settings.lake_place), settings, provider) is None:
        return "there is none yet, so its datasets are neutral"
    return "the stored list is used"
