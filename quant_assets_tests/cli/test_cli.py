"""The command line: exit codes, stdout and stderr."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from quant_assets.common.text import escape_control_chars
from quant_assets_tests.forking import run, run_process
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.servers import running
from quant_assets_tests.world import World

SUMMARY = {
    "feed",
    "window",
    "as_of",
    "markets",
    "signals",
    "skipped",
    "resolution",
    "actions",
    "api",
    "elapsed_seconds",
}
API = {"calls", "requests", "rate_limited", "cache_hits", "waited_seconds"}


def as_of(world: World) -> str:
    return world.window.end.isoformat().replace("+00:00", "Z")


def test_scan_prints_best_signals_and_path_of_feed(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--as-of", as_of(world), env=world.environment("cli"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Best 15 of" in done.stdout
    assert f"feed: {world.folder / 'cli' / 'master_feed.json'}" in done.stdout
    assert "calls in" in done.stdout
    assert done.stderr == ""


def test_json_prints_only_a_summary_on_stdout(world: World, tmp_path: Path) -> None:
    world.scanned("cli_json")
    arguments = ("scan", str(world.candles), "--as-of", as_of(world), "--json")
    done = run(*arguments, env=world.environment("cli_json"), cwd=tmp_path)
    summary = orjson.loads(done.stdout)
    assert set(summary) >= SUMMARY
    assert set(summary["api"]) == API
    assert summary["api"]["calls"] == 0
    assert summary["window"] == world.window.key
    assert orjson.loads(Path(summary["feed"]).read_bytes())["stats"]["signals"] == summary["signals"]


def test_selection_is_written_beside_the_complete_master_feed(world: World, tmp_path: Path) -> None:
    output, master = tmp_path / "chosen.json", world.scanned("cli_selected")
    done = run(
        *("scan", str(world.candles), "--as-of", as_of(world), "--strategy", "Legacy,breakout_v2"),
        *("--exchange", "binance", "--symbol", "usd", "--output", str(output), "--json"),
        env=world.environment("cli_selected"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    chosen = orjson.loads(output.read_bytes())
    assert {signal["exchange"] for signal in chosen["signals"]} == {"BINANCE"}
    assert {signal["strategy_name"] for signal in chosen["signals"]} == {"Legacy", "BreakoutV2"}
    assert len(chosen["signals"]) == chosen["stats"]["markets"] * 2 == orjson.loads(done.stdout)["signals"]
    whole = orjson.loads(master.read_bytes())
    assert len(whole["signals"]) == whole["stats"]["markets"] * 3 > len(chosen["signals"])


def test_missing_key_writes_feed_and_warns(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--json", env=world.environment("cli_no_key", key=None), cwd=tmp_path)
    assert done.returncode == 0
    assert "COINALYZE_API_KEY" in done.stderr
    summary = orjson.loads(done.stdout)
    assert summary["resolution"] == {"resolved": 0, "aggregated": 0, "neutral": summary["markets"]}


def test_refused_key_writes_feed_and_exits_3(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--json", env=world.environment("cli_refused", key="wrong"), cwd=tmp_path)
    assert done.returncode == 3
    assert "key was refused" in done.stderr
    assert "wrong" not in done.stderr.replace("wrong usage", "")
    assert Path(orjson.loads(done.stdout)["feed"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategy", "Legasy"), "Legacy"),
        (("--strategy", ","), "Unknown strategy"),
        (("--as-of", "yesterday"), "2026-01-19T17:00:00Z"),
        (("--as-of", "2035-01-01T00:00:00Z"), "future"),
        (("--as-of", "2019-01-01T00:00:00Z"), "first window"),
        (("--max-wait", "-1"), "--max-wait"),
        (("--max-wait", "soon"), "--max-wait"),
        (("--output", "/no/such/folder/feed.json"), "--output"),
        (("--output", "/dev/null"), "--output"),
        (("--frobnicate",), "--frobnicate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_exits_2_with_advice(world: World, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run("scan", str(world.candles), *arguments, env=world.environment("cli_wrong"), cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (world.folder / "cli_wrong" / "master_feed.json").exists()


def test_scan_of_a_window_before_all_candles_makes_no_feed(world: World, tmp_path: Path) -> None:
    path = world.scanned("cli_before")
    before = path.read_bytes()
    arguments = ("scan", str(world.candles), "--as-of", "2026-01-19T17:00:00Z")
    done = run(*arguments, env=world.environment("cli_before"), cwd=tmp_path)
    assert done.returncode == 1
    assert "no market has a candle that had closed by 2026-01-19T17:00Z; no feed was made" in done.stderr
    assert path.read_bytes() == before
    assert list((path.parent / "lake" / "master_feed").glob("2026-01-19*")) == []


def broken_files(folder: Path) -> None:
    for timeframe in ("15m", "4h"):
        (folder / f"BINANCE_BTCUSDT_{timeframe}.json").write_text("x")


def test_scan_that_can_read_no_file_keeps_the_feed_and_names_one(world: World, tmp_path: Path) -> None:
    path = world.scanned("cli_all_broken")
    before = path.read_bytes()
    broken_files(tmp_path)
    done = run("scan", str(tmp_path), env=world.environment("cli_all_broken"), cwd=tmp_path)
    assert done.returncode == 2
    assert "BINANCE_BTCUSDT_15m.json: " in done.stderr
    assert done.stdout == ""
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["empty", "missing", "file", "no candles", "no UTF-8", "1h", "15m", "4h", "broken"])
def test_folder_without_candles_exits_2_with_one_line(world: World, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "candles"
    if kind == "no UTF-8":
        folder = tmp_path / "candles\udcff"
        shutil.copytree(world.candles, folder)
    if kind in {"empty", "no candles", "1h", "15m", "4h", "broken"}:
        folder.mkdir()
    if kind == "broken":
        broken_files(folder)
    if kind in {"1h", "15m", "4h"}:
        (folder / f"BINANCE_BTCUSDT_{kind}.json").write_text("[]")
    if kind == "no candles":
        (folder / "README.txt").write_text("hello")
    if kind == "file":
        folder.write_text("hello")
    done = run("scan", str(folder), env=world.environment("cli_wrong"), cwd=tmp_path)
    assert done.returncode == 2
    assert escape_control_chars(str(folder)) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COINALYZE_CALLS_PER_MINUTE", "many"),
        ("COINALYZE_CALLS_PER_MINUTE", "0"),
        ("COINALYZE_BASE_URL", "http://api.coinalyze.net/v1"),
        ("COINALYZE_BASE_URL", "https://user:secret-word@host/v1"),
        ("QUANT_DATA_DIR", "what?"),
        ("QUANT_DATA_DIR", "no_utf8_\udcff"),
        ("QUANT_DATA_DIR", "~nobody-of-this-name/data"),
        ("DAGSTER_HOME", "what?"),
        ("DAGSTER_HOME", "~nobody-of-this-name/home"),
    ],
)
def test_invalid_variable_exits_2_without_showing_its_value(
    world: World, tmp_path: Path, variable: str, value: str
) -> None:
    environment = {**world.environment("cli_wrong"), variable: value}
    done = run("scan", str(world.candles), env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert variable in done.stderr
    assert "secret-word" not in done.stderr


def test_resolve_prints_row_of_symbol_map(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_resolve")
    done = run("resolve", "PUMPUSDT", "MEXC", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = orjson.loads(done.stdout)
    assert row["canonical_symbol"] == "PUMP"
    assert row["status"] == "aggregated"
    assert row["open_interest_symbol"] == "PUMPFUNUSDT.6"
    shown = run("resolve", "AITOUSDT", "HYPERLIQUID", env=environment, cwd=tmp_path)
    assert "neutral" in shown.stdout
    assert re.search(r"market_list_at  \d{4}-\d\d-\d\d \d\d:\d\d UTC\n", shown.stdout)


def test_resolve_without_list_and_key_is_neutral_with_reason(world: World, tmp_path: Path) -> None:
    done = run("resolve", "BTCUSDT", "BINANCE", env=world.environment("cli_bare", key=None), cwd=tmp_path)
    assert done.returncode == 0
    assert "no market list" in done.stdout


def test_demo_writes_simulated_feed_without_a_key(tmp_path: Path, world: World) -> None:
    environment = world.environment("unused", key="the-users-own-real-key")
    environment.pop("COINALYZE_BASE_URL")
    environment["QUANT_DATA_DIR"] = str(tmp_path / "data")
    done = run("demo", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((tmp_path / "data" / "demo" / "master_feed.json").read_bytes())
    assert feed["simulated"]
    assert feed["stats"]["markets"] >= 60
    assert len({signal["exchange"] for signal in feed["signals"]}) >= 4
    # Within two minutes after a window's end exchanges give open interest of all their markets; later Coinalyze does.
    assert sum(feed["stats"]["resolution"].values()) == feed["stats"]["markets"]
    assert feed["stats"]["resolution"]["resolved"] > feed["stats"]["markets"] / 2
    assert len(list((tmp_path / "data" / "demo" / "lake" / "exchange_bars").iterdir())) == 8


def test_progress_is_shown_on_a_terminal(world: World, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_assets", "scan", str(world.candles), "--as-of", as_of(world)],
        env={**world.environment("cli_progress"), "TERM": "xterm-256color", "COLUMNS": "120"},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end has closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0
    for stage in (b"files read", b"calls spent", b"markets analysed"):
        assert stage in shown


def test_emulator_prints_variables_and_stops_on_sigterm(tmp_path: Path, world: World) -> None:
    options = ["--candles", str(world.candles)]
    with running("emulator", world.environment("emulator"), tmp_path, *options) as (process, line):
        assert "COINALYZE_BASE_URL=http://127.0.0.1:" in line
        assert "COINALYZE_API_KEY=" in line
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_emulator_on_a_used_port_exits_2(tmp_path: Path, world: World) -> None:
    port = world.emulator.url.split(":")[2].split("/")[0]
    done = run("emulator", "--port", port, env=world.environment("emulator"), cwd=tmp_path)
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_plan_shows_cost_of_refresh_without_spending_calls(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_plan")
    run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    before = world.emulator.accounting.calls
    done = run("plan", str(world.candles), "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    account = orjson.loads(done.stdout)
    assert world.emulator.accounting.calls == before
    assert account["calls_due"] == sum(dataset["due"] for dataset in account["datasets"].values()) > 0
    assert account["minutes"] == (account["calls_due"] - 1) // account["calls_per_minute"]
    run("scan", str(world.candles), env=environment, cwd=tmp_path)
    after = orjson.loads(run("plan", str(world.candles), "--json", env=environment, cwd=tmp_path).stdout)
    assert after["calls_due"] < account["calls_due"] / 10
    assert all(dataset["known"] == dataset["symbols"] for dataset in after["datasets"].values())


def test_plan_simulates_hours_and_plots_them(world: World, tmp_path: Path) -> None:
    drawing = tmp_path / "ages.html"
    done = run(
        *("plan", str(world.candles), "--simulate", "6h", "--plot", str(drawing)),
        env={**world.environment("cli_plan"), "COINALYZE_CALLS_PER_MINUTE": "5"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "everything known after" in done.stdout
    assert "all symbols and datasets in turn" in done.stdout
    page = drawing.read_text()
    assert "open interest, median" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    "arguments", [("--simulate", "a day"), ("--simulate", "0h"), ("--simulate", "²h"), ("--plot", "ages.png")]
)
def test_plan_rejects_invalid_options(world: World, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("plan", str(world.candles), *arguments, env=world.environment("cli_plan"), cwd=tmp_path)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


@pytest.mark.parametrize("variable", ["QUANT_DATA_DIR", "DAGSTER_HOME"])
def test_file_in_place_of_a_folder_exits_2(world: World, tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").write_text("no folder")
    environment = {**world.environment("cli_folders"), variable: str(tmp_path / "file")}
    done = run("scan", str(world.candles), env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("file", ["resolution.toml", "refresh.toml", "retention.toml", "strategies.toml"])
def test_invalid_config_file_exits_2(world: World, tmp_path: Path, file: str) -> None:
    data = world.folder / f"cli_{file}"
    data.mkdir()
    (data / file).write_text("nonsense = 1\n")
    done = run("scan", str(world.candles), env=world.environment(data.name), cwd=tmp_path)
    assert done.returncode == 2
    assert file in done.stderr
    assert "nonsense" in done.stderr
    (data / file).unlink()
    (data / file).symlink_to("nowhere")
    done = run("scan", str(world.candles), env=world.environment(data.name), cwd=tmp_path)
    assert done.returncode == 2
    assert file in done.stderr


def test_invalid_responses_are_reported_within_max_wait(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_nonsense")
    run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    with ScriptedServer(Canned(body=b"<html>maintenance</html>")) as server:
        environment["COINALYZE_BASE_URL"] = server.url
        # The window before: the current one may end during the requests, which ends them.
        arguments = ("--as-of", world.window.start.isoformat(), "--max-wait", "8", "--json")
        done = run("scan", str(world.candles), *arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not JSON" in done.stderr
    assert orjson.loads(done.stdout)["elapsed_seconds"] < 40


def test_scan_rebuilds_damaged_tables(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_damaged")
    arguments = ("scan", str(world.candles), "--as-of", as_of(world), "--json")
    first = orjson.loads(world.scanned("cli_damaged").read_bytes())["stats"]
    for table in sorted((world.folder / "cli_damaged" / "lake").rglob("*.parquet")):
        table.write_bytes(table.read_bytes()[:100])
    done = run(*arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = orjson.loads(done.stdout)
    assert again["resolution"] == first["resolution"]
    assert again["markets"] == first["markets"]


def test_key_with_line_break_is_rejected_and_stored_nowhere(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_odd_key", key="s3cr3t-first\ns3cr3t-second")
    done = run("scan", str(world.candles), "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 3
    kept = [path.read_bytes() for path in (world.folder / "cli_odd_key").rglob("*") if path.is_file()]
    assert kept
    for secret in ("s3cr3t-first", "s3cr3t-second"):
        assert secret not in done.stdout + done.stderr
        assert not any(secret.encode() in content for content in kept)


PLUGIN = """
from dataclasses import dataclass
from quant_assets.signals import Strategy
print("a plugin that talks")

