"""Days of scans through Dagster on a virtual clock: the trades of the published signals, against those of a replay.

    python -m quant_assets_tests.evaluation.record_days --windows 480 --markets 24 --missed 0.03 --refreshed 0.1

Each window is scanned 20 seconds after its end. A share of them is missed, and a share refreshed again a minute later,
so that its derivatives are newer than its first feed. Without both, all trades must be those of a replay; with them,
each difference must be named with a cause that happened. Markets with spoiled files are left out. The exit code is 1 if
a promise broke.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import pandas as pd

from quant_assets.candles import read_scannable_candles
from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH
from quant_assets.defs.derivatives.refreshes import refresh_until_the_next_scan
from quant_assets.emulator import DEFAULT_KEY, Emulator, SimulatedUniverse, simulated_universe, write_candle_files
from quant_assets.evaluation import Prices, TradeRules, follow_setups, price_bars, read_trades, stored_inputs
from quant_assets.evaluation.live import AGREES, Cause, changed_final_trades
from quant_assets.evaluation.setups import replay_setups
from quant_assets.markets.rules import ResolutionRules
from quant_assets.orchestration.job_names import ANALYSE, MARKET_LIST, SCAN
from quant_assets.orchestration.market_lists import LIST_ASSETS
from quant_assets.signals import discover_strategies
from quant_assets.signals.replay import WindowInputs, markets_of
from quant_assets.storage.lake import Lake
from quant_assets_tests.time_lapse import TimeLapse
from quant_assets_tests.world import environment

BEGIN = datetime(2026, 2, 3, 0, 0, tzinfo=UTC)
SCANNED_AFTER_SECONDS = 20.0
#: Markets whose simulated files are late, short, cut or have a gap: later files have other bars of a window.
SPOILED = frozenset({"1000XUSDT", "114514USDT", "4USDTM", "DASHUSDTM", "MON-USDT-SWAP", "WBTCUSDT", "YZYUSDT"})
SAME = ["strategy", "exchange", "symbol", "side", "entry_ms", "outcome", "exit_ms"]


@dataclass
class RecordDays:
    """The days: what was disturbed, and the promises that broke."""

    settings: Settings
    emulator: Emulator
    universe: SimulatedUniverse
    random: Random
    missed: float
    refreshed: float
    disturbed: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lapse = TimeLapse(self.settings, self.emulator, BEGIN, in_memory=True)
        self.lake = Lake(self.settings.lake_dir)

    def run(self, windows: int) -> None:
        """Scan the windows. None of the first and the last four is disturbed."""
        with self.lapse.opened() as instance:
            self.lapse.execute(
                instance, MARKET_LIST, dg.RunRequest(asset_selection=[dg.AssetKey(LIST_ASSETS["coinalyze"])])
            )
            before = read_trades(self.lake)
            for number in range(windows):
                kind = self.random.random() if 4 <= number < windows - 4 else 1.0
                if kind < self.missed:
                    self.disturbed["missed"] += 1
                    continue
                self._scan(instance, number)
                if kind < self.missed + self.refreshed:
                    self.disturbed["refreshed"] += 1
                    self._refresh(instance, number)
                trades = read_trades(self.lake)
                if before is not None and trades is not None:
                    self.broken += [f"final trade changed: {one}" for one in changed_final_trades(before, trades)]
                before = trades
                if number % 24 == 23:
                    print(f"window {number + 1}: {0 if trades is None else len(trades)} trades", flush=True)
        self.broken += self.lapse.failed

    def _scan(self, instance: dg.DagsterInstance, number: int) -> None:
        window = self.lapse.window(number)
        write_candle_files(self.universe, self.settings.candle_folder, window.end)
        self.lapse.seconds = max(self.lapse.seconds, window.end_seconds + SCANNED_AFTER_SECONDS)
        ops = {"derivatives": {"config": {"max_wait_seconds": 10.0}}}
        self.lapse.execute(instance, SCAN, dg.RunRequest(partition_key=window.key, run_config={"ops": ops}))

    def _refresh(self, instance: dg.DagsterInstance, number: int) -> None:
        tick = BEGIN + number * WINDOW_LENGTH + timedelta(minutes=1)
        self.lapse.seconds = max(self.lapse.seconds, tick.timestamp())
        self.lapse.run(instance, refresh_until_the_next_scan, tick)
        # What the automation conditions do after a refresh, without their backfill of missed windows.
        self.lapse.execute(instance, ANALYSE, dg.RunRequest(partition_key=self.lapse.window(number).key))

    def judge(self, windows: int) -> Iterator[str]:
        """Yield what was found."""
        trades = read_trades(self.lake)
        assert trades is not None
        shown = trades[trades["source"] == "published"]
        # The windows before the first one were not scanned.
        compared = shown[(shown["replay"] != "") & (shown["entry_ms"] > self.lapse.window(0).end_ms)]
        causes = Counter(str(cause) for cause in compared["replay"] if cause != AGREES)
        yield f"{len(trades)} trades, {int(trades['final'].sum())} final, {len(compared)} compared with a replay"
        yield f"differ: {dict(causes) or 'none'}; disturbed windows: {dict(self.disturbed) or 'none'}"
        possible = {Cause.MISSED_SCAN} if self.missed else set()
        possible |= {Cause.DERIVATIVES} if self.refreshed else set()
        self.broken += [f"{count} trades differ by {cause}" for cause, count in causes.items() if cause not in possible]
        if not len(compared):
            self.broken.append("no trade was compared")
        if not self.disturbed:
            expected = self._replayed(windows)
            both = shown[SAME].merge(expected[SAME], how="outer", indicator=True)
            unlike = both[both["_merge"] != "both"]
            yield f"{len(expected)} trades of one replay over all windows, {len(unlike)} of either side alone"
            self.broken += [f"unlike: {row}" for row in unlike.astype(str).to_dict("records")]

    def _replayed(self, windows: int) -> pd.DataFrame:
        """Return the trades of one replay of all windows, with the derivatives that are stored."""
        scanned = [self.lapse.window(number) for number in range(windows)]
        candles = read_scannable_candles(self.settings.candle_folder).bars
        markets, strategies = markets_of(candles), discover_strategies().strategies
        stored = stored_inputs(self.lake, ResolutionRules(), markets)
        inputs = WindowInputs.of(markets, scanned, stored.derivatives, stored.symbol_map)
        setups, _ = replay_setups(candles, inputs, strategies)
        return follow_setups(
            setups, Prices(price_bars(candles)), {each.name: TradeRules.of(each) for each in strategies}
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the days, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=480)
    parser.add_argument("--markets", type=int, default=24)
    parser.add_argument("--missed", type=float, default=0.0)
    parser.add_argument("--refreshed", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    universe = simulated_universe()
    whole = [scanned for scanned in universe.scanned if scanned.symbol not in SPOILED]
    chosen = tuple(whole[:: max(len(whole) // options.markets, 1)])
    few = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=chosen)
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(few, calls_per_minute=6_000) as emulator,
        environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(Path(folder, "data", "dagster"))),
    ):
        candles, data_dir = Path(folder, "candles"), Path(folder, "data")
        data_dir.mkdir()
        settings = Settings(base_url=emulator.url, calls_per_minute=6_000, data_dir=data_dir, candles_dir=candles)
        random = Random(f"{options.seed}:record days")
        days = RecordDays(settings, emulator, few, random, options.missed, options.refreshed)
        days.run(options.windows)
        lines: list[Any] = list(days.judge(options.windows))
    print("\n".join(lines))
    for line in days.broken:
        print(f"BROKE {line}")
    print("a promise broke" if days.broken else "every promise held")
    return 1 if days.broken else 0


if __name__ == "__main__":
    sys.exit(main())
