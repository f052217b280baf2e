"""One refresh: ask for what is due until it is known, the time is up, or the provider will not have it.

A failure of the provider never rises from here: it ends or shortens the refresh, and is counted and told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.common.windows import Window
from quant_assets.derivatives.clocks import conservative_now
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, INTERVAL, SPECS, Dataset
from quant_assets.derivatives.due import items_and_due
from quant_assets.derivatives.planner import (
    SOON_SECONDS,
    Request,
    closed_through,
    distinct,
    is_due,
    least_minutes,
    needed_from,
    pack,
    range_to_ask,
    split_to_fit,
)
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.report import DatasetReport, RefreshReport
from quant_assets.derivatives.store import DerivativesStore, Fetched, StoreError
from quant_assets.providers.coinalyze.client import SYMBOLS_PER_REQUEST, CoinalyzeClient
from quant_assets.providers.coinalyze.errors import (
    BadRequest,
    BudgetUnusable,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderUnavailable,
)

FAILURES_IN_A_ROW: Final = 3
BAD_REQUESTS: Final = 12
ELSEWHERE_SECONDS: Final = 0.2

#: Gives the interest in each market (exchange, symbol, setup, focus, volume); asked for only where something is due.
Interest = Callable[[], pd.DataFrame | None]
#: Gives the symbol map when these symbols, by dataset, are passed over since they came back empty twice.
Resolve = Callable[[Mapping[str, set[str]]], pd.DataFrame]

_DEFAULT_POLICY: Final = RefreshPolicy()


def _no_interest() -> None:
    """All markets are alike."""


@dataclass(slots=True)
class _Refresh:
    """The state of a running refresh."""

    store: DerivativesStore
    client: CoinalyzeClient
    first: Window
    window: Window
    clock: Callable[[], float]
    deadline: float | None
    policy: RefreshPolicy
    progress: Progress
    report: RefreshReport
    tried: dict[Dataset, set[str]] = field(default_factory=lambda: {dataset: set() for dataset in DATASETS})
    failures_in_a_row: int = 0
    bad_requests: int = 0
    answered: bool = False
    suspects: list[Request] = field(default_factory=list)
    done: int = 0
    total: int = 0
    asked_elsewhere: int = 0


def refresh(
    store: DerivativesStore,
    client: CoinalyzeClient,
    resolve: Resolve,
    window: Window,
    *,
    first: Window | None = None,
    since_ms: float,
    datasets: Sequence[Dataset] = DATASETS,
    deadline: float | None = None,
    policy: RefreshPolicy = _DEFAULT_POLICY,
    interest: Interest = _no_interest,
    clock: Callable[[], float] = time.time,
    progress: Progress = silent,
) -> tuple[pd.DataFrame, RefreshReport]:
    """Ask for what `window` needs and the store does not know; returns the symbol map that held in the end.

    With `first`, all windows from that one to `window` are served by the same calls. A symbol that comes back empty
    twice (counted since `since_ms`, the age of the market list) is replaced by the next best one, through `resolve`.
    `deadline` is by the clock of the budget, `clock` gives the time of day (epoch seconds).
    """
    before = (client.usage.calls, client.usage.requests, client.usage.rate_limited, client.usage.retries)
    waited = client.budget.waited_seconds
    report = RefreshReport({dataset: DatasetReport() for dataset in datasets})
    state = _Refresh(store, client, first or window, window, clock, deadline, policy, progress, report)
    symbol_map = resolve(store.empty_twice(since_ms))
    first_round = True
    interest = cache(interest)  # neither candles nor window change within a refresh
    while True:
        wanted = {dataset: distinct(symbol_map[f"{dataset}_symbol"]) for dataset in datasets}
        due = _due(state, symbol_map, datasets)
        if first_round:
            for dataset in datasets:
                report.datasets[dataset].known = len(wanted[dataset]) - _count(due, dataset)
            first_round = False
        if len(due) and _has_time(state) and (worth := interest()) is not None:
            due = _due(state, symbol_map, datasets, worth)
        queue = deque(pack(due, min(SYMBOLS_PER_REQUEST, client.budget.calls_per_minute)))
        state.total = state.done + sum(len(request.symbols) for request in queue)
        while queue and not report.stopped:
            _ask(state, queue)
        substituted = resolve(store.empty_twice(since_ms))
        if state.asked_elsewhere and not report.stopped:
            # Another process is asking for the rest: see in a moment what has become of it.
            state.asked_elsewhere = 0
            client.budget.wait(ELSEWHERE_SECONDS)
        elif report.stopped or substituted.equals(symbol_map):
            symbol_map = substituted
            break
        symbol_map = substituted
    waiting = _due(state, symbol_map, datasets)
    for dataset in datasets:
        report.datasets[dataset].wanted = len(distinct(symbol_map[f"{dataset}_symbol"]))
        report.datasets[dataset].waiting = _count(waiting, dataset)
    usage = client.usage
    report.calls, report.requests, report.rate_limited, report.retries = (
        after - earlier
        for after, earlier in zip((usage.calls, usage.requests, usage.rate_limited, usage.retries), before, strict=True)
    )
    report.waited_seconds = round(client.budget.waited_seconds - waited, 3)
    return symbol_map, report


def _due(
    state: _Refresh, symbol_map: pd.DataFrame, datasets: Sequence[Dataset], interest: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what is due and has not been tried in this refresh, the worthiest first."""
    _, ranked = items_and_due(
        state.store, symbol_map, state.window, state.policy, first=state.first, datasets=datasets, interest=interest
    )
    untried = [
        symbol not in state.tried[DATASETS[number]]
        for number, symbol in zip(ranked["dataset"], ranked["symbol"], strict=True)
    ]
    return ranked[np.array(untried, dtype=bool)]


