"""Fetch candles from exchanges through Dagster, in this process, as `quant-assets fetch` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import dagster as dg

from quant_assets.common.settings import Settings
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.job_names import FETCH
from quant_assets.orchestration.job_runs import materialized_metadata, quiet_run_config, step_failure
from quant_assets.orchestration.scan import translate_disk_errors


class FetchFailed(RuntimeError):
    """The run failed; the message is that of the step that failed."""


@dataclass(frozen=True, slots=True)
class FetchChoice:
    """What to fetch in place of what exchanges.toml says; empty or 0 for what it says."""

    exchanges: Sequence[str] = ()
    top: int = 0
    history_days: float = 0.0
    timeframes: Sequence[str] = ("15m", "4h")
    max_wait_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a fetch of candles did, a row for each exchange, and the exchanges whose market list failed."""

    exchanges: list[dict[str, Any]]
    list_problems: dict[str, str]
    elapsed_seconds: float

    @property
    def markets(self) -> int:
        """Return the number of markets whose candles are fetched."""
        return sum(int(row["markets"]) for row in self.exchanges)


def run_fetch(
    settings: Settings,
    definitions: dg.Definitions,
    choice: FetchChoice,
    *,
    lists: bool = True,
    candles: bool = True,
    given: dg.DagsterInstance | None = None,
) -> FetchResult:
    """Fetch market lists, and the candles of the markets that they select. Raise FetchFailed.

    The run is recorded in `given`, or else in the instance of the data folder.
    """
    started = time.monotonic()
    chosen: dict[str, Any] = {"exchanges": list(choice.exchanges), "top": choice.top}
    limits = {
        "history_days": choice.history_days,
        "timeframes": list(choice.timeframes),
        "max_wait_seconds": choice.max_wait_seconds,
    }
    assets = {"exchange_markets": chosen} if lists else {}
    if candles:
        assets["exchange_candles"] = {**chosen, **limits}
    with translate_disk_errors(settings), nullcontext(given) if given else open_instance(settings) as instance:
        result = definitions.resolve_job_def(FETCH).execute_in_process(
            instance=instance,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name) for name in assets],
            run_config=quiet_run_config(**assets),
        )
        if not result.success:
            raise FetchFailed(step_failure(result)[0])
        found = materialized_metadata(result)
    return FetchResult(
        exchanges=found["exchange_candles"]["exchanges"] if candles else [],
        list_problems=found["exchange_markets"]["problems"] if lists else {},
        elapsed_seconds=time.monotonic() - started,
    )
