"""Stored tables and bars of one market: candles, derivative bars, and the source of each dataset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, SPECS, Dataset
from quant_assets.derivatives.exchange_values import EXCHANGE, WINDOW_MS
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.providers.registry import provider_name
from quant_assets.storage.lake import Lake

STORE_NAME: Final = "derivatives.sqlite"
#: How long to wait for a writer's lock, which lasts milliseconds; a chart that waits longer is drawn without bars.
BUSY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Source:
    """The source of one dataset of a market in a window; `closed_at_ms` is None if there is no value."""

    dataset: Dataset
    status: str
    symbol: str
    exchange: str
    unit: str
    closed_at_ms: float | None


@dataclass(frozen=True, slots=True)
class DerivativeBars:
    """Closed bars of one symbol, oldest first; the data are complete up to `through_ms`."""

    times_ms: tuple[int, ...]
    columns: Mapping[str, tuple[float, ...]]
    through_ms: int | None


def dataset_sources(lake: Lake, window: Window, exchange: str, symbol: str) -> dict[Dataset, Source]:
    """Return the sources of a market's datasets from the window's tables; datasets without a table are left out."""
    found: dict[Dataset, Source] = {}
    for dataset in DATASETS:
        table = lake.read_market([dataset], window.key, exchange, symbol)
        if table is not None and table.num_rows:
            row = table.slice(0, 1).to_pylist()[0]
            closed = row["closed_at_ms"]
            found[dataset] = Source(
                dataset,
                str(row["status"]),
                str(row["coinalyze_symbol"]),
                str(row["source_exchange"]),
                str(row["unit"] or ""),
                None if closed is None or closed != closed else float(closed),  # noqa: PLR0124 - NaN
            )
    return found


def store_place(settings: Settings) -> Path | DatabaseServer | None:
    """Return the database of the derivatives store: the server's, or a file.

    The file is that of the configured provider, or else the only one that exists.
    """
    if settings.database is not None:
        return settings.database
    configured = settings.store_dir / STORE_NAME
    if configured.exists():
        return configured
    stores = sorted(settings.store_dir.parent.glob(f"*/{STORE_NAME}"))
    return stores[0] if len(stores) == 1 else None


def read_derivative_bars(
    place: Path | DatabaseServer | None, dataset: Dataset, symbol: str, exchange: str, window: Window, hours: int
) -> DerivativeBars:
    """Return the bars of the last `hours` that had closed by the window's end; empty if none are stored.

    For a symbol of the provider `exchange`, these are that exchange's snapshots, whose columns are all the same.
    """
    names = SPECS[dataset].columns
    empty = DerivativeBars((), dict.fromkeys(names, ()), None)
    if place is None or not symbol:
        return empty
    start, end = window.end_seconds - hours * 3600, window.end_seconds - BAR_SECONDS
    try:
        with closing(DerivativesStore(place, read_only=True, lock_timeout_seconds=BUSY_SECONDS)) as store:
            if provider_name(symbol) == EXCHANGE:
                return _own_bars(store, exchange, symbol, names, window, start)
            rows = store.bars(dataset, [symbol], start, end + 1)
            through = store.known_through(dataset, [symbol], window.end_seconds).get(symbol)
    except StoreError:
        return empty
    return DerivativeBars(
        tuple(int(row[1]) * 1000 for row in rows),
        {name: tuple(row[position] for row in rows) for position, name in enumerate(names, start=2)},
        None if through is None else min(through, window.end_seconds) * 1000,
    )


def _own_bars(
    store: DerivativesStore, exchange: str, symbol: str, names: tuple[str, ...], window: Window, start: int
) -> DerivativeBars:
    """Return the open interest that an exchange gave at the ends of windows."""
    found = store.snapshots_of(exchange, symbol.partition(":")[2], start * 1000, window.end_ms)
    on_time = [each for each in found if each.closed_at_ms % WINDOW_MS == 0]
    known = [(each.closed_at_ms - WINDOW_MS, each.open_interest) for each in on_time if each.open_interest is not None]
    values = tuple(value for _, value in known)
    return DerivativeBars(tuple(time_ms for time_ms, _ in known), dict.fromkeys(names, values), None)
