"""The command line as a person runs it: real processes, exit codes, what is printed where."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from quant_assets.common.text import escape_control_chars
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


def run(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quant_assets", *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def as_of(world: World) -> str:
    return world.window.end.isoformat().replace("+00:00", "Z")


def test_a_scan_prints_the_best_signals_and_where_the_feed_is(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--as-of", as_of(world), env=world.environment("cli"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Best 15 of" in done.stdout
    assert f"feed: {world.folder / 'cli' / 'master_feed.json'}" in done.stdout
    assert "calls in" in done.stdout
    assert done.stderr == ""


def test_json_is_a_summary_on_stdout_and_nothing_else(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli")
    run("scan", str(world.candles), "--as-of", as_of(world), env=environment, cwd=tmp_path)
    done = run("scan", str(world.candles), "--as-of", as_of(world), "--json", env=environment, cwd=tmp_path)
    summary = orjson.loads(done.stdout)
    assert set(summary) >= SUMMARY
    assert set(summary["api"]) == API
    assert summary["api"]["calls"] == 0
    assert summary["window"] == world.window.key
    assert orjson.loads(Path(summary["feed"]).read_bytes())["stats"]["signals"] == summary["signals"]


def test_a_selection_is_written_beside_and_the_master_feed_stays_whole(world: World, tmp_path: Path) -> None:
    output = tmp_path / "chosen.json"
    done = run(
        *("scan", str(world.candles), "--as-of", as_of(world), "--strategy", "Legacy,breakout_v2"),
        *("--exchange", "binance", "--symbol", "usd", "--output", str(output), "--json"),
        env=world.environment("cli"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    chosen = orjson.loads(output.read_bytes())
    assert {signal["exchange"] for signal in chosen["signals"]} == {"BINANCE"}
    assert {signal["strategy_name"] for signal in chosen["signals"]} == {"Legacy", "BreakoutV2"}
    assert len(chosen["signals"]) == chosen["stats"]["markets"] * 2 == orjson.loads(done.stdout)["signals"]
    whole = orjson.loads((world.folder / "cli" / "master_feed.json").read_bytes())
    assert len(whole["signals"]) == whole["stats"]["markets"] * 3 > len(chosen["signals"])


def test_without_a_key_the_feed_is_written_and_a_word_is_said(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--json", env=world.environment("cli_no_key", key=None), cwd=tmp_path)
    assert done.returncode == 0
    assert "COINALYZE_API_KEY" in done.stderr
    summary = orjson.loads(done.stdout)
    assert summary["resolution"] == {"resolved": 0, "aggregated": 0, "neutral": summary["markets"]}


def test_a_refused_key_is_exit_3_with_the_feed_written(world: World, tmp_path: Path) -> None:
    done = run("scan", str(world.candles), "--json", env=world.environment("cli_refused", key="wrong"), cwd=tmp_path)
    assert done.returncode == 3
    assert "key was refused" in done.stderr
    assert "wrong" not in done.stderr.replace("wrong usage", "")
    assert Path(orjson.loads(done.stdout)["feed"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--strategy", "Legasy"), "Legacy"),
        (("--strategy", ","), "there are"),
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
def test_wrong_usage_is_exit_2_and_says_what_to_do(
    world: World, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = run("scan", str(world.candles), *arguments, env=world.environment("cli_wrong"), cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (world.folder / "cli_wrong" / "master_feed.json").exists()


def broken_files(folder: Path) -> None:
    for timeframe in ("15m", "4h"):
        (folder / f"BINANCE_BTCUSDT_{timeframe}.json").write_text("x")


def test_a_scan_that_can_read_no_file_keeps_the_feed_and_names_one(world: World, tmp_path: Path) -> None:
    path = world.scan("cli_all_broken").feed_path
    before = path.read_bytes()
    broken_files(tmp_path)
    done = run("scan", str(tmp_path), env=world.environment("cli_all_broken"), cwd=tmp_path)
    assert done.returncode == 2
    assert "BINANCE_BTCUSDT_15m.json: " in done.stderr
    assert done.stdout == ""
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["empty", "missing", "file", "no candles", "no UTF-8", "1h", "15m", "4h", "broken"])
def test_a_folder_without_candles_is_exit_2_and_one_line(world: World, tmp_path: Path, kind: str) -> None:
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
def test_a_wrong_variable_is_exit_2_and_named_without_its_value(
    world: World, tmp_path: Path, variable: str, value: str
) -> None:
    environment = {**world.environment("cli_wrong"), variable: value}
    done = run("scan", str(world.candles), env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert variable in done.stderr
    assert "secret-word" not in done.stderr


def test_resolve_shows_one_markets_row(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_resolve")
    done = run("resolve", "PUMPUSDT", "MEXC", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = orjson.loads(done.stdout)
    assert row["canonical_symbol"] == "PUMP"
    assert row["status"] == "aggregated"
    assert row["open_interest_symbol"] == "PUMPFUNUSDT.6"
    shown = run("resolve", "AITOUSDT", "HYPERLIQUID", env=environment, cwd=tmp_path)
    assert "neutral" in shown.stdout


def test_resolve_without_a_list_and_a_key_is_neutral_and_says_why(world: World, tmp_path: Path) -> None:
    done = run("resolve", "BTCUSDT", "BINANCE", env=world.environment("cli_bare", key=None), cwd=tmp_path)
    assert done.returncode == 0
    assert "no market list" in done.stdout


def test_the_demo_needs_no_key_and_writes_a_simulated_feed(tmp_path: Path, world: World) -> None:
    environment = world.environment("unused", key="the-users-own-real-key")
    environment.pop("COINALYZE_BASE_URL")
    environment["QUANT_DATA_DIR"] = str(tmp_path / "data")
    done = run("demo", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((tmp_path / "data" / "demo" / "master_feed.json").read_bytes())
    assert feed["simulated"]
    assert feed["stats"]["markets"] >= 60
    assert len({signal["exchange"] for signal in feed["signals"]}) >= 4
    assert all(count > 0 for count in feed["stats"]["resolution"].values())
    assert feed["stats"]["skipped"]


def test_progress_shows_on_a_terminal_and_not_in_a_pipe(world: World, tmp_path: Path) -> None:
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


def test_the_emulator_says_how_to_reach_it_and_stops_when_told(tmp_path: Path, world: World) -> None:
    options = ["--candles", str(world.candles)]
    with running("emulator", world.environment("emulator"), tmp_path, *options) as (process, line):
        assert "COINALYZE_BASE_URL=http://127.0.0.1:" in line
        assert "COINALYZE_API_KEY=" in line
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_port_that_is_taken_is_exit_2(tmp_path: Path, world: World) -> None:
    port = world.emulator.url.split(":")[2].split("/")[0]
    done = run("emulator", "--port", port, env=world.environment("emulator"), cwd=tmp_path)
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_plan_tells_what_a_refresh_would_cost_and_spends_no_call_on_it(world: World, tmp_path: Path) -> None:
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


def test_plan_simulates_a_day_and_draws_it(world: World, tmp_path: Path) -> None:
    drawing = tmp_path / "ages.html"
    done = run(
        *("plan", str(world.candles), "--simulate", "6h", "--plot", str(drawing)),
        env={**world.environment("cli_plan"), "COINALYZE_CALLS_PER_MINUTE": "5"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "everything known after" in done.stdout
    assert "in turn, the plain way" in done.stdout
    page = drawing.read_text()
    assert "open interest, median" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    "arguments", [("--simulate", "a day"), ("--simulate", "0h"), ("--simulate", "²h"), ("--plot", "ages.png")]
)
def test_plan_refuses_what_it_cannot_do(world: World, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("plan", str(world.candles), *arguments, env=world.environment("cli_plan"), cwd=tmp_path)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


@pytest.mark.parametrize("variable", ["QUANT_DATA_DIR", "DAGSTER_HOME"])
def test_a_folder_that_cannot_be_one_is_exit_2_and_one_line(world: World, tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").write_text("no folder")
    environment = {**world.environment("cli_folders"), variable: str(tmp_path / "file")}
    done = run("scan", str(world.candles), env=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("file", ["resolution.toml", "refresh.toml", "retention.toml", "strategies.toml"])
def test_rules_that_cannot_be_used_are_exit_2(world: World, tmp_path: Path, file: str) -> None:
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


def test_a_provider_that_answers_nonsense_is_told_of_and_bounded_in_time(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_nonsense")
    run("resolve", "BTCUSDT", "BINANCE", env=environment, cwd=tmp_path)
    with ScriptedServer(Canned(body=b"<html>maintenance</html>")) as server:
        environment["COINALYZE_BASE_URL"] = server.url
        # Of the window before: that of the moment may end while it is asked for, and with it the asking.
        arguments = ("--as-of", world.window.start.isoformat(), "--max-wait", "8", "--json")
        done = run("scan", str(world.candles), *arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not JSON" in done.stderr
    assert orjson.loads(done.stdout)["elapsed_seconds"] < 40


def test_damaged_tables_heal_and_cost_no_scan(world: World, tmp_path: Path) -> None:
    environment = world.environment("cli_damaged")
    arguments = ("scan", str(world.candles), "--as-of", as_of(world), "--json")
    first = orjson.loads(run(*arguments, env=environment, cwd=tmp_path).stdout)
    for table in sorted((world.folder / "cli_damaged" / "lake").rglob("*.parquet")):
        table.write_bytes(table.read_bytes()[:100])
    done = run(*arguments, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = orjson.loads(done.stdout)
    assert again["resolution"] == first["resolution"]
    assert again["markets"] == first["markets"]


def test_a_key_with_a_line_break_is_refused_and_kept_nowhere(world: World, tmp_path: Path) -> None:
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


def test_a_strategy_of_another_package_that_fails_costs_the_others_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(PLUGIN)
    info = tmp_path / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[quant_assets.strategies]\nfaulty = faulty:strategy\ngone = no_such_module:strategy\n"
    )
    environment = {**world.environment("cli_plugin"), "PYTHONPATH": str(tmp_path)}
    done = run("scan", str(world.candles), "--as-of", as_of(world), "--json", env=environment, cwd=tmp_path)
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


def test_names_from_outside_move_no_cursor(tmp_path: Path, world: World) -> None:
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


def test_a_selection_is_never_written_over_the_master_feed(world: World, tmp_path: Path) -> None:
    path = world.scan("cli_over").feed_path
    before = path.read_bytes()
    done = run(
        *("scan", str(world.candles), "--symbol", "BTC", "--output", str(path)),
        env=world.environment("cli_over"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "the master feed itself" in done.stderr
    assert path.read_bytes() == before
