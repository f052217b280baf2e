"""`fetch` and `scan` without a folder, against the local exchanges: from nothing to a feed."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.config import load_exchanges
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.orchestration import columns
from quant_assets.orchestration.exchange_source import bar_store
from quant_assets.storage.lake import Lake
from quant_assets_tests.defs.live import free_port
from quant_assets_tests.faults.terminals import on_terminal
from quant_assets_tests.forking import run

NAMES = ["BYBIT", "MEXC"]


@pytest.fixture(scope="module")
def exchanges() -> Iterator[ExchangeEmulators]:
    with ExchangeEmulators(exchanges_of_universe(simulated_universe()), names=NAMES) as running:
        yield running


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """Return the environment of a user without a key and without candle files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COINALYZE", "QUANT", "DAGSTER"))}
    return {**kept, "QUANT_DATA_DIR": str(folder), **changes}


def variables(exchanges: ExchangeEmulators, folder: Path) -> dict[str, str]:
    """Return the environment with the addresses of the local exchanges."""
    return environment(folder, QUANT_EXCHANGE_URLS=orjson.dumps(exchanges.urls).decode())


@pytest.fixture(scope="module")
def fetched(exchanges: ExchangeEmulators, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the six largest markets of two exchanges, and return the data folder."""
    folder = tmp_path_factory.mktemp("fetched") / "data"
    folder.mkdir()
    (folder / "exchanges.toml").write_text('exchanges = ["BYBIT", "MEXC"]\ntop = 6\nhistory_days = 18\n')
    done = run("fetch", "--json", env=variables(exchanges, folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    summary = orjson.loads(done.stdout)
    assert summary["markets"] == 12
    assert summary["new_bars"] == pytest.approx(12 * 18 * 102, rel=0.01)
    assert {row["exchange"]: row["problem"] for row in summary["exchanges"]} == {"BYBIT": "", "MEXC": ""}
    return folder


def as_files(store: BarStore, folder: Path) -> Path:
    """Write the stored bars as candle files."""
    folder.mkdir()
    for exchange in store.exchanges():
        for timeframe in STEP_MS:
            bars = store.read(exchange, timeframe, 0, 2**62).bars
            for symbol, series in bars.groupby("symbol", observed=True):
                rows = series.rename(columns={"time_ms": "time"})[["time", "open", "high", "low", "close", "volume"]]
                (folder / f"{exchange}_{symbol}_{timeframe}.json").write_bytes(orjson.dumps(rows.to_dict("records")))
    return folder


@pytest.mark.parametrize("back", [timedelta(0), timedelta(hours=1), timedelta(days=1)])
def test_scan_of_fetched_bars_gives_the_signals_of_the_same_bars_in_files(
    exchanges: ExchangeEmulators, fetched: Path, tmp_path: Path, back: timedelta
) -> None:
    window = Window.last_complete(datetime.now(UTC) - WINDOW_LENGTH - back)
    moment = ("--as-of", window.end.isoformat(), "--max-wait", "0", "--output")
    own = run("scan", *moment, str(tmp_path / "own.json"), env=variables(exchanges, fetched), cwd=tmp_path)
    assert own.returncode == 0, own.stderr
    files = as_files(bar_store(Settings(data_dir=fetched)), tmp_path / "candles")
    # The same derivatives, which exchanges gave to the first scan, and no bar but those of the files.
    shutil.copytree(fetched, tmp_path / "other", ignore=shutil.ignore_patterns("lake", "bars", "exchanges.toml"))
    other = variables(exchanges, tmp_path / "other")
    done = run("scan", str(files), *moment, str(tmp_path / "files.json"), env=other, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    of_own, of_files = (orjson.loads((tmp_path / f"{name}.json").read_bytes()) for name in ("own", "files"))
    assert len(of_own["signals"]) == 12 * 3
    assert orjson.dumps(of_own["signals"]) == orjson.dumps(of_files["signals"])
    assert of_own["simulated"] is True


def test_replay_of_stored_bars_gives_the_signals_of_scans(
    exchanges: ExchangeEmulators, fetched: Path, tmp_path: Path
) -> None:
    """One window is newer than the last 1,500 bars of the other, where sums may differ in the last digits."""
    env = variables(exchanges, tmp_path / "data")
    shutil.copytree(fetched, tmp_path / "data")
    newest = Window.last_complete(datetime.now(UTC) - WINDOW_LENGTH)
    windows = [Window(newest.end - back) for back in (timedelta(hours=3), timedelta(0))]
    scanned = []
    for window in windows:
        path = tmp_path / f"{window.end:%H%M}.json"
        moment = ("--as-of", window.end.isoformat(), "--max-wait", "0", "--output", str(path))
        assert run("scan", *moment, env=env, cwd=tmp_path).returncode == 0
        scanned.append(orjson.loads(path.read_bytes())["signals"])
    between = ("--from", windows[0].end.isoformat(), "--to", windows[1].end.isoformat())
    done = run("replay", *between, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["windows"] == 13
    lake = Lake(Settings(data_dir=tmp_path / "data").lake_dir)
    replayed = [orjson.loads(lake.read_document(["master_feed"], window.key) or b"")["signals"] for window in windows]
    assert list(differences(replayed, scanned)) == []


def differences(found: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Yield where two JSON values differ by more than the last digits of a number."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key, value in expected.items():
            yield from differences(found[key], value, f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, value in enumerate(expected):
            yield from differences(found[number], value, f"{path}[{number}]")
    elif isinstance(expected, float) and isinstance(found, float):
        if not math.isclose(found, expected, rel_tol=1e-9):
            yield f"{path}: {found} is not {expected}"
    elif found != expected:
        yield f"{path}: {found} is not {expected}"


@pytest.mark.parametrize("command", [("fetch",), ("scan", "--max-wait", "0")])
def test_files_that_are_longer_than_what_is_fetched_are_named(
    exchanges: ExchangeEmulators, fetched: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    shutil.copytree(fetched, tmp_path / "data")
    candles = tmp_path / "candles"
    candles.mkdir()
    end = Window.last_complete(datetime.now(UTC)).end_ms
    for timeframe, count in (("15m", 1600), ("4h", 400)):
        step = STEP_MS[timeframe]
        times = [end // step * step - place * step for place in range(count, 0, -1)]
        bars = [{"time": time, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1} for time in times]
        (candles / f"BYBIT_BTCUSDT_{timeframe}.json").write_bytes(orjson.dumps(bars))
    env = {**variables(exchanges, tmp_path / "data"), "QUANT_CANDLES_DIR": str(candles)}
    done = run(*command, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BYBIT_BTCUSDT_4h.json: longer than what is fetched" in done.stderr
    assert "BYBIT_BTCUSDT_15m.json" not in done.stderr


def test_second_fetch_asks_for_nothing_that_is_stored(exchanges: ExchangeEmulators, fetched: Path) -> None:
    while True:  # again if a bar closed meanwhile
        window = Window.last_complete(datetime.now(UTC))
        run("fetch", env=variables(exchanges, fetched), cwd=fetched)
        before = sum(exchanges[name].accounting.requests for name in NAMES)
        done = run("fetch", "--json", env=variables(exchanges, fetched), cwd=fetched)
        after = sum(exchanges[name].accounting.requests for name in NAMES)
        if window == Window.last_complete(datetime.now(UTC)):
            break
    assert orjson.loads(done.stdout)["new_bars"] == 0
    assert after - before == 3 + 3  # the market lists


def test_plan_without_a_folder_is_of_the_fetched_markets(exchanges: ExchangeEmulators, fetched: Path) -> None:
    done = run("plan", "--json", env=variables(exchanges, fetched), cwd=fetched)
    assert done.returncode == 0, done.stderr
    found = orjson.loads(done.stdout)
    assert found["markets"] == 12
    assert set(found["given_by_exchanges"]) == {"open_interest", "funding_rate"}


def test_first_fetch_gives_z_scores_where_the_exchange_has_history(fetched: Path) -> None:
    """Whatever the time of the fetch."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    with closing(DerivativesStore(Settings(data_dir=fetched).store_path, read_only=True)) as store:
        windows = {
            exchange: {each.windows for each in store.own_interest(exchange, 0, now_ms, 900_000).values()}
            for exchange in NAMES
        }
    assert min(windows["BYBIT"]) >= 95
    assert max(windows["MEXC"]) <= 3


def test_table_of_markets_has_the_columns_and_types_that_dagster_shows(fetched: Path) -> None:
    table = Lake(Settings(data_dir=fetched).lake_dir).read(["exchange_markets"])
    assert table is not None
    shown = {name: dtype for name, (dtype, _) in columns.EXCHANGE_MARKETS.items()}
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == shown


def test_exchange_that_is_down_costs_its_own_markets_alone(exchanges: ExchangeEmulators, tmp_path: Path) -> None:
    exchanges["MEXC"].faults = ExchangeFaults(down=True)
    env = variables(exchanges, tmp_path / "data")
    options = ("--exchange", "bybit", "--exchange", "mexc", "--top", "3", "--days", "2")
    done = run("fetch", *options, env=env, cwd=tmp_path)
    exchanges["MEXC"].faults = ExchangeFaults()
    assert done.returncode == 0, done.stderr
    assert "MEXC" in done.stderr
    assert "no markets yet" in done.stderr
    assert "BYBIT" in done.stdout
    config = load_exchanges(tmp_path / "data" / "exchanges.toml")
    assert (config.exchanges, config.top, config.history_days) == (("BYBIT", "MEXC"), 3, 2)
    assert "exchanges.toml" in done.stderr
    again = run("fetch", *options, env=env, cwd=tmp_path)
    assert "exchanges.toml" not in again.stderr
    assert "MEXC" not in again.stderr
    assert sorted(bar_store(Settings(data_dir=tmp_path / "data")).exchanges()) == NAMES


def test_scan_says_that_no_exchange_could_be_reached(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "exchanges.toml").write_text('exchanges = ["BYBIT"]\n')
    down = orjson.dumps({"BYBIT": f"http://127.0.0.1:{free_port()}"}).decode()
    done = run("scan", "--max-wait", "0", env=environment(folder, QUANT_EXCHANGE_URLS=down), cwd=tmp_path)
    assert done.returncode == 1
    assert "no candles could be fetched from BYBIT, and none are stored; nothing was published" in done.stderr
    assert "Folder not found" not in done.stderr
    assert not (folder / "master_feed.json").exists()
    for options, says in ((("--output", "-", "--json"), "choose one"), (("--output", "no/x"), "must be a file")):
        done = run("scan", *options, env=environment(folder, QUANT_EXCHANGE_URLS=down), cwd=tmp_path)
        assert done.returncode == 2  # wrong options are refused before anything is fetched
        assert says in done.stderr


def test_damaged_bars_cost_no_scan_and_are_fetched_again(
    exchanges: ExchangeEmulators, fetched: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(fetched, folder)
    newest = max((folder / "lake" / "exchange_bars" / "BYBIT" / "15m").glob("*.parquet"))
    newest.write_bytes(newest.read_bytes()[:200])
    env = variables(exchanges, folder)
    done = run("scan", "--max-wait", "0", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("fetch", "--json", env=env, cwd=tmp_path)
    assert orjson.loads(done.stdout)["new_bars"] > 0
    store = bar_store(Settings(data_dir=folder))
    assert store.read("BYBIT", "15m", 0, 2**62).damaged == ()
    assert len(store.read("BYBIT", "15m", 0, 2**62).bars) == pytest.approx(6 * 18 * 96, rel=0.01)


def test_list_shows_markets_and_why_others_are_left_out(exchanges: ExchangeEmulators, tmp_path: Path) -> None:
    env = variables(exchanges, tmp_path / "data")
    done = run("fetch", "--list", "--exchange", "bybit", "--top", "3", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BYBIT: 3 of" in done.stdout
    assert "BTCUSDT" in done.stdout
    assert "not fetched, rank:" in done.stdout
    assert bar_store(Settings(data_dir=tmp_path / "data")).exchanges() == []
    assert not (tmp_path / "data" / "exchanges.toml").exists()


def test_person_is_asked_which_exchanges_and_told_what_that_costs(exchanges: ExchangeEmulators, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quant_assets", "scan", "--max-wait", "0"]
    with on_terminal(command, variables(exchanges, tmp_path / "data"), tmp_path) as terminal:
        terminal.wait_for("Names, separated by commas")
        terminal.type("bybit, mexc")
        terminal.wait_for("How many markets of each")
        terminal.type("2")
        terminal.wait_for("minutes and")
        terminal.wait_for("Go on?")
        terminal.type("y")
        lines, code = terminal.end()
    assert code == 0, lines
    assert load_exchanges(tmp_path / "data" / "exchanges.toml").exchanges == ("BYBIT", "MEXC")
    assert any("4 markets × 3 strategies" in line for line in lines), lines
    assert (tmp_path / "data" / "master_feed.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("fetch",), "no exchange is chosen"),
        (("fetch", "--exchange", "KRAKEN"), "unknown exchange 'KRAKEN'; known are BINANCE"),
        (("fetch", "--exchange", "BYBIT", "--since", "yesterday"), "Invalid timestamp 'yesterday'"),
        (("fetch", "--exchange", "BYBIT", "--since", "2990-01-01"), "is in the future"),
        (("fetch", "--exchange", "BYBIT", "--since", "2026-01-01", "--days", "3"), "choose one of them"),
        (("fetch", "--exchange", "BYBIT", "--since", "1960-01-01"), "expected at most 3660"),
        (("fetch", "--exchange", "BYBIT", "--days", "0.5"), "--days 0.5: expected 1 to 3660"),
        (("fetch", "--exchange", "BYBIT", "--days", "1e9"), "--days 1e+09: expected 1 to 3660"),
        (("fetch", "--exchange", "BYBIT", "--timeframe", "1h"), "known are 15m, 4h"),
        (("scan",), "quant-assets fetch --exchange NAME"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what_would_do(
    exchanges: ExchangeEmulators, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run(*options, env=variables(exchanges, tmp_path / "data"), cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "lake").exists()
    assert not (tmp_path / "data" / "exchanges.toml").exists()


def test_folder_of_another_origin_is_refused(fetched: Path) -> None:
    done = run("fetch", env=environment(fetched), cwd=fetched)
    assert done.returncode == 2
    assert "from a server on this machine" in done.stderr


@pytest.mark.parametrize(
    "urls", ["no json", '{"KRAKEN": "http://127.0.0.1:1"}', '{"BYBIT": "http://192.168.1.1"}', '{"BYBIT": 3}']
)
def test_invalid_addresses_are_exit_2(tmp_path: Path, urls: str) -> None:
    env = environment(tmp_path / "data", QUANT_EXCHANGE_URLS=urls)
    done = run("fetch", "--exchange", "BYBIT", env=env, cwd=tmp_path)
    assert done.returncode == 2
    assert "QUANT_EXCHANGE_URLS" in done.stderr
