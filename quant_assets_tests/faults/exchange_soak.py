"""A day of all markets of eight local exchanges on virtual clocks, with Coinalyze at 40 calls a minute.

    python -m quant_assets_tests.faults.exchange_soak --markets 1100 --windows 96 --seed 1

In each window the bars and the snapshots of all exchanges are fetched at their documented limits, each exchange on a
clock of its own that skips waiting. The sensor then scans the window, the schedule refreshes it three times, and the
automation conditions update the feed. One exchange fails at random. Beside them, a second store is refreshed by the
same schedule from a Coinalyze of its own, without any snapshot, to compare the ages. At the end it prints what
`plan --simulate 24h` says of the last window.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

import dagster as dg
import orjson
import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import TIMEFRAMES
from quant_assets.candles.exchanges.selected_markets import SelectedMarkets
from quant_assets.cli.plan_chart import ages_figure, write_figure
from quant_assets.cli.refresh_plan import plan_refresh, simulate_refresh
from quant_assets.cli.rendering import plan_lines
from quant_assets.common.clock import Clock
from quant_assets.common.progress import silent
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.defs.derivatives.refreshes import REFRESH_MINUTES, refresh_until_the_next_scan
from quant_assets.defs.exchanges.scans import fetched_bars
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.market_sources import MarketSources
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.take_snapshots import Snapshots
from quant_assets.derivatives.window_refresh import WindowRefresh, time_limit
from quant_assets.emulator import DEFAULT_KEY, Emulator, simulated_universe
from quant_assets.emulator.exchanges import APIS, ExchangeFaults, exchanges_of_universe
from quant_assets.emulator.exchanges.emulator import ExchangeEmulator
from quant_assets.emulator.faults import KINDS
from quant_assets.markets import ResolutionRules
from quant_assets.orchestration.exchange_fetches import FetchLimits, fetch_candles
from quant_assets.orchestration.exchange_source import bar_store
from quant_assets.orchestration.job_names import FETCH, MARKET_LIST
from quant_assets.orchestration.market_lists import LIST_ASSETS
from quant_assets.orchestration.resources import Providers
from quant_assets.orchestration.run_requests import SCAN_SECONDS
from quant_assets.storage.lake import Lake
from quant_assets_tests.memory import MAX_GROWTH, resident_mib
from quant_assets_tests.time_lapse import TimeLapse
from quant_assets_tests.world import environment

BEGIN: Final = datetime(2026, 2, 3, 0, 0, tzinfo=UTC)
CALLS_PER_MINUTE: Final = 40
HISTORY_DAYS: Final = 10
#: The sensor scans by then, whatever has come.
SCAN_AFTER_SECONDS: Final = 20.0
FAILING: Final = "BYBIT"
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {},
    {},
    {"down": True},
    {"html": 1.0},
    {"late": 0.3, "late_seconds": 200.0},
)
MIN_OF_WINDOW, MIN_BUDGET_USED = 0.97, 0.99
#: Growth is judged from so many windows on.
MIN_WINDOWS: Final = 32


def serve(ahead: Mapping[str, Synchronized[float]], pipe: Connection, markets: int) -> None:
    """Serve the exchanges until told to stop: set the faults of one, and answer with what it counted."""
    universe = exchanges_of_universe(simulated_universe(markets=markets))
    with ExitStack() as stack:
        exchanges = {
            name: stack.enter_context(
                ExchangeEmulator(APIS[name], universe.contracts(name), clock=partial(_moment, ahead[name]))
            )
            for name in APIS
        }
        pipe.send({name: exchange.url for name, exchange in exchanges.items()})
        while (asked := pipe.recv()) != "stop":
            name, faults = asked
            if faults is not None:
                exchanges[name].faults = ExchangeFaults(**faults)
            pipe.send(exchanges[name].accounting.rate_limited)


def _moment(ahead: Synchronized[float]) -> datetime:
    return datetime.fromtimestamp(time.time() + ahead.value, UTC)


class SkippingClock:
    """A clock that runs as fast as the real one, but skips what is slept; an exchange in another process shares it."""

    def __init__(self, ahead: Synchronized[float]) -> None:
        self._ahead, self._stopped = ahead, 0.0
        self.clock = Clock(seconds=self.seconds, sleep=self.skip, monotonic=self._monotonic)

    def seconds(self) -> float:
        return time.time() + self._ahead.value

    def skip(self, seconds: float) -> None:
        with self._ahead.get_lock():
            self._ahead.value += seconds

    def go_to(self, moment: float) -> None:
        """Let the clock run again, from a moment that is not before that at which it stopped."""
        self.skip(max(moment, self._stopped) - self.seconds())

    def stop(self) -> None:
        """Stop the clock, until `go_to`. Nobody reads it meanwhile."""
        self._stopped = self.seconds()

    def _monotonic(self) -> float:
        return time.monotonic() + self._ahead.value


@dataclass
class LocalExchanges:
    """Eight exchanges in a process of their own, each with its clock."""

    urls: dict[str, str]
    clocks: dict[str, SkippingClock]
    pipe: Connection

    @classmethod
    @contextmanager
    def running(cls, markets: int) -> Iterator[LocalExchanges]:
        context = multiprocessing.get_context("spawn")
        ahead = {name: context.Value("d", BEGIN.timestamp() - time.time()) for name in APIS}
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(ahead, there, markets), daemon=True)
        process.start()
        try:
            yield cls(here.recv(), {name: SkippingClock(value) for name, value in ahead.items()}, here)
        finally:
            here.send("stop")
            process.join(10)

    def set_faults(self, name: str, faults: Mapping[str, Any] | None) -> int:
        """Set the faults of an exchange unless they are None, and return how many requests it refused by its limit."""
        self.pipe.send((name, faults))
        refused: int = self.pipe.recv()
        return refused


@dataclass
class Unaided:
    """A store that is refreshed from a Coinalyze of its own by the same schedule, without snapshots."""

    settings: Settings
    emulator: Emulator
    seconds: float = 0.0
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = Clock(seconds=lambda: self.seconds, sleep=self.sleep, monotonic=lambda: self.seconds)
        self.emulator.clock = self.clock.now
        self.providers = Providers(
            base_url=self.settings.base_url,
            calls_per_minute=CALLS_PER_MINUTE,
            key_variable=self.settings.key_variable,
            data_dir=str(self.settings.data_dir),
        )

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def refresh(self, lake: Lake, window: Window, allowed: Mapping[float, float]) -> bool:
        """Refresh a window with another folder's symbol map and watchlist; return whether anything was left due.

        `allowed` are the seconds allowed by the time at which each refresh begins.
        """
        symbol_map, markets = lake.read(["symbol_map"]), lake.read([LIST_ASSETS["coinalyze"]])
        assert symbol_map is not None
        assert markets is not None
        lists = self.providers.lists({LIST_ASSETS["coinalyze"]: markets}, ResolutionRules(), self.clock.now())
        refresh = WindowRefresh(
            windows=[window],
            datasets=list(DATASETS),
            returned=list(DATASETS),
            sources=MarketSources(symbol_map, lists),
            watchlist=lake.newest_undamaged(["watchlist"], window.key),
            policy=RefreshPolicy(),
        )
        waiting = False
        for moment, seconds in allowed.items():
            self.seconds = max(self.seconds, moment)
            with self.providers.store() as store:
                found = refresh.run(
                    store,
                    lambda provider: self.providers.client(provider, clock=self.clock),
                    time_limit(window, self.seconds, seconds, is_backfill=False),
                    self.clock,
                )
            waiting = any(counts.pending for counts in found.report.datasets.values())
        self.tables = {dataset: by_window[window.key] for dataset, by_window in found.tables.items()}
        return waiting


@dataclass(frozen=True)
class Row:
    """The measurements of one window."""

    number: int
    fault: str
    seconds: float
    cpu_seconds: float
    memory: float
    requests: int
    new_bars: int
    snapshots: int
    of_window: float
    of_window_elsewhere: float
    of_window_unaided: float
    calls: int
    waiting: bool
    calls_unaided: int
    #: By dataset: share of markets with a value, median, 95th percentile and maximum age in minutes; then unaided.
    ages: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]

    def line(self) -> str:
        ages = "  ".join(
            f"{known:4.0%} {middle:5.0f} {oldest:5.0f}"
            for both in self.ages.values()
            for known, middle, _, oldest in both
        )
        return (
            f"{self.number:4} {self.fault or '-':7} {self.seconds:6.1f} {self.cpu_seconds:6.1f} {self.memory:7.0f} "
            f"{self.requests:5} {self.new_bars:7} {self.snapshots:5} {self.of_window:6.1%} "
            f"{self.of_window_elsewhere:6.1%} {self.of_window_unaided:6.1%} {self.calls:4}"
            f"{'+' if self.waiting else ' '}{self.calls_unaided:4}  {ages}"
        )


HEAD: Final = (
    "   # fault      wall    cpu  memory  reqs    bars snaps window others without calls w/o   "
    "known, median and maximum age (min) of each dataset, then without snapshots"
)


class ExchangeSoak:
    """The day: its windows, what was measured, and the promises that broke."""

    def __init__(
        self, settings: Settings, exchanges: LocalExchanges, emulator: Emulator, unaided: Unaided, seed: int
    ) -> None:
        self.settings, self.exchanges, self.unaided = settings, exchanges, unaided
        self.random = Random(f"{seed}:exchange soak")
        self.lapse = TimeLapse(settings, emulator, BEGIN)
        self.lake = Lake(settings.lake_dir)
        self.rows: list[Row] = []
        self.broken: list[str] = []
        self.cursor: str | None = None

    def run(self, windows: int, tell: Callable[[str], None]) -> None:
        """Run all windows, and report each. Nothing fails in the first and the last two."""
        with self.lapse.opened() as instance:
            self._list_markets(instance)
            tell(HEAD)
            for number in range(windows):
                faults = self.random.choice((*FAULTS, self._script())) if 0 < number < windows - 2 else {}
                self.rows.append(self._run_window(instance, number, faults))
                tell(self.rows[-1].line())
        self.broken += self.lapse.failed
        self._check_bars()

    def _script(self) -> dict[str, Any]:
        return {"script": tuple(self.random.choice(("", *KINDS)) for _ in range(20))}

    def _resources(self, names: Any) -> dict[str, Any]:
        return {name: (self.lapse.definitions.resources or {})[name] for name in names}

    def _list_markets(self, instance: dg.DagsterInstance) -> None:
        for clock in self.exchanges.clocks.values():
            clock.go_to(self.lapse.seconds)
        request = dg.RunRequest(asset_selection=[dg.AssetKey("exchange_markets")])
        self.lapse.execute(instance, FETCH, request)
        for clock in self.exchanges.clocks.values():
            clock.stop()
        request = dg.RunRequest(asset_selection=[dg.AssetKey(LIST_ASSETS["coinalyze"])])
        self.lapse.execute(instance, MARKET_LIST, request)

    def _run_window(self, instance: dg.DagsterInstance, number: int, faults: Mapping[str, Any]) -> Row:
        began, cpu = time.perf_counter(), time.process_time()
        window, calls, unaided = self.lapse.window(number), self._calls(), self.unaided.emulator.accounting.calls
        self.exchanges.set_faults(FAILING, faults)
        reports, snapshots = self._fetch(window)
        self.lapse.seconds = max(self.lapse.seconds, window.end_seconds + SCAN_AFTER_SECONDS)
        self._scan(instance)
        allowed = {window.end_seconds + SCAN_AFTER_SECONDS: SCAN_SECONDS}
        for minute in REFRESH_MINUTES:
            moment = window.end_seconds + 60.0 * minute
            self.lapse.seconds = max(self.lapse.seconds, moment)
            tick = datetime.fromtimestamp(moment, UTC)
            allowed[self.lapse.seconds] = self._seconds_allowed(tick)
            self.lapse.run(instance, refresh_until_the_next_scan, tick)
        self.lapse.evaluate(instance)
        self.unaided.refresh(self.lake, window, allowed)
        return self._measure(number, window, faults, reports, snapshots, calls, unaided, began, cpu, instance)

    def _seconds_allowed(self, tick: datetime) -> float:
        resources = self._resources(refresh_until_the_next_scan.required_resource_keys)
        with dg.build_schedule_context(scheduled_execution_time=tick, resources=resources) as context:
            request: Any = refresh_until_the_next_scan(context)
        seconds: float = request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"]
        return seconds

    def _fetch(self, window: Window) -> tuple[list[FetchReport], int]:
        """Fetch from one exchange after another, each on its own clock, as if all were asked at the window's end."""
        source, providers = (
            self._resources(["exchange_source", "providers"])[n] for n in ("exchange_source", "providers")
        )
        config, table = source.config(), self.lake.read(["exchange_markets"])
        assert table is not None
        watchlist = self.lake.newest_undamaged(["watchlist"], window.key)
        reports, taken = [], 0
        for name, clock in self.exchanges.clocks.items():
            clock.go_to(window.end_seconds + 1)
            order = SelectedMarkets.of_tables(table, [name], watchlist, ResolutionRules()).in_order
            snapshots = Snapshots(providers.store, source.is_simulated, clock.clock)
            limits = FetchLimits(0.0, TIMEFRAMES, clock.clock.monotonic() + 870)
            chosen = config.model_copy(update={"exchanges": (name,)})
            reports += fetch_candles(source, chosen, table, order, limits, clock.clock, silent, snapshots)
            clock.stop()
            taken += snapshots.report_of(name).open_interest
            # At Hyperliquid's limit the history of the first window takes longer than a window.
            if self.rows and name != FAILING and (problem := reports[-1].problem or snapshots.report_of(name).problem):
                self.broken.append(f"{window.key} {name}: {problem}")
        return reports, taken

    def _scan(self, instance: dg.DagsterInstance) -> None:
        resources = self._resources(fetched_bars.required_resource_keys)
        with dg.build_sensor_context(cursor=self.cursor, resources=resources) as context:
            request: Any = fetched_bars(context)
            self.cursor = context.cursor
        if isinstance(request, dg.RunRequest):
            self.lapse.execute(instance, str(request.job_name), request)
        else:
            self.broken.append(f"no scan was requested: {request}")

    def _calls(self) -> int:
        return self.lapse.emulator.accounting.calls

    def _measure(
        self,
        number: int,
        window: Window,
        faults: Mapping[str, Any],
        reports: Sequence[FetchReport],
        snapshots: int,
        calls: int,
        calls_unaided: int,
        began: float,
        cpu: float,
        instance: dg.DagsterInstance,
    ) -> Row:
        content = self.lake.read_document(["master_feed"], window.key)
        feed = orjson.loads(content or b"{}")
        tables = {dataset: self.lake.read([dataset], window.key) for dataset in DATASETS}
        markets = len(tables["open_interest"]) if tables["open_interest"] is not None else 0
        if feed.get("window") != window.key or feed["stats"]["markets"] != markets:
            self.broken.append(f"{window.key} has no feed of {markets} markets")
        elif orjson.loads(self.settings.feed_path.read_bytes())["window"] != window.key:
            self.broken.append(f"{window.key} was not published")
        interest = tables["open_interest"]
        assert interest is not None
        is_elsewhere = interest["exchange"] != FAILING
        event: Any = instance.get_latest_materialization_event(dg.AssetKey("long_short_ratio"))
        waiting = event.asset_materialization.metadata["stopped"].value == "out_of_time"
        return Row(
            number,
            next(iter(faults), ""),
            time.perf_counter() - began,
            time.process_time() - cpu,
            resident_mib(),
            sum(report.usage.requests for report in reports),
            sum(report.stored.new for report in reports),
            snapshots,
            _of_window(interest, window),
            _of_window(interest[is_elsewhere], window),
            _of_window(self.unaided.tables["open_interest"], window),
            self._calls() - calls,
            waiting,
            self.unaided.emulator.accounting.calls - calls_unaided,
            {d: (_ages(tables[d], window), _ages(self.unaided.tables[d], window)) for d in DATASETS},
        )

    def _check_bars(self) -> None:
        """Check that no bar is stored twice or open, and that nothing asked for too much."""
        store: BarStore = bar_store(self.settings)
        for name, clock in self.exchanges.clocks.items():
            for timeframe, step in STEP_MS.items():
                found = store.read(name, timeframe, 0, 2**62)
                repeated = int(found.bars.duplicated(["symbol", "time_ms"]).sum())
                if found.damaged or repeated:
                    self.broken.append(f"{name} {timeframe}: {repeated} bars are stored twice, {found.damaged}")
                if len(found.bars) and int(found.bars["time_ms"].max()) + step > clock.seconds() * 1000:
                    self.broken.append(f"{name} {timeframe}: an open bar is stored")
            if refused := self.exchanges.set_faults(name, None):
                self.broken.append(f"{name} refused {refused} requests by its limit")
        if limited := self.lapse.emulator.accounting.rate_limited:
            self.broken.append(f"Coinalyze refused {limited} requests by its limit")


