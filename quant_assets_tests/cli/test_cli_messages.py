"""Messages about missing or old things name the cause, its effect and what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.store import DerivativesStore, Fetched
from quant_assets.feed import feed_problems
from quant_assets_tests.faults.proxy import FaultyProxy
from quant_assets_tests.forking import run, run_process
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.window_ends import wait_if_window_ends_soon
from quant_assets_tests.world import World


def test_summary_of_a_selection_counts_only_its_markets(world: World, tmp_path: Path) -> None:
    world.scanned("cli_selection")
    done = run("scan", str(world.candles), "--symbol", "BTC", env=world.environment("cli_selection"), cwd=tmp_path)
    line = next(line for line in done.stdout.splitlines() if line.startswith("open interest: "))
    counts = [int(count) for count in re.findall(r"\d+", line)]
    assert len(counts) == 6
    assert sum(counts[:3]) == sum(counts[3:]) > 0


def test_env_file_that_is_not_utf8_exits_2(world: World, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"COINALYZE_API_KEY=\xff\xfe")
    done = run("scan", str(world.candles), env=world.environment("cli_env"), cwd=tmp_path)
    assert done.returncode == 2
    assert ".env" in done.stderr


def test_env_file_with_null_character_exits_2_without_showing_it(world: World, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"COINALYZE_API_KEY=secret\0word\n")
    done = run("scan", str(world.candles), env=world.environment("cli_env", key=None), cwd=tmp_path)
    assert done.returncode == 2
    assert ".env has a character" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_feed_is_written_when_streams_are_closed_or_full(world: World, tmp_path: Path, closed: str) -> None:
    name = f"cli_closed_{closed.encode().hex()}"
    feed = world.scanned(name)
    feed.unlink()
    moment = world.window.end.isoformat()
    command = [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--as-of", moment]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" --json {closed}', "sh", *command],
        env=world.environment(name),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert feed_problems(feed.read_bytes()) == []
    assert done.stdout == b"" or orjson.loads(done.stdout)["markets"] > 0


def test_closed_stderr_does_not_put_messages_into_json(world: World, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m quant_assets plan "$1" --json 2>&-', sys.executable, str(world.candles)],
        env=world.environment("cli_bare", key=None),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert orjson.loads(done.stdout)["calls_due"] == 0


def test_unreachable_provider_is_named_with_its_effect(world: World, tmp_path: Path) -> None:
    environment = {**world.environment("cli_unreachable"), "COINALYZE_BASE_URL": "http://127.0.0.1:9/v1"}
    done = run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    assert "of http://127.0.0.1:9/v1 failed" in done.stderr
    assert "there is none yet, so its datasets are neutral" in done.stderr


def test_plan_without_a_key_warns(world: World, tmp_path: Path) -> None:
    done = run("plan", str(world.candles), env=world.environment("cli_bare", key=None), cwd=tmp_path)
    assert done.returncode == 0
    assert "no API key: set COINALYZE_API_KEY" in done.stderr
    assert "no market list has been fetched yet" in done.stderr


def test_replay_without_a_folder_names_the_variable(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_no_candles")
    del environment["QUANT_CANDLES_DIR"]
    moment = world.window.end.isoformat()
    done = run("replay", "--from", moment, "--to", moment, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Folder not found: ")
    assert "QUANT_CANDLES_DIR" in done.stderr


def test_calls_of_a_failed_market_list_are_counted(world: World, tmp_path: Path) -> None:
    with FaultyProxy(world.emulator, lambda *_: Canned(429, b"{}", {"Retry-After": "1"})) as proxy:
        environment = {**world.environment("cli_limited"), "COINALYZE_BASE_URL": proxy.url}
        done = run("scan", str(world.candles), "--max-wait", "0", "--json", env=environment, cwd=tmp_path)
    api = orjson.loads(done.stdout)["api"]
    assert "too many calls (429)" in done.stderr
    assert api["rate_limited"] == api["requests"] == len(proxy.requests) > 0
    assert api["waited_seconds"] > 0


def test_resolve_and_plan_skip_symbols_that_were_empty_twice(world: World, tmp_path: Path) -> None:
    """Their symbols and calls are those of a refresh."""
    environment = world.environment("cli_empty")
    world.scanned("cli_empty")
    with closing(DerivativesStore(world.settings("cli_empty").store_dir / "derivatives.sqlite")) as store:
        nothing = Fetched("open_interest", ("BTCUSDT_PERP.A",), {}, 0, 2**40, round(time.time() * 1000), simulated=True)
        store.add(nothing)
        store.add(nothing)
    done = run("resolve", "BTCUSDT", "BINANCE", "--json", env=environment, cwd=tmp_path)
    row = orjson.loads(done.stdout)
    assert (row["status"], row["funding_rate_symbol"]) == ("aggregated", "BTCUSDT_PERP.A")
    assert row["open_interest_symbol"] not in {"", "BTCUSDT_PERP.A"}
    assert "open interest of BTCUSDT_PERP.A came back empty" in row["reason"]
    wait_if_window_ends_soon()
    world.scan("cli_empty", window=Window.last_complete(datetime.now(UTC)))
    accepted = len(world.emulator.accounting.accepted)
    plan = orjson.loads(run("plan", str(world.candles), "--json", env=environment, cwd=tmp_path).stdout)
    feed = world.scan("cli_empty", window=Window.last_complete(datetime.now(UTC))).feed
    assert len(world.emulator.accounting.accepted) == accepted
    assert plan["calls_due"] == 0
    assert plan["resolution"] == feed["stats"]["resolution"]


def test_plan_without_symbols_says_there_is_nothing_to_plot(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_bare", key=None)
    done = run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    assert "no API key: set COINALYZE_API_KEY" in done.stderr
    drawing = tmp_path / "ages.html"
    done = run("plan", str(world.candles), "--plot", str(drawing), env=environment, cwd=tmp_path)
    assert done.returncode == 0
    assert "nothing to simulate or to plot" in done.stderr
    assert not drawing.exists()


def test_scan_of_older_window_says_where_its_feed_is(world: World, tmp_path: Path) -> None:
    world.scanned("cli_older")
    older = Window(world.window.end - WINDOW_LENGTH)
    done = run(
        *("scan", str(world.candles), "--as-of", older.end.isoformat(), "--max-wait", "0"),
        env=world.environment("cli_older"),
        cwd=tmp_path,
    )
    assert f"`serve` shows it as {older.key}, and --output writes it to a file" in done.stderr


def test_scan_works_on_an_ascii_terminal(world: World, tmp_path: Path) -> None:
    environment = {**world.environment("cli"), "PYTHONIOENCODING": "ascii"}
    done = run_process("scan", str(world.candles), "--symbol", "BTC", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "feed: " in done.stdout


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("dagster.yaml", text) for text in (b"a: [b", b"nonsense: 1", b"\xff\xfe", b"- 1")),
        ("storage/history/runs.db", b"no database" * 1000),
    ],
)
def test_unusable_dagster_instance_exits_2_and_is_named(
    world: World, tmp_path: Path, file: str, content: bytes
) -> None:
    environment = world.environment("cli_instance")
    home = world.folder / "cli_instance" / "dagster"
    assert run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path).returncode == 0
    shutil.rmtree(world.settings("cli_instance").lake_dir)  # so that the market list is due
    before = next(home.rglob(Path(file).name))
    kept = before.read_bytes()
    before.write_bytes(content)
    done = run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert str(home) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    before.write_bytes(kept)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("candle_files", "simulated"),
        ("candle_files", "inode"),
        ("candles", "volume"),
        ("coinalyze_markets", "provider"),
    ],
)
def test_scan_rebuilds_tables_of_another_version(world: World, tmp_path: Path, table: str, column: str) -> None:
    name = f"cli_version_{table}_{column}"
    world.scanned(name)
    path = world.settings(name).lake_dir / f"{table}.parquet"
    pd.read_parquet(path).drop(columns=column).to_parquet(path)
    done = run("scan", str(world.candles), "--json", env=world.environment(name), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert column in pd.read_parquet(path)


def test_symbol_option_matches_display_symbols(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_found")
    done = run("scan", str(world.candles), "--symbol", "btcusdt", env=environment, cwd=tmp_path)
    feed = orjson.loads((world.folder / "cli_found" / "selection.json").read_bytes())
    found = {(signal["exchange"], signal["symbol"]) for signal in feed["signals"]}
    assert done.returncode == 0
    assert found >= {("BINANCE", "BTCUSDT"), ("KUCOIN", "XBTUSDTM")}
    assert all(signal["display_symbol"] == "BTCUSDT" for signal in feed["signals"])
    assert {s["oi_metadata"]["status"] for s in feed["signals"] if s["oi_metadata"]["value"] is None} == set()
