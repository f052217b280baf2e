"""What a refresh asks for, in which order, and for which range.

The order, first to last:

1. what was never known, in four tiers: open interest of markets in focus (with a setup, or close to one); all datasets
   of markets with a setup; open interest of the rest; the rest;
2. what is older than the policy's `oldest_minutes`, so that nothing starves;
3. open interest of markets in focus, so that it is known for every window;
4. what is due, by its age in cadences times the weight of open interest.

Within each step and tier, markets in focus come before quiet ones, and then the traded volume decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import LENGTH, Window
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, Dataset
from quant_assets.derivatives.policy import RefreshPolicy

#: What a window's numbers are computed from.
NEEDED: Final = timedelta(hours=24)
#: How far a request for the newest window reaches back: what is needed, and the chance to mend what came late.
LOOKBACK: Final = timedelta(hours=36)
#: How many points of an intraday series the provider keeps at the most.
RETENTION: Final = 2000 * LENGTH
#: The tier of everything known; those before it are of what was never known.
KNOWN_TIER: Final = 4
#: Calls that are free within so short a time are worth waiting for, since a request is split where they do not suffice.
SOON_SECONDS: Final = 1.0

Known = Mapping[Dataset, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request: symbols of one dataset, at most as many as a request takes."""

    dataset: Dataset
    symbols: tuple[str, ...]

    def split(self, at: int) -> tuple[Request, Request]:
        """Return two requests: of the first so many symbols, and of the others."""
        return Request(self.dataset, self.symbols[:at]), Request(self.dataset, self.symbols[at:])


def items_table(
    symbol_map: pd.DataFrame,
    known_through: Known,
    interest: pd.DataFrame | None = None,
    datasets: Sequence[Dataset] = DATASETS,
) -> pd.DataFrame:
    """Return everything that a symbol map can ask for: one row a dataset and distinct symbol.

    Columns: dataset (its number in DATASETS, int64), symbol, known_through (UNIX seconds, NaN for never known), setup
    and focus (bool: any market that the symbol serves has a setup, is in focus), volume (float64, the sum of theirs).
    `interest` has exchange, symbol, setup, focus, volume by market; without it all markets are alike.
    """
    served = symbol_map[["exchange", "symbol"]].copy()
    served["setup"], served["focus"], served["volume"] = False, False, 0.0
    if interest is not None and len(interest):
        merged = served[["exchange", "symbol"]].merge(interest, on=["exchange", "symbol"], how="left")
        for column in ("setup", "focus"):
            served[column] = merged[column].fillna(value=False).to_numpy(dtype=bool)
        served["volume"] = merged["volume"].fillna(0.0).to_numpy(dtype=np.float64)
    tables = []
    for dataset in datasets:
        by_symbol = (
            served.assign(symbol=symbol_map[f"{dataset}_symbol"].to_numpy())
            .groupby("symbol", sort=True)[["setup", "focus", "volume"]]
            .agg({"setup": "any", "focus": "any", "volume": "sum"})
        )
        by_symbol = by_symbol[by_symbol.index != ""].reset_index()
        known = known_through.get(dataset, {})
        through = [known.get(symbol, np.nan) for symbol in by_symbol["symbol"]]
        by_symbol["known_through"] = np.asarray(through, dtype=np.float64)
        by_symbol.insert(0, "dataset", DATASETS.index(dataset))
        tables.append(by_symbol)
    return pd.concat(tables, ignore_index=True)[["dataset", "symbol", "known_through", "setup", "focus", "volume"]]


