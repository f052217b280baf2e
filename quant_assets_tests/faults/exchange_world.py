"""A few markets of local exchanges, commands that fetch and scan them, and a comparison of what they stored."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import Window
from quant_assets.emulator import SimulatedUniverse, simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import slice_to_life
from quant_assets.feed import feed_problems
from quant_assets.orchestration.exchange_source import bar_store
from quant_assets.storage.lake import Lake
from quant_assets_tests.forking import CONTEXT, become_command, run
from quant_assets_tests.window_ends import wait_if_window_ends_soon

VALUES = ("open", "high", "low", "close", "volume")
DAY_MS = 86_400_000
#: The exchanges of most tests: volumes in the base asset, in contracts, and addresses that have the symbol.
NAMES = ("BYBIT", "KUCOIN", "MEXC")


@dataclass
class ExchangeWorld:
    """Local exchanges, and data folders into which commands fetch from them.

    `offset_seconds` is how far the exchanges' clock is ahead of this machine's.
    """

    folder: Path
    exchanges: ExchangeEmulators
    offset_seconds: list[float] = field(default_factory=lambda: [0.0])

    def seconds(self) -> float:
        """Return the exchanges' time in UNIX seconds."""
        return time.time() + self.offset_seconds[0]

    def reset(self) -> None:
        """Take all faults away."""
        self.set_clock(0.0)
        for name in self.exchanges.names:
            self.exchanges[name].faults = ExchangeFaults()

    def set_clock(self, offset_seconds: float) -> None:
        """Set the exchanges' clock; what was spent of their limits is forgotten."""
        self.offset_seconds[0] = offset_seconds
        for name in self.exchanges.names:
            self.exchanges[name].limits_factor = 1.0

    def fault(self, names: str | Sequence[str], **faults: Any) -> None:
        """Give exchanges faults."""
        for name in [names] if isinstance(names, str) else names:
            self.exchanges[name].faults = ExchangeFaults(**faults)

    def choose(self, name: str, exchanges: Sequence[str] = NAMES, top: int = 2, days: int = 2, more: str = "") -> Path:
        """Create a data folder of this name, with the markets to fetch."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = f"exchanges = {orjson.dumps(list(exchanges)).decode()}\ntop = {top}\nhistory_days = {days}\n"
        (folder / "exchanges.toml").write_text(f"{lines}min_quote_volume_24h = 0\n{more}")
        return folder

    def settings(self, name: str) -> Settings:
        return Settings(data_dir=self.folder / name, exchange_urls=self.exchanges.urls)

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a user without a key and without candle files."""
        hidden = ("COINALYZE", "QUANT", "DAGSTER")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        urls = orjson.dumps(self.exchanges.urls).decode()
        return {**kept, "QUANT_DATA_DIR": str(self.folder / name), "QUANT_EXCHANGE_URLS": urls}

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the data folder of this name; it must leave no traceback."""
        done = run(*arguments, env=self.environment(name), cwd=self.folder)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def fetch(self, name: str, *options: str) -> Fetched:
        """Run `fetch`, which must succeed, and return its summary."""
        done = self.command(name, "fetch", "--json", *options)
        assert done.returncode == 0, done.stderr
        return Fetched(orjson.loads(done.stdout), done.stderr)

    def forked_fetch(self, name: str, *options: str, said: str = "fetch") -> BaseProcess:
        """Return a process that fetches; it prints to files beside the data folder whose names begin with `said`."""
        wait_if_window_ends_soon()
        files = [self.folder / f"{said}.{stream}" for stream in ("stdout", "stderr")]
        given = (["fetch", "--json", *options], self.environment(name), self.folder, *files)
        return CONTEXT.Process(target=become_command, args=given)

    def scan(self, name: str, *options: str) -> dict[str, Any]:
        """Run `scan` without a folder, which must succeed and write a valid feed, and return the feed."""
        done = self.command(name, "scan", "--max-wait", "0", *options)
        assert done.returncode == 0, done.stderr
        content = (self.folder / name / "master_feed.json").read_bytes()
        assert feed_problems(content) == []
        feed: dict[str, Any] = orjson.loads(content)
        return feed

    def store(self, name: str) -> BarStore:
        return bar_store(self.settings(name))

    def markets(self, name: str) -> pd.DataFrame:
        """Return the markets that are fetched."""
        table = Lake(self.settings(name).lake_dir).read(["exchange_markets"])
        assert table is not None
        found: pd.DataFrame = table[table["selected"].astype(bool)]
        return found

    def contract(self, exchange: str, symbol: str) -> Contract:
        return next(each for each in self.exchanges.universe.contracts(exchange) if each.id == symbol)

    def stored(self, name: str, exchange: str, timeframe: str, symbol: str | None = None) -> pd.DataFrame:
        """Return the stored bars, none of which may be damaged."""
        found = self.store(name).read(exchange, timeframe, 0, 2**62, None if symbol is None else [symbol])
        assert found.damaged == ()
        return found.bars

    def check_stored(self, name: str, *, unlike: int = 0) -> int:
        """Check that every stored bar is one that the exchange sent: closed, once, and with its values.

        `unlike` is how many bars may have other values than the final ones. Return the number of bars.
        """
        count, different = 0, 0
        for exchange in self.store(name).exchanges():
            for timeframe, step in STEP_MS.items():
                bars = self.stored(name, exchange, timeframe)
                if not len(bars):
                    continue
                assert not bars.duplicated(["symbol", "time_ms"]).any()
                assert int(bars["time_ms"].max()) + step <= self.seconds() * 1000, "an open bar is stored"
                count += len(bars)
                for symbol, series in bars.groupby("symbol", observed=True):
                    true = self.true_bars(exchange, str(symbol), timeframe, series["time_ms"])
                    assert true["time_ms"].isin(series["time_ms"]).sum() == len(series), "a bar that nobody sent"
                    sent = true[true["time_ms"].isin(series["time_ms"])]
                    same = np.isclose(series[list(VALUES)].to_numpy(), sent[list(VALUES)].to_numpy(), rtol=1e-9, atol=0)
                    different += int((~same.all(axis=1)).sum())
        assert different <= unlike, f"{different} bars have other values than those of the exchange"
        return count

    def true_bars(self, exchange: str, symbol: str, timeframe: str, times_ms: pd.Series[int]) -> pd.DataFrame:
        """Return the bars of the simulated market from the first to the last of some times."""
        first, last = int(times_ms.min()) // 1000, int(times_ms.max()) // 1000
        bars = slice_to_life(self.contract(exchange, symbol), STEP_MS[timeframe] // 1000, first, last + 1)
        return pd.DataFrame({"time_ms": bars.t * 1000, **dict(zip(VALUES, bars[1:], strict=False))})

    def missing(self, name: str, end_ms: int, days: float = 2) -> dict[tuple[str, str, str], int]:
        """Return how many bars of `days` before a window's end each series lacks; without those that lack none."""
        found = {}
        for exchange, symbol in self.markets(name)[["exchange", "symbol"]].itertuples(index=False):
            listed_ms = self.contract(exchange, symbol).listed * 1000
            for timeframe, step in STEP_MS.items():
                first = max(-(-(end_ms + STEP_MS["15m"] - int(days * DAY_MS)) // step), -(-listed_ms // step)) * step
                expected = np.arange(first, end_ms // step * step, step)
                stored = self.stored(name, exchange, timeframe, symbol)["time_ms"]
                if lacking := int((~np.isin(expected, stored)).sum()):
                    found[exchange, symbol, timeframe] = lacking
        return found

    def check_complete(self, name: str, days: float = 2, markets: int | None = None) -> None:
        """Fetch without faults, again if a bar closes meanwhile; all bars of the exchanges must be stored then."""
        self.reset()
        for _ in range(3):
            window = Window.last_complete(datetime.now(UTC))
            done = self.fetch(name)
            assert done.problems == [], done.stderr
            if window == Window.last_complete(datetime.now(UTC)):
                break
        assert self.missing(name, window.end_ms, days) == {}
        self.check_stored(name)
        if markets is not None:
            assert len(self.markets(name)) == markets


@dataclass(frozen=True)
class Fetched:
    """What `fetch --json` printed."""

    summary: Mapping[str, Any]
    stderr: str

    @property
    def problems(self) -> list[str]:
        """Return what the fetch says went wrong."""
        of_rows = [row["problem"] for row in self.summary["exchanges"] if row["problem"]]
        failed = [f"{row['exchange']}: {row['failed']} failed" for row in self.summary["exchanges"] if row["failed"]]
        return [*self.summary["list_problems"].values(), *of_rows, *failed]

    def of(self, exchange: str) -> Mapping[str, Any]:
        """Return the row of an exchange."""
        rows: list[Mapping[str, Any]] = self.summary["exchanges"]
        return next(row for row in rows if row["exchange"] == exchange)


@contextmanager
def exchange_world(folder: Path, names: Sequence[str] = NAMES, markets: int = 60) -> Iterator[ExchangeWorld]:
    """Serve some exchanges of a universe of about `markets` markets."""
    universe = simulated_universe()
    step = max(len(universe.scanned) // markets, 1)
    chosen = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::step])
    offset = [0.0]

    def clock() -> datetime:
        return datetime.fromtimestamp(time.time() + offset[0], UTC)

    with ExchangeEmulators(exchanges_of_universe(chosen), clock=clock, names=names) as exchanges:
        yield ExchangeWorld(folder, exchanges, offset)