@dataclass(frozen=True)
class Faulty(Strategy):
    name = "Fau\\x1blty'"
    key = "faulty"
    description = "Fails on every market."
    strategy_type = "test"
    parts = ("nothing",)

    def judge(self, features):
        raise RuntimeError("out of order")

strategy = Faulty()
"""


def test_failing_plugin_strategy_does_not_affect_others(world: World, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(PLUGIN)
    info = tmp_path / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[quant_assets.strategies]\nfaulty = faulty:strategy\ngone = no_such_module:strategy\n"
    )
    environment = {**world.environment("cli_plugin"), "PYTHONPATH": str(tmp_path)}
    done = run_process("scan", str(world.candles), "--as-of", as_of(world), "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = orjson.loads(done.stdout)
    assert summary["signals"] == summary["markets"] * 4
    assert "out of order" in done.stderr
    assert "no_such_module" in done.stderr
    assert "\x1b" not in done.stderr
    feed = orjson.loads(Path(summary["feed"]).read_bytes())
    reasons = {s["strategy_name"][:3]: set() for s in feed["signals"]}
    for signal in feed["signals"]:
        reasons[signal["strategy_name"][:3]].add(signal["details"]["reason"])
    assert reasons["Fau"] <= {"strategy_failed", "insufficient_history", "stale_candles"}
    assert "strategy_failed" not in reasons["Leg"]


def test_control_characters_in_names_are_escaped(tmp_path: Path, world: World) -> None:
    candles = tmp_path / "candles"
    candles.mkdir()
    files = sorted(world.candles.glob("BINANCE_*"))[:2]
    market = files[0].name.rpartition("_")[0]
    for file in files:
        (candles / file.name).write_bytes(file.read_bytes())
    (candles / "MEXC_\x1b[31mRED\nUSDT_15m.json").write_text("[")
    for timeframe in ("15m", "4h"):
        (candles / f"MEXC_A\\[red]B_{timeframe}.json").write_bytes(
            (candles / f"{market}_{timeframe}.json").read_bytes()
        )
    done = run("scan", str(candles), env=world.environment("cli_names", key=None), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "RED" in done.stdout
    assert "A\\[red]B" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    done = run("resolve", "BTC\x1b[2JUSDT", "BINANCE", env=world.environment("cli_names", key=None), cwd=tmp_path)
    assert "BTC�[2JUSDT" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_output_to_master_feed_is_rejected(world: World, tmp_path: Path) -> None:
    path = world.scanned("cli_over")
    before = path.read_bytes()
    done = run(
        *("scan", str(world.candles), "--symbol", "BTC", "--output", str(path)),
        env=world.environment("cli_over"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "the master feed itself" in done.stderr
    assert path.read_bytes() == before
