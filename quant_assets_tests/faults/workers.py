"""The work of worker processes that tests kill: a refresh, writes to a store, feeds and tables."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from ctypes import Array, c_double, c_int
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path

import orjson
import pandas as pd
from pydantic import SecretStr

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import RefreshReport
from quant_assets.derivatives.store import DerivativesStore, Fetched
from quant_assets.emulator import DEFAULT_KEY, Universe
from quant_assets.feed import StoredFeed, publish
from quant_assets.markets import market_list_table, resolve_markets
from quant_assets.providers.coinalyze import CallBudget, CoinalyzeClient
from quant_assets.storage.lake import Lake, compress_document

BARS = 96
#: More symbols than any test stores.
SYMBOLS = [f"S{number}" for number in range(4000)]


@dataclass
class SharedClock:
    """A clock in memory shared by processes; only `sleep` and the test move it."""

    shared: c_double

    def seconds(self) -> float:
        return self.shared.value

    def sleep(self, seconds: float) -> None:
        self.shared.value += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds(), UTC)


@dataclass(frozen=True)
class Task:
    """A refresh of plain markets: the API, the data folder, the markets, the limit and the window."""

    url: str
    folder: Path
    symbol_map: pd.DataFrame
    calls_per_minute: int
    window: str

    @property
    def store(self) -> Path:
        return self.folder / "derivatives.sqlite"

    @property
    def budget(self) -> Path:
        return self.folder / "budget.sqlite"


def symbol_map_of(universe: Universe, now: datetime) -> pd.DataFrame:
    """Return the symbol map of every market of a plain universe."""
    listed = market_list_table([("A", "Binance")], [row.body() for row in universe.rows], now)
    wanted = pd.DataFrame({"exchange": "BINANCE", "symbol": [row.symbol_on_exchange for row in universe.rows]})
    return resolve_markets(wanted, listed, datasets=ENTRIES, now=now)


def run_refresh(task: Task, clock: SharedClock) -> RefreshReport:
    """Refresh until everything is known, and return the report."""
    budget = CallBudget(task.budget, task.calls_per_minute, clock=clock.seconds, sleep=clock.sleep)
    client = CoinalyzeClient(SecretStr(DEFAULT_KEY), task.url, budget, clock=clock.seconds, sleep=clock.sleep)
    with closing(budget), closing(client), closing(DerivativesStore(task.store)) as store:
        options = RefreshOptions(Window.of_key(task.window), since_ms=0.0)
        return Refresh(store, client, lambda _: task.symbol_map, options, clock=clock.seconds).run()[1]


def count_descriptors(tasks: Sequence[Task], clock: SharedClock, counted: Array[c_int]) -> None:
    """Refresh one window after the other, and count the open file descriptors before and after."""
    counted[0] = _descriptors()
    for task in tasks:
        clock.shared.value = max(clock.seconds(), Window.of_key(task.window).end_seconds + 6.0)
        assert run_refresh(task, clock).calls > 0
    counted[1] = _descriptors()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def store_answers(path: Path, times: int | None = None, now_ms: int = 0) -> None:
    """Claim, store, report, release and prune for 20 symbols at a time, endlessly or this many times."""
    with closing(DerivativesStore(path)) as store:
        known = store.known_through("open_interest", SYMBOLS, 0)
        for first in islice(count(len(known), 20), times):
            symbols = tuple(SYMBOLS[first : first + 20])
            claimed = tuple(store.claim("open_interest", symbols, now_ms))
            bars = {symbol: [(900 * bar, 1.0, 2.0, 0.5, float(bar)) for bar in range(BARS)] for symbol in claimed}
            for dataset in DATASETS:
                width = 5 if dataset in {"open_interest", "funding_rate"} else 4 if dataset == "long_short_ratio" else 3
                cut = {symbol: [bar[:width] for bar in of_symbol] for symbol, of_symbol in bars.items()}
                store.add(Fetched(dataset, claimed, cut, 0, 900 * BARS, 900 * BARS * 1000, simulated=False))
            store.save_report("2026-01-19-16:45", orjson.dumps({"first": first}).decode())
            store.release("open_interest", symbols)
            store.prune(0)


def publish_windows(feed: bytes, window: Window, lake: Path, path: Path, times: int | None = None) -> None:
    """Write tables, a document and the feed of one window after the other, endlessly or this many times."""
    document = orjson.loads(feed)
    table = pd.DataFrame(document["signals"])[["exchange", "symbol", "strategy_name", "score", "price"]]
    tables = Lake(lake)
    for number in islice(count(), times):
        window = Window(window.end + WINDOW_LENGTH)
        content = orjson.dumps({**document, "window": window.key, "as_of": f"{window.end:%Y-%m-%dT%H:%M:00Z}"})
        tables.write(["features"], window.key, table.assign(score=float(number)))
        tables.write(["symbol_map"], None, table.assign(score=float(number)))
        tables.write_document(["master_feed"], window.key, compress_document(content))
        publish(StoredFeed(content, window, None, None), path, window.end)
