"""What a refresh asks for, in which order and for which range.

Here: pure functions over tables: what is due, how it is packed into requests, which range each request covers.
Not here: the store, the API, the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, SPECS, Dataset
from quant_assets.windows import LENGTH, Window

#: What a window's numbers are computed from.
NEEDED: Final = timedelta(hours=24)
#: How far a request for the newest window reaches back: what is needed, and the chance to mend what came late.
LOOKBACK: Final = timedelta(hours=36)
#: How many points of an intraday series the provider keeps at the most.
RETENTION: Final = 2000 * LENGTH


@dataclass(frozen=True, slots=True)
class Request:
    """One request: symbols of one dataset, at most as many as a request takes."""

    dataset: Dataset
    symbols: tuple[str, ...]


def needed_from(window: Window) -> int:
    """Return the moment (UNIX seconds) from which on a window's numbers need everything."""
    return window.end_seconds - int(NEEDED.total_seconds())


def is_due(known_through: int | None, window: Window, cadence: timedelta) -> bool:
    """Whether a symbol is to be asked for: never known, or by the window's end as old as the cadence."""
    return known_through is None or window.end_seconds - known_through >= cadence.total_seconds()


def due_symbols(
    wanted: Mapping[Dataset, Sequence[str]],
    known_through: Mapping[Dataset, Mapping[str, int]],
    window: Window,
    cadences: Mapping[Dataset, timedelta] | None = None,
) -> dict[Dataset, list[str]]:
    """Return what is due by dataset: the never-known before the stale, the stale by age, then by name.

    `wanted` are the distinct symbols that the market map names, `known_through` the moment (UNIX seconds) through
    which each is known without a hole.
    """
    due: dict[Dataset, list[str]] = {}
    for dataset in DATASETS:
        known = known_through.get(dataset, {})
        cadence = (cadences or {}).get(dataset, SPECS[dataset].cadence)
        symbols = [symbol for symbol in wanted.get(dataset, ()) if is_due(known.get(symbol), window, cadence)]
        due[dataset] = sorted(symbols, key=lambda symbol, known=known: (known.get(symbol, 0), symbol))  # type: ignore[misc]
    return due


def pack(due: Mapping[Dataset, Sequence[str]], size: int) -> Iterator[Request]:
    """Pack what is due into requests of at most `size` symbols, open interest first."""
    for dataset in DATASETS:
        symbols = due.get(dataset, ())
        for start in range(0, len(symbols), size):
            yield Request(dataset, tuple(symbols[start : start + size]))


def range_to_ask(window: Window, now_seconds: float) -> tuple[int, int]:
    """Return the range of a request for `window`, made at `now_seconds`: first and last moment (UNIX seconds).

    A call costs the same however long its range. So the newest window takes a day and a half, and an older one
    everything that the provider still keeps, which makes a backfill of the windows after it free.
    """
    start = window.end_seconds - int(LOOKBACK.total_seconds())
    now = max(int(now_seconds), window.end_seconds)
    retention = int(RETENTION.total_seconds())
    if now - window.end_seconds < NEEDED.total_seconds():
        return start, now
    start = min(start, now - retention)
    return start, min(now, start + retention)


def closed_through(end: int) -> int:
    """Return the end (UNIX seconds) of the last bar that had closed by `end`."""
    return end - end % BAR_SECONDS


def distinct(symbols: Iterable[str]) -> list[str]:
    """Return the distinct symbols in order, without the empty one."""
    return sorted(set(symbols) - {""})
