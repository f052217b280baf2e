"""The plan of a refresh: which symbols to request, in which order, for which time range.

The order, first to last:

1. items that were never known, in four tiers: open interest of markets near a setup (or with one); all
   datasets of markets with a setup; open interest of the rest; the rest;
2. items older than the policy's `oldest_minutes`, so that nothing starves;
3. open interest of markets near a setup, so that it is known for every window;
4. other due items, by age / cadence, for open interest multiplied by the policy's `open_interest_weight`.

Within each step and tier, markets near a setup come before the others, and then the traded volume decides.

Where the markets' own exchanges gave open interest for the window, only its history is missing, for the z-score. Such
an item is due every HISTORY_MINUTES, and counts as one of the rest unless it is near a setup and was never known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.bar_times import BAR_SECONDS, NEEDED_HISTORY
from quant_assets.derivatives.datasets import DATASETS, PRIMARY_DATASET, Dataset
from quant_assets.derivatives.policy import RefreshPolicy

#: The history that a request for the newest window covers: what is needed, and more to correct bars that came late.
REQUESTED_HISTORY: Final = timedelta(hours=36)
#: The history of an intraday series that the provider keeps.
PROVIDER_RETENTION: Final = 2000 * WINDOW_LENGTH
#: How often history is requested of a symbol whose markets' own exchanges give the newest value. A z-score may be two
#: hours old.
HISTORY_MINUTES: Final = 60
#: The tier of all known items; lower tiers are of items that were never known.
KNOWN_TIER: Final = 4
#: A batch waits this long for calls to become available, before it is split to fit those that are.
SHORT_WAIT_SECONDS: Final = 1.0

ITEM_COLUMNS: Final = ("dataset", "symbol", "known_through", "setup", "near", "volume", "markets", "given")

KnownThrough = Mapping[Dataset, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Batch:
    """The symbols of one request, all of one dataset."""

    dataset: Dataset
    symbols: tuple[str, ...]

    def split(self, at: int) -> tuple[Batch, Batch]:
        """Return two batches: the first `at` symbols, and the others."""
        return Batch(self.dataset, self.symbols[:at]), Batch(self.dataset, self.symbols[at:])


def build_items(
    symbol_map: pd.DataFrame,
    known_through: KnownThrough,
    watchlist: pd.DataFrame | None = None,
    datasets: Sequence[Dataset] = DATASETS,
) -> pd.DataFrame:
    """Return the items of a symbol map: one row for each dataset and distinct symbol.

    Columns: dataset (its number in DATASETS, int64), symbol, known_through (UNIX seconds, NaN for never known), setup
    and near (bool: whether any market of the symbol has a setup, or is near one), volume (float64, the sum of its
    markets), markets (their number), and given (bool: whether the own exchanges of all its markets gave the value of
    the window, by the column `<dataset>_given` of the symbol map; False without it). `watchlist` has exchange, symbol,
    setup, near, volume by market; without it all have the same priority.
    """
    markets = symbol_map[["exchange", "symbol"]].copy()
    markets["setup"], markets["near"], markets["volume"] = False, False, 0.0
    if watchlist is not None and len(watchlist):
        merged = markets[["exchange", "symbol"]].merge(watchlist, on=["exchange", "symbol"], how="left")
        for column in ("setup", "near"):
            markets[column] = merged[column].fillna(value=False).to_numpy(dtype=bool)
        markets["volume"] = merged["volume"].fillna(0.0).to_numpy(dtype=np.float64)
    tables = []
    for dataset in datasets:
        given = symbol_map.get(f"{dataset}_given", False)
        by_symbol = (
            markets.assign(symbol=symbol_map[f"{dataset}_symbol"].to_numpy(), markets=1, given=given)
            .groupby("symbol", sort=True)[["setup", "near", "volume", "markets", "given"]]
            .agg({"setup": "any", "near": "any", "volume": "sum", "markets": "sum", "given": "all"})
        )
        by_symbol = by_symbol[by_symbol.index != ""].reset_index()
        known = known_through.get(dataset, {})
        through = [known.get(symbol, np.nan) for symbol in by_symbol["symbol"]]
        by_symbol["known_through"] = np.asarray(through, dtype=np.float64)
        by_symbol.insert(0, "dataset", DATASETS.index(dataset))
        tables.append(by_symbol)
    return pd.concat(tables, ignore_index=True)[list(ITEM_COLUMNS)]


def rank_due_items(items: pd.DataFrame, end_seconds: float, policy: RefreshPolicy) -> pd.DataFrame:
    """Return the items that are due at a window's end (UNIX seconds), the most important first.

    Columns: those of the items, and tier (int64): 0 to 3 for items that were never known, KNOWN_TIER for the rest.
    """
    cadence = np.array([policy.cadence_seconds(dataset) for dataset in DATASETS])[items["dataset"].to_numpy()]
    given = items["given"].to_numpy()
    cadence = np.where(given, np.maximum(cadence, HISTORY_MINUTES * 60), cadence)
    through = items["known_through"].to_numpy()
    age = end_seconds - through
    never = np.isnan(through)
    due = np.flatnonzero(never | (age >= cadence))
    age, never, cadence, given = age[due], never[due], cadence[due], given[due]
    dataset = items["dataset"].to_numpy()[due]
    near = items["near"].to_numpy()[due]
    setup = items["setup"].to_numpy()[due]
    overdue = age >= policy.oldest_minutes * 60
    interest = dataset == DATASETS.index(PRIMARY_DATASET)
    value = interest & ~given
    ratio = np.where(value, policy.open_interest_weight, 1.0) * age / cadence
    ratio[overdue] = age[overdue]  # overdue items are ordered by age alone
    ratio[never], dataset[never] = 0.0, 0  # neither counts among items that were never known
    urgency = np.select(
        [never & interest & near, never & setup, never & value, never, overdue, value & near],
        [0, 1, 2, 3, KNOWN_TIER, KNOWN_TIER + 1],
        default=KNOWN_TIER + 2,
    )
    # Items are sorted by symbol within a dataset, and a stable sort keeps that order among equals.
    order = np.lexsort((due, -items["volume"].to_numpy()[due], ~near, dataset, -ratio, urgency))
    return items.iloc[due[order]].assign(tier=np.minimum(urgency, KNOWN_TIER)[order])


def pack_batches(ranked: pd.DataFrame, size: int) -> list[Batch]:
    """Pack ranked items into batches of at most `size` symbols of one dataset and tier.

    A batch starts with the best remaining item, and is filled with the next best of its dataset and tier. So only the
    last batch of a dataset and tier can be smaller. It is not filled from a later tier, since a call costs the same in
    any batch, and those calls would be spent too early.
    """
    groups = ranked["tier"].to_numpy() * len(DATASETS) + ranked["dataset"].to_numpy()
    symbols = ranked["symbol"].tolist()
    batches: list[tuple[int, Batch]] = []
    for group in np.unique(groups):
        positions = np.flatnonzero(groups == group)
        for start in range(0, len(positions), size):
            chosen = positions[start : start + size]
            dataset = DATASETS[group % len(DATASETS)]
            batches.append((int(chosen[0]), Batch(dataset, tuple(symbols[position] for position in chosen))))
    return [batch for _, batch in sorted(batches, key=lambda positioned: positioned[0])]


def fit_to_budget(batch: Batch, available: int, queue: deque[Batch]) -> Batch:
    """Return the part of a batch that fits the calls available within SHORT_WAIT_SECONDS.

    The rest is put back at the head of the queue, so that available calls are used. If no calls are available, the
    whole batch is returned, and waits for them.
    """
    if not 0 < available < len(batch.symbols):
        return batch
    fitting, rest = batch.split(available)
    queue.appendleft(rest)
    return fitting


def is_due(known_through: int | None, window: Window, cadence_seconds: float) -> bool:
    """Return whether a symbol is due: never known, or at the window's end at least as old as the cadence."""
    return known_through is None or window.end_seconds - known_through >= cadence_seconds


def request_range(first: Window, last: Window, now_seconds: float) -> tuple[int, int]:
    """Return start and end (UNIX seconds) of a request for the windows `first` to `last`, sent at `now_seconds`.

    A call costs the same however long its range. So a request for the newest window covers 36 hours, and one for an
    older window all that the provider keeps. Then a backfill of the following windows is free.
    """
    start = first.end_seconds - int(REQUESTED_HISTORY.total_seconds())
    now = max(int(now_seconds), last.end_seconds)
    retention = int(PROVIDER_RETENTION.total_seconds())
    if now - first.end_seconds < NEEDED_HISTORY.total_seconds():
        return start, now
    start = min(start, now - retention)
    return start, min(now, start + retention)


def last_close(end: int) -> int:
    """Return the end (UNIX seconds) of the last bar that had closed by `end`."""
    return end - end % BAR_SECONDS


def min_minutes(calls: int, calls_per_minute: int) -> int:
    """Return the minimum of whole minutes that so many calls take in sliding minutes."""
    return max(calls - 1, 0) // calls_per_minute


def distinct_symbols(symbols: Iterable[str]) -> list[str]:
    """Return the distinct symbols, sorted and without the empty string."""
    return sorted(set(symbols) - {""})
