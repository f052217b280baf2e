"""Fetch the market list before a scan, in a run of its own: if that fails, the scan uses the stored list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.common.settings import Settings
from quant_assets.markets import MAX_LIST_AGE, list_of_provider
from quant_assets.orchestration.job_names import MARKET_LIST
from quant_assets.orchestration.job_runs import materialized_metadata, quiet_run_config, step_failure
from quant_assets.providers.coinalyze.errors import InvalidApiKey
from quant_assets.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class MarketListRun:
    """What fetching the market list cost, and why it failed; all zero if the list was not due."""

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


def fetch_market_list_if_due(
    settings: Settings, definitions: dg.Definitions, instance: dg.DagsterInstance, max_wait_seconds: float = 60.0
) -> MarketListRun:
    """Fetch the market list if there is a key and the list is missing or a day old. A failure keeps the stored list."""
    if not market_list_is_due(settings, datetime.now(UTC)):
        return MarketListRun()
    result = definitions.resolve_job_def(MARKET_LIST).execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config=quiet_run_config(coinalyze_markets={"max_wait_seconds": max_wait_seconds, "retry": False}),
    )
    if result.success:
        return MarketListRun.of(materialized_metadata(result)["coinalyze_markets"])
    message, metadata = step_failure(result)
    return MarketListRun.of(
        metadata,
        f"market list: {message}; {_fallback_note(settings)}",
        key_refused=metadata.get("error") == InvalidApiKey.__name__,
    )


def market_list_is_due(settings: Settings, now: datetime) -> bool:
    """Tell whether there is a key and the stored market list is missing or a day old. Changes nothing."""
    if not settings.has_key(os.environ):
        return False
    market_list = _stored_list(settings)
    if market_list is None:
        return True
    age_seconds = now.timestamp() - float(market_list["fetched_at_ms"].max()) / 1000
    # A list from the future was fetched while the clock was wrong.
    return not 0 <= age_seconds < MAX_LIST_AGE.total_seconds()


def _stored_list(settings: Settings) -> pd.DataFrame | None:
    """Return the stored market list of this provider, None if there is none."""
    return list_of_provider(Lake(settings.lake_dir).read_undamaged(["coinalyze_markets"]), settings.provider)


def _fallback_note(settings: Settings) -> str:
    """Return what a scan does without a new market list."""
    if _stored_list(settings) is None:
        return "there is none yet, so every market is neutral"
    return "the stored list is used"
