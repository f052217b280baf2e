"""Measure what Dagster adds to a scan: a queued run under `dagster dev`, and a plain process that does the same work.

    python -m quant_assets_tests.defs.measure_overhead

test_overhead.py tests the two limits with fewer repetitions.

Both start a Python process, read the same candles, refresh (nothing is due), and write the same tables and feed. The
time of the run is from its request to its end: queue, start, steps and records. The time from the import of the code
location until it is ready is measured too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quant_assets_tests.defs.live import dagster_dev, prepare_home
from quant_assets_tests.world import small_world

TIMES = 15
MARKETS = 73

#: Exits when the code location is ready, without cleaning up.
LOAD = """
import os
from quant_assets.definitions import build_definitions
from quant_assets.common.settings import Settings
build_definitions(Settings()).get_repository_def().get_all_jobs()
os._exit(0)
"""

PLAIN = """
import os, sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
import orjson
from pydantic import SecretStr
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.derivatives.policy import load_policy
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.feed import StoredFeed, build_feed, feed_problems, publish
from quant_assets.storage.lake import Lake, compress_document
from quant_assets.markets import resolve_markets, list_of_provider
from quant_assets.candles import CandleTables, read_candles, source_is_simulated
from quant_assets.common.settings import Settings
from quant_assets.signals import build_watchlist, candle_features_table, discover_strategies
from quant_assets.signals import join_features, run_strategy
from quant_assets.common.windows import Window
settings, window = Settings.from_environment(os.environ), Window.of_key(sys.argv[1])
lake, now = Lake(settings.lake_dir), datetime.now(UTC)
known = CandleTables(lake.read(["candles"]), lake.read(["candle_files"]).drop(columns="simulated"))
tables = read_candles(settings.candle_folder, known)
files = tables.files.assign(simulated=source_is_simulated(settings.candle_folder))
lake.write(["candles"], None, tables.bars); lake.write(["candle_files"], None, files)
markets = files.loc[files["status"] == "read", ["exchange", "symbol"]].drop_duplicates()
table = lake.read(["coinalyze_markets"])
market_list = list_of_provider(table, settings.provider)
symbol_map = resolve_markets(markets, market_list, datasets=ENTRIES, now=now).assign(simulated=True)
lake.write(["symbol_map"], None, symbol_map)
secret = SecretStr(os.environ[settings.key_variable])
with (
    closing(CallBudget(settings.store_dir / "budget.sqlite", settings.calls_per_minute)) as budget,
    closing(CoinalyzeClient(secret, settings.base_url, budget)) as client,
    closing(DerivativesStore(settings.store_dir / "derivatives.sqlite")) as store,
):
    since_ms = float(symbol_map["market_list_at_ms"].max())
    options = RefreshOptions(window, since_ms, policy=load_policy(settings.policy_path))
    Refresh(store, client, lambda empty: symbol_map, options).run()
    derivatives = {dataset: snapshot(store, symbol_map, dataset, window) for dataset in DATASETS}
    report = store.load_report(window.key)
for dataset, found in derivatives.items():
    lake.write([dataset], window.key, found)
candle_features = candle_features_table(tables.bars, window)
lake.write(["candle_features"], window.key, candle_features)
lake.write(["watchlist"], window.key, build_watchlist(candle_features, window))
features = join_features(candle_features, symbol_map, derivatives, window)
lake.write(["features"], window.key, features)
signals = {strategy: run_strategy(strategy, features) for strategy in discover_strategies().strategies}
for strategy, found in signals.items():
    lake.write(["signals", strategy.key], window.key, found)
feed = orjson.dumps(build_feed(features, signals, files, window, api=orjson.loads(report), written_at=now))
assert not feed_problems(feed)
lake.write_document(["master_feed"], window.key, compress_document(feed))
assert publish(StoredFeed.of(feed), settings.feed_path, now) == "published"
"""


def timed(*arguments: str, environment: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", *arguments], env=environment or dict(os.environ), check=True, timeout=60)
    return time.perf_counter() - started


def summary(name: str, seconds: list[float]) -> str:
    return f"{name:44} median {statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def load_the_code_location() -> float:
    """Load the code location with its jobs; return the seconds."""
    return timed(LOAD)


def scans(times: int) -> tuple[list[float], list[float]]:
    """Return the seconds of scans under `dagster dev`, from request to end, and of plain processes in turn."""
    runs, plain = [], []
    with tempfile.TemporaryDirectory() as folder, small_world(Path(folder), markets=MARKETS) as world:
        home = world.folder / "data" / "dagster"
        prepare_home(home)
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { creationTime endTime } } }"
        with dagster_dev(world.environment(), home) as live:
            assert live.finished_run(live.launch("market_list"))["status"] == "SUCCESS"
            for number in range(times + 1):
                run = live.launch("scan", world.window.key)
                time.sleep(5)  # no queries while it runs
                assert live.finished_run(run)["status"] == "SUCCESS"
                found = live.ask(query, id=run)["runOrError"]
                if number:  # the first reads all candles and sends requests
                    runs.append(found["endTime"] - found["creationTime"])
                    plain.append(timed(PLAIN, world.window.key, environment=world.environment()))
    return runs, plain


def main() -> None:
    print(summary("import to ready", [load_the_code_location() for _ in range(TIMES)]))
    runs, plain = scans(TIMES)
    print(summary("a scan by a plain process", plain))
    print(summary("a scan by Dagster, from request to end", runs))
    print(f"{'Dagster adds':44} {statistics.median(runs) - statistics.median(plain):.2f} s")


if __name__ == "__main__":
    main()