def _of_window(table: pd.DataFrame, window: Window) -> float:
    """Return the share of markets whose value is that of the window."""
    return float((table["closed_at_ms"] == window.end_ms).mean())


def _ages(table: pd.DataFrame | None, window: Window) -> tuple[float, ...]:
    """Return the share of markets with a value, and the median, 95th percentile and maximum of its age in minutes."""
    assert table is not None
    ages = (window.end_ms - table["closed_at_ms"]).dropna() / 60_000
    return len(ages) / len(table), float(ages.median()), float(ages.quantile(0.95)), float(ages.max())


def verdicts(rows: Sequence[Row]) -> Iterator[tuple[bool, str]]:
    """Yield for each measure whether it held, and a line."""
    share = median(row.of_window for row in rows)
    least = min(row.of_window_elsewhere for row in rows)
    yield (
        least >= MIN_OF_WINDOW,
        f"open interest of the window: {least:.1%} of the markets of other exchanges at least; all: median "
        f"{share:.1%}, mean {sum(row.of_window for row in rows) / len(rows):.1%}; "
        f"without snapshots: median {median(row.of_window_unaided for row in rows):.1%}",
    )
    # The first window begins with a minute of calls that none spent before.
    busy = [after for before, after in pairwise(rows) if after.waiting and before.waiting]
    if busy:
        window_calls = CALLS_PER_MINUTE * WINDOW_LENGTH.total_seconds() / 60
        used = sum(row.calls for row in busy) / (window_calls * len(busy))
        yield (
            used >= MIN_BUDGET_USED,
            f"budget used in the {len(busy)} windows in which something stayed due: {used:.1%}",
        )
    if len(rows) >= MIN_WINDOWS:
        quarter = len(rows) // 4
        before = median(row.memory for row in rows[quarter : 2 * quarter])
        after = median(row.memory for row in rows[-quarter:])
        line = f"memory: {before:.0f} MiB in the second quarter, {after:.0f} MiB in the last"
        yield after <= before * MAX_GROWTH, line


