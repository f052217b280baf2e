"""The work of the command `plan`: the cost of a refresh now, and a simulation of the ages that the budget allows.

Fetches only a market list that is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.cli.candle_sources import read_history
from quant_assets.common.progress import Progress
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS, PRIMARY_DATASET, Dataset
from quant_assets.derivatives.exchange_values import mark_given, read_own_snapshots, without_known
from quant_assets.derivatives.items import load_items
from quant_assets.derivatives.planner import min_minutes, rank_due_items
from quant_assets.derivatives.policy import RefreshPolicy, load_policy
from quant_assets.derivatives.provider_choice import ProviderChoice, datasets_by_provider, load_provider_choice
from quant_assets.derivatives.simulation import (
    MarketCounts,
    SimulatedDay,
    policy_order,
    round_robin_order,
    simulate,
)
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.markets.rules import load_rules
from quant_assets.orchestration.symbol_map import current_symbol_map
from quant_assets.providers.exchanges.history_requests import HISTORY_REQUESTS
from quant_assets.providers.registry import PROVIDERS
from quant_assets.signals import MarketCandles, build_watchlist, candle_features_table, strategies_in_force


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """The planner's table of items, the policy, the providers, a summary for people and `--json`, notes for stderr.

    `items` are all of the symbol map. `given` marks those whose values the markets' own exchanges gave for the window,
    `own_history` those of open interest whose history they give too. `markets` counts the markets, and those with open
    interest of their own exchange.
    """

    items: pd.DataFrame
    markets: MarketCounts
    policy: RefreshPolicy
    choice: ProviderChoice
    summary: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulatedPlan:
    """Simulated days: as planned, the same without what exchanges give (None if they give nothing), all in turn."""

    planned: SimulatedDay
    without_exchanges: SimulatedDay | None
    in_turn: SimulatedDay

    def summary(self) -> dict[str, Any]:
        """Return the summary of each day that there is, by name."""
        days = {"planned": self.planned, "without_exchanges": self.without_exchanges, "in_turn": self.in_turn}
        return {name: simulation_summary(day) for name, day in days.items() if day is not None}


def plan_refresh(
    settings: Settings, folder: Path | None, window: Window, progress: Progress, *, now: datetime
) -> RefreshPlan:
    """Plan what a refresh of `window` would request at `now`, for the markets of a folder, or of all stored candles.

    Exits if no candle file can be read. Raises RulesError, PolicyError, ParametersError and StoreError.
    """
    policy = load_policy(settings.policy_path)
    bars = read_history(settings, folder, window)
    markets = bars[["exchange", "symbol"]].drop_duplicates(ignore_index=True).astype(str)
    symbol_map, problem = current_symbol_map(settings, build_definitions, markets, now)
    strategies = strategies_in_force(settings.strategies_path, settings.strategies_dir)
    candle_features = candle_features_table(bars, window, progress)
    watchlist = build_watchlist(candle_features, window, strategies, MarketCandles(bars))
    with closing(DerivativesStore(settings.store_place, read_only=True)) as store:
        own = read_own_snapshots(store, window, load_rules(settings.rules_path))
        given = mark_given(symbol_map, own, window)
        every = load_items(store, given, window, watchlist=watchlist)
        with_history = given["open_interest_given"] & given["own_exchange"].isin(list(HISTORY_REQUESTS))
        of_history = given.assign(open_interest_given=with_history)
        every["own_history"] = load_items(store, of_history, window, watchlist=watchlist)["given"]
        items = load_items(store, without_known(symbol_map, own, window), window, watchlist=watchlist)
    due = rank_due_items(items, window.end_seconds, policy)
    choice = load_provider_choice(settings.providers_path)
    limits = {name: provider.calls_per_minute(settings) for name, provider in PROVIDERS.items()}
    summary = {
        "window": window.key,
        "markets": len(symbol_map),
        "resolution": {
            status: int((symbol_map["status"] == status).sum()) for status in ("resolved", "aggregated", "neutral")
        },
        "symbols": int(items["symbol"].nunique()),
        "markets_in_focus": int(watchlist["near"].sum()),
        "datasets": {
            dataset: _dataset_summary(items, due, number, window, limits[choice[dataset]])
            for number, dataset in enumerate(DATASETS)
        },
        "calls_per_minute": settings.calls_per_minute,
        "calls_due": len(due),
        "given_by_exchanges": {
            dataset: int(given[f"{dataset}_given"].sum()) for dataset in ("open_interest", "funding_rate")
        },
        "calls_saved_by_exchanges": len(rank_due_items(every.assign(given=False), window.end_seconds, policy))
        - len(due),
        "minutes": sum(
            min_minutes(len(_of_datasets(due, datasets)), limits[name])
            for name, datasets in datasets_by_provider(choice).items()
        ),
    }
    problems = [problem] if problem else []
    if symbol_map["market_list_at_ms"].isna().all() and due.empty:
        problems.append("no market list has been fetched yet, so there is nothing to request")
    counts = MarketCounts(len(symbol_map), int(given["open_interest_given"].sum()))
    return RefreshPlan(every, counts, policy, choice, summary, tuple(problems))


def simulate_refresh(plan: RefreshPlan, settings: Settings, hours: float, progress: Progress) -> SimulatedPlan:
    """Simulate from an empty store the plan's items of the provider of open interest.

    Exchanges give in each window what they gave in the plan's.
    """
    provider = PROVIDERS[plan.choice[PRIMARY_DATASET]]
    items = _of_datasets(plan.items, datasets_by_provider(plan.choice)[provider.name])
    empty = items.assign(known_through=np.nan)
    alone, all_markets = empty.assign(given=False), MarketCounts(plan.markets.total)
    run = partial(
        simulate,
        calls_per_minute=provider.calls_per_minute(settings),
        symbols_per_request=provider.symbols_per_request,
        hours=hours,
    )
    order = policy_order(plan.policy)
    return SimulatedPlan(
        planned=run(empty, order, markets=plan.markets, progress=progress),
        without_exchanges=run(alone, order, markets=all_markets) if items["given"].any() else None,
        in_turn=run(alone, round_robin_order, markets=all_markets),
    )


def simulation_summary(day: SimulatedDay) -> dict[str, Any]:
    """Summarize a simulated day; ages in minutes are those after everything was known once."""
    all_known = day.all_known_after_seconds if np.isfinite(day.all_known_after_seconds) else None
    warmed_up = day.windows["window"] * 900 >= (all_known or 0.0)
    behind = day.windows.loc[warmed_up, "focus_behind_seconds"].max()
    of_window = day.windows.loc[warmed_up, "of_window"].mean()
    return {
        "calls": day.calls,
        "calls_available": day.calls_available,
        "requests": day.requests,
        "budget_used_while_due": round(day.budget_used_while_due, 4),
        "all_known_after_minutes": None if all_known is None else round(all_known / 60, 2),
        "oldest_minutes": round(float(day.ages["closed_max"].max()) / 60, 2) if len(day.ages) else None,
        "open_interest_of_window": None if np.isnan(of_window) else round(float(of_window), 4),
        "focus_behind_minutes": None if np.isnan(behind) else round(float(behind) / 60, 2),
        "datasets": {
            row["dataset"]: {
                name: None if np.isnan(value) else round(value, 2) for name, value in row.items() if name != "dataset"
            }
            for row in day.summary(0 if all_known is None else int(all_known // 60) + 1).to_dict("records")
        },
    }


def _of_datasets(items: pd.DataFrame, datasets: Sequence[Dataset]) -> pd.DataFrame:
    return items[items["dataset"].isin([DATASETS.index(dataset) for dataset in datasets])]


def _dataset_summary(
    items: pd.DataFrame, due: pd.DataFrame, number: int, window: Window, calls_per_minute: int
) -> dict[str, Any]:
    of_dataset = items[items["dataset"] == number]
    calls = int((due["dataset"] == number).sum())
    ages = (window.end_seconds - of_dataset["known_through"]).dropna() / 60
    return {
        "symbols": len(of_dataset),
        "known": len(ages),
        "median_age_minutes": float(ages.median()) if len(ages) else None,
        "oldest_minutes": float(ages.max()) if len(ages) else None,
        "due": calls,
        "minutes": min_minutes(calls, calls_per_minute),
    }
