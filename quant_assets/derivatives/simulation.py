"""The refresh against a virtual clock: what ages a budget buys.

Nothing is asked and nothing is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS
from quant_assets.derivatives.planner import KNOWN_TIER, SOON_SECONDS, pack, rank, split_to_fit
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.providers.coinalyze.client import SYMBOLS_PER_REQUEST

WINDOW_SECONDS: Final = 900
SAMPLE_SECONDS: Final = 60
#: From sending a request to having its answer.
ANSWER_SECONDS: Final = 0.3

#: Orders what is to be asked for at a window's end, from the items, that end, and when each was last asked for; returns
#: a table as `rank` does.
Order = Callable[[pd.DataFrame, float, np.ndarray], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class SimulatedDay:
    """What came of a simulation.

    `ages` has one row for each minute and dataset: minute (from the start), dataset, known (share of the symbols),
    and over those that are known the median, p95 and max of two ages in seconds: `asked` since the symbol was last
    asked for, `closed` since its newest known bar had closed. `windows` has one row a window: the seconds by which
    the oldest open interest in focus was behind the window's end when its refresh ended (NaN without any), and
    whether anything was left waiting.
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
        """The share of the budget that was spent in the time in which anything was due.

        At most all of it: the sliding minute that is free at first gives a little more than the rate alone.
        """
        return min(self.calls / max(self.calls_available_while_due, 1), 1.0)

    def summary(self, warmed_up_minutes: int = 120) -> pd.DataFrame:
        """Return, by dataset, median, p95 and max of both ages (minutes) after the warming up, and the largest ever."""
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


def by_policy(policy: RefreshPolicy) -> Order:
    """Return the order of the planner."""
    return lambda items, end, _: rank(items, end, policy)


def round_robin(items: pd.DataFrame, _: float, asked_at: np.ndarray) -> pd.DataFrame:
    """Order everything by when it was last asked for: all symbols, all datasets, in turn, due or not, in one tier."""
    in_turn = np.argsort(np.where(np.isnan(asked_at), -np.inf, asked_at), kind="stable")
    return items.iloc[in_turn].assign(tier=KNOWN_TIER)


def simulate(
    items: pd.DataFrame,
    order: Order,
    *,
    calls_per_minute: int,
    hours: float = 24.0,
    progress: Progress = silent,
) -> SimulatedDay:
    """Run the refresh of each window for `hours`, starting at a quarter hour with what `items` says is known.

    `items` is the planner's table; its `known_through` counts from the start, at 0, and is NaN or negative.
    """
    items = items.reset_index(drop=True)
    asked_at = items["known_through"].to_numpy(copy=True)
    through = asked_at.copy()
    place = {(d, s): n for n, (d, s) in enumerate(zip(items["dataset"], items["symbol"], strict=True))}
    size = min(SYMBOLS_PER_REQUEST, calls_per_minute)
    budget = _SlidingMinute(calls_per_minute)
    events: list[tuple[float, np.ndarray]] = []
    windows, calls, requests, busy = [], 0, 0, 0.0
    focus = (items["dataset"] == 0).to_numpy() & items["focus"].to_numpy()
    end = hours * 3600
    now = 0.0
    for start in np.arange(0.0, end, WINDOW_SECONDS):
        progress("simulate", int(start), int(end))
        now = max(now, start)
        ranked = order(items.assign(known_through=through), start, asked_at)
        queue = deque(pack(ranked, size))
        while queue:
            request = split_to_fit(queue.popleft(), budget.room(now + SOON_SECONDS), queue)
            sent = budget.when(len(request.symbols), now)
            if sent >= start + WINDOW_SECONDS:
                queue.appendleft(request)
                break
            now = sent + ANSWER_SECONDS
            budget.spend(len(request.symbols), now)
            number = DATASETS.index(request.dataset)
            touched = np.array([place[number, symbol] for symbol in request.symbols])
            asked_at[touched] = sent
            through[touched] = sent - sent % BAR_SECONDS
            events.append((sent, touched))
            calls, requests = calls + len(request.symbols), requests + 1
        busy += WINDOW_SECONDS if queue else min(now, start + WINDOW_SECONDS) - start
        behind = start - through[focus]
        windows.append(
            {
                "window": int(start // WINDOW_SECONDS),
                "focus_behind_seconds": float(np.nanmax(behind)) if np.isfinite(behind).any() else np.nan,
                "waiting": bool(queue),
            }
        )
    known_at = _first_asked(events, len(items))
    return SimulatedDay(
        ages=_sampled(items, events, end),
        windows=pd.DataFrame(windows),
        calls=calls,
        calls_available=int(calls_per_minute * end / 60),
        calls_available_while_due=int(calls_per_minute * (busy / 60)),
        requests=requests,
        all_known_after_seconds=float(known_at.max()) if len(known_at) else 0.0,
    )


class _SlidingMinute:
    """The provider's limit: calls count for sixty seconds from the moment of their answer."""

    def __init__(self, calls_per_minute: int) -> None:
        self._limit = calls_per_minute
        self._spent: deque[tuple[float, int]] = deque()

    def room(self, at: float) -> int:
        """Return how many calls fit at a moment, if none is made before it."""
        return self._limit - sum(count for moment, count in self._spent if moment + 60 > at)

    def when(self, calls: int, now: float) -> float:
        """Return the earliest moment, not before `now`, at which `calls` fit."""
        while self._spent and self._spent[0][0] + 60 <= now:
            self._spent.popleft()
        free = self.room(now)
        for moment, count in self._spent:
            if free >= calls:
                break
            free += count
            now = max(now, moment + 60)
        return now

    def spend(self, calls: int, at: float) -> None:
        self._spent.append((at, calls))


def _first_asked(events: list[tuple[float, np.ndarray]], count: int) -> np.ndarray:
    """Return when each item was first asked for; never is infinite."""
    first = np.full(count, np.inf)
    for moment, touched in reversed(events):
        first[touched] = moment
    return first


def _sampled(items: pd.DataFrame, events: list[tuple[float, np.ndarray]], end: float) -> pd.DataFrame:
    """Replay the events and take the ages each minute."""
    asked = items["known_through"].to_numpy(copy=True)
    closed = asked.copy()
    dataset = items["dataset"].to_numpy()
    members = [np.flatnonzero(dataset == number) for number in range(len(DATASETS))]
    rows = []
    done = 0
    for moment in np.arange(SAMPLE_SECONDS, end + 1, SAMPLE_SECONDS):
        while done < len(events) and events[done][0] < moment:
            sent, touched = events[done]
            asked[touched], closed[touched] = sent, sent - sent % BAR_SECONDS
            done += 1
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
                    **_spread("asked", known),
                    **_spread("closed", since_closed),
                }
            )
    return pd.DataFrame(rows)


def _spread(kind: str, ages: np.ndarray) -> dict[str, float]:
    median, p95 = np.percentile(ages, [50, 95])
    return {f"{kind}_median": float(median), f"{kind}_p95": float(p95), f"{kind}_max": float(ages.max())}