def age_table(rows: Sequence[Row]) -> str:
    """Return the medians over the windows of each dataset's ages, with snapshots and without."""
    lines = ["medians over windows: known, median, p95 and maximum age in minutes; then without snapshots"]
    for dataset in DATASETS:
        both = [
            "  ".join(f"{median(row.ages[dataset][side][n] for row in rows):7.3f}" for n in range(4)) for side in (0, 1)
        ]
        lines.append(f"  {dataset:17} {both[0]}   |  {both[1]}")
    return "\n".join(lines)


def plan_of(settings: Settings, window: Window, plot: Path | None) -> Iterator[str]:
    """Yield what `plan --simulate 24h` prints for a window of the day, and plot its ages."""
    now = datetime.fromtimestamp(window.end_seconds + 60, UTC)
    plan = plan_refresh(settings, None, window, silent, now=now)
    days = simulate_refresh(plan, settings, 24.0, silent)
    yield from plan_lines({**plan.summary, "simulation": days.summary()})
    if plot is not None:
        write_figure(ages_figure(days.planned, days.without_exchanges, days.in_turn), plot)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the day, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--markets", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="plot the simulated ages of the last window to this HTML file")
    options = parser.parse_args(arguments)
    universe = simulated_universe(markets=options.markets)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalExchanges.running(options.markets) as exchanges,
        Emulator(universe, calls_per_minute=CALLS_PER_MINUTE) as emulator,
        Emulator(universe, calls_per_minute=CALLS_PER_MINUTE) as other,
        environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(Path(folder, "data", "dagster"))),
    ):
        data_dir = Path(folder, "data")
        data_dir.mkdir()
        (data_dir / "exchanges.toml").write_text(
            f"exchanges = {orjson.dumps(list(APIS)).decode()}\nmin_quote_volume_24h = 0\ntop = 1000\n"
            f"history_days = {HISTORY_DAYS}\n"
        )
        settings = Settings(
            base_url=emulator.url,
            calls_per_minute=CALLS_PER_MINUTE,
            data_dir=data_dir,
            exchange_urls=exchanges.urls,
        )
        unaided = Unaided(Settings(base_url=other.url, data_dir=Path(folder, "unaided")), other)
        soak = ExchangeSoak(settings, exchanges, emulator, unaided, options.seed)
        soak.run(options.windows, lambda line: print(line, flush=True))
        for line in plan_of(settings, soak.lapse.window(options.windows - 1), options.plot):
            print(line)
    print(age_table(soak.rows))
    broken = list(soak.broken)
    for held, line in verdicts(soak.rows):
        print(f"{'held ' if held else 'BROKE'} {line}")
        broken += [] if held else [line]
    for line in soak.broken:
        print(f"BROKE {line}")
    print("a promise broke" if broken else "every promise held")
    return 1 if broken else 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module=r"dagster(\..*)?")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    sys.exit(main())