def rank(items: pd.DataFrame, end_seconds: float, policy: RefreshPolicy) -> pd.DataFrame:
    """Return what is due at a window's end (UNIX seconds), in the order in which it is worth asking for.

    The columns of the items, and tier (int64): 0 to 3 for what was never known, KNOWN_TIER for the rest.
    """
    cadence = np.array([policy.cadence_seconds(dataset) for dataset in DATASETS])[items["dataset"].to_numpy()]
    through = items["known_through"].to_numpy()
    age = end_seconds - through
    never = np.isnan(through)
    due = np.flatnonzero(never | (age >= cadence))
    age, never, cadence = age[due], never[due], cadence[due]
    dataset = items["dataset"].to_numpy()[due]
    focus = items["focus"].to_numpy()[due]
    setup = items["setup"].to_numpy()[due]
    overdue = age >= policy.oldest_minutes * 60
    interest = dataset == DATASETS.index("open_interest")
    ratio = np.where(interest, policy.open_interest_weight, 1.0) * age / cadence
    ratio[overdue] = age[overdue]  # nothing is favoured among what has waited too long
    ratio[never], dataset[never] = 0.0, 0  # within a tier of what was never known neither counts
    urgency = np.select(
        [never & interest & focus, never & setup, never & interest, never, overdue, interest & focus],
        [0, 1, 2, 3, KNOWN_TIER, KNOWN_TIER + 1],
        default=KNOWN_TIER + 2,
    )
    # The items come sorted by symbol within a dataset, and a stable sort keeps that where all else is equal.
    order = np.lexsort((due, -items["volume"].to_numpy()[due], ~focus, dataset, -ratio, urgency))
    return items.iloc[due[order]].assign(tier=np.minimum(urgency, KNOWN_TIER)[order])


def pack(ranked: pd.DataFrame, size: int) -> list[Request]:
    """Pack ranked items into requests of at most `size` symbols of one dataset and tier.

    A request is led by the best item that is left, and filled with the next best of its dataset and tier, so that none
    but the last of a dataset and tier has room. It is not filled from a later tier: a call costs the same whichever
    request it is in, and those would be spent ahead of their turn.
    """
    groups = ranked["tier"].to_numpy() * len(DATASETS) + ranked["dataset"].to_numpy()
    symbols = ranked["symbol"].tolist()
    requests: list[tuple[int, Request]] = []
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        for start in range(0, len(places), size):
            chosen = places[start : start + size]
            dataset = DATASETS[group % len(DATASETS)]
            requests.append((int(chosen[0]), Request(dataset, tuple(symbols[place] for place in chosen))))
    return [request for _, request in sorted(requests, key=lambda led: led[0])]


def split_to_fit(request: Request, room: int, queue: deque[Request]) -> Request:
    """Return what of a request fits into `room`, the calls that are free within SOON_SECONDS.

    What does not fit goes to the head of the queue: a call that is free and not used is lost. Without any room the
    request stays whole, and waits.
    """
    if not 0 < room < len(request.symbols):
        return request
    fits, later = request.split(room)
    queue.appendleft(later)
    return fits


def needed_from(window: Window) -> int:
    """Return the moment (UNIX seconds) from which on a window's numbers need everything."""
    return window.end_seconds - int(NEEDED.total_seconds())


def is_due(known_through: int | None, window: Window, cadence_seconds: float) -> bool:
    """Whether a symbol is to be asked for: never known, or by the window's end as old as the cadence."""
    return known_through is None or window.end_seconds - known_through >= cadence_seconds


def range_to_ask(first: Window, last: Window, now_seconds: float) -> tuple[int, int]:
    """Return the range of a request for the windows from `first` to `last`, made at `now_seconds`.

    First and last moment, UNIX seconds. A call costs the same however long its range. So the newest window takes a day
    and a half, and an older one everything that the provider still keeps, which makes a backfill of the windows after
    it free.
    """
    start = first.end_seconds - int(LOOKBACK.total_seconds())
    now = max(int(now_seconds), last.end_seconds)
    retention = int(RETENTION.total_seconds())
    if now - first.end_seconds < NEEDED.total_seconds():
        return start, now
    start = min(start, now - retention)
    return start, min(now, start + retention)


def closed_through(end: int) -> int:
    """Return the end (UNIX seconds) of the last bar that had closed by `end`."""
    return end - end % BAR_SECONDS


def least_minutes(calls: int, calls_per_minute: int) -> int:
    """Return the whole minutes that so many calls take at the least, since the minute slides."""
    return max(calls - 1, 0) // calls_per_minute


def distinct(symbols: Iterable[str]) -> list[str]:
    """Return the distinct symbols in order, without the empty one."""
    return sorted(set(symbols) - {""})