def _has_time(state: _Refresh) -> bool:
    return state.deadline is None or state.client.budget.now() < state.deadline


def _count(ranked: pd.DataFrame, dataset: Dataset) -> int:
    return int((ranked["dataset"] == DATASETS.index(dataset)).sum())


def _ask(state: _Refresh, queue: deque[Request]) -> None:
    """Send the first request of the queue, and enter what became of it."""
    request = queue.popleft()
    report = state.report
    account = report.datasets[request.dataset]
    now = state.clock()
    start, end = range_to_ask(state.first, state.window, now)
    spent = (state.client.usage.calls, state.client.usage.requests)
    left = state.total - state.done
    try:
        request = split_to_fit(request, state.client.budget.available(SOON_SECONDS), queue)
        answer, asked = state.client.history(
            SPECS[request.dataset].endpoint,
            request.symbols,
            interval=INTERVAL,
            start=start,
            end=end,
            deadline=state.deadline,
            still_needed=lambda symbols: _claim(state, request.dataset, symbols),
            on_wait=lambda seconds: state.progress(
                "refresh", state.done, state.total, _time_left(left, state.client, seconds)
            ),
        )
        now = conservative_now(now, answer.responded_at, report)
        fetched, odd = _fetched(request.dataset, asked, answer.rows, (start, end), now, answer.simulated)
        if asked:
            state.store.add(fetched)
    except DeadlineExceeded:
        report.stopped = "out_of_time"
    except MissingApiKey as error:
        _stop(report, "no_key", error)
    except InvalidApiKey as error:
        _stop(report, "key_refused", error)
    except (StoreError, BudgetUnusable) as error:
        _stop(report, "store", error)
    except BadRequest as error:
        _bad_request(state, request, queue, error)
    except ProviderUnavailable as error:
        _failed(state, request)
        report.problems.append(str(error))
        state.failures_in_a_row += 1
        if state.failures_in_a_row >= FAILURES_IN_A_ROW:
            _stop(report, "provider_unavailable", None)
    else:
        with_data = sum(bool(bars) for bars in fetched.bars.values())
        account.fetched += with_data
        account.empty += len(asked) - with_data
        report.broken_points += answer.invalid + odd
        state.tried[request.dataset].update(asked)
        state.failures_in_a_row = state.bad_requests = 0
        state.answered |= bool(asked)
        _believe(state)
        state.done += len(request.symbols)
    finally:
        _release(state, request)
        account.calls += state.client.usage.calls - spent[0]
        account.requests += state.client.usage.requests - spent[1]
    state.progress("refresh", state.done, state.total, _time_left(state.total - state.done, state.client, 0.0))


