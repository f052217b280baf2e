"""A simulation of refreshes on a virtual clock: which ages a call budget gives.

No request is sent, and nothing is stored. Where exchanges give the values of their markets, these are known at each
window's end without a call. History of open interest is then requested for as long as the exchange's own series is too
short for a z-score.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.sliding_minute import SlidingMinute
from quant_assets.common.windows import WINDOW_LENGTH
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, PRIMARY_DATASET
from quant_assets.derivatives.open_interest import Z_SCORE_POINTS
from quant_assets.derivatives.planner import KNOWN_TIER, SHORT_WAIT_SECONDS, fit_to_budget, pack_batches, rank_due_items
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.providers.registry import DEFAULT

WINDOW_SECONDS: Final = int(WINDOW_LENGTH.total_seconds())
SAMPLE_SECONDS: Final = 60
#: The time between a request and its response.
RESPONSE_SECONDS: Final = 0.3

#: Orders the items to request at a window's end, from the items, that end, and when each was last requested (seconds).
#: Returns a table like `rank_due_items`.
Order = Callable[[pd.DataFrame, float, np.ndarray], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class MarketCounts:
    """The markets of a simulation: `total`, and `given`, those whose own exchange gives their open interest."""

    total: int
    given: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedDay:
    """The result of a simulation.

    `ages` has one row for each minute and dataset: minute (from the start), dataset, known (share of the symbols), and
    the median, p95 and max of two ages of the known symbols in seconds: `asked` since the symbol was last requested,
    `closed` since its newest known bar closed. `windows` has one row for each window: by how many seconds the oldest
    open interest near a setup was behind the window's end when its refresh ended (NaN without any), whether any
    item was still pending (`waiting`), and the share of the markets with open interest of that window (`of_window`).
    """

    ages: pd.DataFrame
    windows: pd.DataFrame
    calls: int
    calls_available: int
    calls_available_while_due: int
    requests: int
    all_known_after_seconds: float

    @property
    def budget_used_while_due(self) -> float:
        """Return the share of the budget that was spent while anything was due, at most 1.

        The first minute, which starts unused, allows a few calls more than the rate.
        """
        return min(self.calls / max(self.calls_available_while_due, 1), 1.0)

    def summary(self, warmed_up_minutes: int = 120) -> pd.DataFrame:
        """Return median, p95 and max of both ages (minutes) after the warm-up, by dataset."""
        later = self.ages[self.ages["minute"] >= warmed_up_minutes]
        rows = []
        for dataset in DATASETS:
            of_dataset = later[later["dataset"] == dataset]
            rows.append(
                {
                    "dataset": dataset,
                    **{
                        f"{kind}_{name}_minutes": float(getattr(of_dataset[f"{kind}_{name}"], how)()) / 60
                        for kind in ("asked", "closed")
                        for name, how in (("median", "median"), ("p95", "median"), ("max", "max"))
                    },
                }
            )
        return pd.DataFrame(rows)


def policy_order(policy: RefreshPolicy) -> Order:
    """Return the order of the planner with this policy."""
    return lambda items, end, _: rank_due_items(items, end, policy)


def round_robin_order(items: pd.DataFrame, _: float, requested_at: np.ndarray) -> pd.DataFrame:
    """Order all items, due or not, by when they were last requested, in one tier."""
    in_turn = np.argsort(np.where(np.isnan(requested_at), -np.inf, requested_at), kind="stable")
    return items.iloc[in_turn].assign(tier=KNOWN_TIER)


def simulate(
    items: pd.DataFrame,
    order: Order,
    *,
    calls_per_minute: int,
    symbols_per_request: int = DEFAULT.symbols_per_request,
    hours: float = 24.0,
    markets: MarketCounts | None = None,
    progress: Progress = silent,
) -> SimulatedDay:
    """Simulate the refresh of each window for `hours`, starting at a quarter hour.

    `items` is the planner's table; its `known_through` is in seconds from the start: NaN or negative. The values of
    items that are `given` are known at each window's end; of those marked in the column `own_history` (bool, optional)
    no history is requested. `markets` are those of the table and others, which have no symbol; without them all are in
    the table and none is given.
    """
    items = items.reset_index(drop=True)
    given = items["given"].to_numpy()
    own_history = items["own_history"].to_numpy() if "own_history" in items else np.zeros(len(items), dtype=bool)
    interest = (items["dataset"] == DATASETS.index(PRIMARY_DATASET)).to_numpy()
    counts = markets or MarketCounts(int(items.loc[interest, "markets"].sum()))
    asked_elsewhere = items["markets"].to_numpy() * (interest & ~given)
    requested_at = items["known_through"].to_numpy(copy=True)
    through = requested_at.copy()
    position_of = {(d, s): n for n, (d, s) in enumerate(zip(items["dataset"], items["symbol"], strict=True))}
    size = min(symbols_per_request, calls_per_minute)
    budget = SlidingMinute(calls_per_minute)
    events: list[tuple[float, np.ndarray]] = []
    windows, calls, requests, busy = [], 0, 0, 0.0
    near = interest & ~given & items["near"].to_numpy()
    end = hours * 3600
    now = 0.0
    for start in np.arange(0.0, end, WINDOW_SECONDS):
        progress("simulate", int(start), int(end))
        now = max(now, start)
        has_own_history = start // WINDOW_SECONDS + 1 >= Z_SCORE_POINTS
        is_asked = ~given | (interest & ~own_history & (not has_own_history))
        ranked = order(items.assign(known_through=through)[is_asked], start, requested_at[is_asked])
        queue = deque(pack_batches(ranked, size))
        while queue:
            batch = fit_to_budget(queue.popleft(), budget.available(_microseconds(now + SHORT_WAIT_SECONDS)), queue)
            sent = budget.earliest(len(batch.symbols), _microseconds(now)) / 1e6
            if sent >= start + WINDOW_SECONDS:
                queue.appendleft(batch)
                break
            now = sent + RESPONSE_SECONDS
            budget.spend(len(batch.symbols), _microseconds(now))
            number = DATASETS.index(batch.dataset)
            touched = np.array([position_of[number, symbol] for symbol in batch.symbols])
            requested_at[touched] = sent
            through[touched] = sent - sent % BAR_SECONDS
            events.append((sent, touched))
            calls, requests = calls + len(batch.symbols), requests + 1
        busy += WINDOW_SECONDS if queue else min(now, start + WINDOW_SECONDS) - start
        behind = start - through[near]
        windows.append(
            {
                "window": int(start // WINDOW_SECONDS),
                "focus_behind_seconds": float(np.nanmax(behind)) if np.isfinite(behind).any() else np.nan,
                "waiting": bool(queue),
                "of_window": (counts.given + int(asked_elsewhere[through >= start].sum())) / max(counts.total, 1),
            }
        )
    known_at = np.where(given, 0.0, _first_requested(events, len(items)))
    return SimulatedDay(
        ages=_sample_ages(items, events, end),
        windows=pd.DataFrame(windows),
        calls=calls,
        calls_available=int(calls_per_minute * end / 60),
        calls_available_while_due=int(calls_per_minute * (busy / 60)),
        requests=requests,
        all_known_after_seconds=float(known_at.max()) if len(known_at) else 0.0,
    )


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _first_requested(events: list[tuple[float, np.ndarray]], count: int) -> np.ndarray:
    """Return when each item was first requested; infinity if never."""
    first = np.full(count, np.inf)
    for moment, touched in reversed(events):
        first[touched] = moment
    return first


def _sample_ages(items: pd.DataFrame, events: list[tuple[float, np.ndarray]], end: float) -> pd.DataFrame:
    """Return the ages at each minute, by replaying the requests."""
    asked = items["known_through"].to_numpy(copy=True)
    closed = asked.copy()
    dataset, given = items["dataset"].to_numpy(), items["given"].to_numpy()
    members = [np.flatnonzero(dataset == number) for number in range(len(DATASETS))]
    rows = []
    done = 0
    for moment in np.arange(SAMPLE_SECONDS, end + 1, SAMPLE_SECONDS):
        while done < len(events) and events[done][0] < moment:
            sent, touched = events[done]
            asked[touched], closed[touched] = sent, sent - sent % BAR_SECONDS
            done += 1
        window_end = (moment - 1) // WINDOW_SECONDS * WINDOW_SECONDS
        asked[given], closed[given] = window_end, window_end
        for number, name in enumerate(DATASETS):
            since_asked = moment - asked[members[number]]
            known = since_asked[~np.isnan(since_asked)]
            since_closed = (moment - closed[members[number]])[~np.isnan(since_asked)]
            if len(known) == 0:
                continue
            rows.append(
                {
                    "minute": int(moment // 60),
                    "dataset": name,
                    "known": len(known) / len(members[number]),
                    **_percentiles("asked", known),
                    **_percentiles("closed", since_closed),
                }
            )
    return pd.DataFrame(rows)


def _percentiles(kind: str, ages: np.ndarray) -> dict[str, float]:
    median, p95 = np.percentile(ages, [50, 95])
    return {f"{kind}_median": float(median), f"{kind}_p95": float(p95), f"{kind}_max": float(ages.max())}
