"""Stored bars of open interest and liquidations, and where each dataset of a market comes from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import BAR_SECONDS, DATASETS, SPECS, Dataset
from quant_assets.derivatives.store import DerivativesStore, StoreError
from quant_assets.storage.lake import DAMAGE_ERRORS, Lake

STORE_NAME: Final = "derivatives.sqlite"
#: A writer holds the store for milliseconds; a chart that would wait longer is drawn without.
BUSY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Source:
    """Where one dataset of a market comes from in a window; `closed_at_ms` is None where nothing is known."""

    dataset: Dataset
    status: str
    symbol: str
    exchange: str
    unit: str
    closed_at_ms: float | None


@dataclass(frozen=True, slots=True)
class DerivativeBars:
    """Closed bars `(time, *values)` of one symbol, oldest first; `through` is up to when everything is known."""

    times_ms: tuple[int, ...]
    columns: Mapping[str, tuple[float, ...]]
    through_ms: int | None


def sources(lake: Lake, window: Window, exchange: str, symbol: str) -> dict[Dataset, Source]:
    """Return where a market's datasets came from, as the window's tables say; without a table, none."""
    found: dict[Dataset, Source] = {}
    for dataset in DATASETS:
        rows = market_rows(lake.path([dataset], window.key), exchange, symbol)
        if rows:
            row = rows[0]
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


def market_rows(path: Path, exchange: str, symbol: str) -> list[dict[str, Any]]:
    """Return a market's rows of a table of the lake; none where there is no table, or it is damaged."""
    table = market_table(path, exchange, symbol)
    return [] if table is None else table.to_pylist()


def market_table(path: Path, exchange: str, symbol: str) -> pa.Table | None:
    """Return a market's part of a table of the lake; None where there is no table, or it is damaged."""
    try:
        of_market = [("exchange", "=", exchange), ("symbol", "=", symbol)]
        return pq.read_table(path, filters=of_market, memory_map=True, page_checksum_verification=True)
    except DAMAGE_ERRORS:
        return None


def store_path(settings: Settings) -> Path | None:
    """Return the derivatives store: the provider's that the environment names, or else the only one there is."""
    own = settings.store_dir / STORE_NAME
    if own.exists():
        return own
    there = sorted(settings.store_dir.parent.glob(f"*/{STORE_NAME}"))
    return there[0] if len(there) == 1 else None


def derivative_bars(path: Path | None, dataset: Dataset, symbol: str, window: Window, hours: int) -> DerivativeBars:
    """Return the bars of the last `hours` that had closed by the window's end; empty where nothing is stored."""
    names = SPECS[dataset].columns
    nothing = DerivativeBars((), dict.fromkeys(names, ()), None)
    if path is None or not symbol:
        return nothing
    start, end = window.end_seconds - hours * 3600, window.end_seconds - BAR_SECONDS
    try:
        with closing(DerivativesStore(path, read_only=True, lock_timeout_seconds=BUSY_SECONDS)) as store:
            rows = store.bars(dataset, [symbol], start, end + 1)
            through = store.known_through(dataset, [symbol], window.end_seconds).get(symbol)
    except StoreError:
        return nothing
    return DerivativeBars(
        tuple(int(row[1]) * 1000 for row in rows),
        {name: tuple(row[position] for row in rows) for position, name in enumerate(names, start=2)},
        None if through is None else min(through, window.end_seconds) * 1000,
    )