def _fetched(
    dataset: Dataset,
    asked: tuple[str, ...],
    rows: Sequence[Any],
    asked_range: tuple[int, int],
    now: float,
    simulated: bool,
) -> tuple[Fetched, int]:
    """Keep the closed bars alone, since one that is still open would be taken for final by a later window.

    Returns also how many bars do not begin at a quarter hour, or begin after the range that was asked for: they are no
    15-minute bars, or of the future, and left out.
    """
    start, end = asked_range
    sound = {row.symbol: [p for p in row.points if not p[0] % BAR_SECONDS and p[0] <= end] for row in rows}
    bars = {symbol: [p for p in points if p[0] + BAR_SECONDS <= now] for symbol, points in sound.items()}
    odd = sum(len(row.points) - len(sound[row.symbol]) for row in rows)
    return Fetched(dataset, asked, bars, start, closed_through(min(end, int(now))), int(now * 1000), simulated), odd


def _claim(state: _Refresh, dataset: Dataset, symbols: Sequence[str]) -> list[str]:
    """Return those symbols that are still due and that no other process is asking for right now.

    First the claim, then the look: whoever had it before stored its answer before giving it back.
    """
    mine = state.store.claim(dataset, symbols, int(state.client.budget.now() * 1000))
    state.asked_elsewhere += len(symbols) - len(mine)
    known = state.store.known(dataset, mine, needed_from(state.first))
    cadence = state.policy.cadence_seconds(dataset)
    return [symbol for symbol in mine if is_due(known.get(symbol), state.window, cadence)]


def _release(state: _Refresh, request: Request) -> None:
    """Give the claims back; where the store takes nothing any more, they end by themselves."""
    if state.report.stopped != "store":
        try:
            state.store.release(request.dataset, request.symbols)
        except StoreError as error:
            _stop(state.report, "store", error)


def _bad_request(state: _Refresh, request: Request, queue: deque[Request], error: BadRequest) -> None:
    """Halve a request that the provider calls wrong, until the symbol that spoils it stands alone."""
    state.bad_requests += 1
    if state.bad_requests >= BAD_REQUESTS:
        _stop(state.report, "bad_requests", error)
    elif len(request.symbols) == 1:
        state.suspects.append(request)
        _failed(state, request)
        state.report.problems.append(str(error))
        _believe(state)
    else:
        queue.extendleft(reversed(request.split(len(request.symbols) // 2)))


def _believe(state: _Refresh) -> None:
    """Enter symbols that spoil requests as empty, once another request was answered: before, anything may be wrong."""
    now = state.clock()
    start, end = range_to_ask(state.first, state.window, now)
    through, at_ms = closed_through(min(end, int(now))), int(now * 1000)
    try:
        while state.answered and state.suspects:
            suspect = state.suspects.pop()
            state.store.add(Fetched(suspect.dataset, suspect.symbols, {}, start, through, at_ms, simulated=False))
    except StoreError as error:
        _stop(state.report, "store", error)


def _failed(state: _Refresh, request: Request) -> None:
    state.report.datasets[request.dataset].failed += len(request.symbols)
    state.tried[request.dataset].update(request.symbols)
    state.done += len(request.symbols)


def _stop(report: RefreshReport, why: str, error: Exception | None) -> None:
    report.stopped = why
    if error is not None:
        report.problems.append(str(error))


def _time_left(calls: int, client: CoinalyzeClient, wait: float) -> str:
    """Say how long the calls that are left take at the limit."""
    minutes = least_minutes(calls, client.budget.calls_per_minute)
    text = f"about {minutes} min left" if minutes else "under a minute left"
    return f"{text}, next request in {wait:.0f} s" if wait >= 1 else text
