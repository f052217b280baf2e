"""The commands `strategy new`, `list` and `check`, and what `scan` and `evaluate` do with what `new` wrote."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import orjson
import pandas as pd
import pytest

from quant_assets_tests.forking import run
from quant_assets_tests.signals.factories import REAL_CANDLES


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT", "COINALYZE"))}
    return {**kept, "QUANT_DATA_DIR": str(tmp_path / "data")}


def command(env: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("strategy", *arguments, env=env, cwd=cwd)


def test_new_writes_a_strategy_and_its_test_that_list_finds(environment: dict[str, str], tmp_path: Path) -> None:
    done = command(environment, tmp_path, "new", "my_idea")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "strategies").iterdir()) == ["my_idea.py", "test_my_idea.py"]
    listed = orjson.loads(command(environment, tmp_path, "list", "--json").stdout)
    (mine,) = [found for found in listed["strategies"] if found["key"] == "my_idea"]
    assert mine["name"] == "MyIdea"
    assert mine["source"] == "file my_idea.py"
    assert mine["indicators"] == ["ema20", "distance_pct"]
    assert mine["parameters"]["min_distance_pct"] == {
        "value": 1.0,
        "min": 0.0,
        "max": 20.0,
        "step": 0.5,
        "search": None,
        "text": "Minimum distance of the 4h close from its EMA(20), percent.",
    }
    assert listed["problems"] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1st", "Invalid name"),
        ("../x", "Invalid name"),
        ("json", "is the name of a Python module"),
        ("Legacy", "There is a strategy Legacy already"),
        ("breakout_v2", "There is a strategy breakout_v2 already"),
    ],
)
def test_new_refuses_names(environment: dict[str, str], tmp_path: Path, name: str, message: str) -> None:
    done = command(environment, tmp_path, "new", name)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "strategies").exists()


def test_new_overwrites_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    command(environment, tmp_path, "new", "MyIdea")
    (tmp_path / "strategies" / "my_idea.py").write_text("# mine\n")
    done = command(environment, tmp_path, "new", "MyIdea")
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "strategies" / "my_idea.py").read_text() == "# mine\n"


def test_list_shows_ranges_values_in_force_and_broken_files(environment: dict[str, str], tmp_path: Path) -> None:
    for folder in ("data", "strategies"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "strategies.toml").write_text("[legacy]\nthreshold = 65\n")
    (tmp_path / "strategies" / "broken.py").write_text("import no_such_module_anywhere\n")
    done = command(environment, tmp_path, "list")
    assert done.returncode == 0
    assert "Legacy (legacy), built in: " in done.stdout
    assert "threshold = 65.0  0 to 100, step 5, searched 50 to 90" in done.stdout
    assert "time limit of a trade: 4800 minutes" in done.stdout
    assert "file broken.py cannot be loaded: ModuleNotFoundError" in done.stderr


def test_check_of_an_unknown_strategy_names_those_there_are(environment: dict[str, str], tmp_path: Path) -> None:
    done = command(environment, tmp_path, "check", "nothing")
    assert done.returncode == 2
    assert "Unknown strategy nothing: expected Breakout, BreakoutV2, Legacy" in done.stderr


def test_check_without_candles_says_what_to_give(environment: dict[str, str], tmp_path: Path) -> None:
    done = command(environment, tmp_path, "check", "legacy")
    assert done.returncode == 2
    assert "give a folder of candle files" in done.stderr


def copy_candles(folder: Path) -> None:
    """Copy one real market into the folder `candles`."""
    candles = folder / "candles"
    candles.mkdir()
    for timeframe in ("15m", "4h"):
        name = f"MEXC_BTCUSDT_{timeframe}.json"
        (candles / name).write_bytes((REAL_CANDLES / name).read_bytes())


@pytest.mark.skipif(not REAL_CANDLES.is_dir(), reason="no real candles")
def test_check_exits_1_for_a_look_ahead_and_0_without(environment: dict[str, str], tmp_path: Path) -> None:
    copy_candles(tmp_path)
    command(environment, tmp_path, "new", "my_idea")
    done = command(environment, tmp_path, "check", "MyIdea", "candles", "--json")
    assert (done.returncode, orjson.loads(done.stdout)["findings"]) == (0, []), done.stderr
    path = tmp_path / "strategies" / "my_idea.py"
    path.write_text(path.read_text().replace("talib.EMA(close, 20)", "talib.EMA(close, 20).shift(-1)"))
    done = command(environment, tmp_path, "check", "my_idea", "candles")
    assert done.returncode == 1
    assert "look-ahead: ema20 (4h) " in done.stdout
    assert "found in" in done.stdout


@pytest.mark.skipif(not REAL_CANDLES.is_dir(), reason="no real candles")
def test_evaluate_follows_the_setups_of_a_strategy_with_indicators(environment: dict[str, str], tmp_path: Path) -> None:
    copy_candles(tmp_path)
    command(environment, tmp_path, "new", "my_idea")
    done = run("evaluate", "candles", "--strategy", "MyIdea", "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sum(orjson.loads(done.stdout)["strategies"]["MyIdea"]["outcomes"].values()) > 0


@pytest.mark.skipif(not REAL_CANDLES.is_dir(), reason="no real candles")
def test_scan_puts_indicators_into_the_feed_and_the_signal_table(environment: dict[str, str], tmp_path: Path) -> None:
    copy_candles(tmp_path)
    command(environment, tmp_path, "new", "my_idea")
    done = run("scan", "candles", "--as-of", "2026-01-19T17:00:00Z", env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    data = Path(environment["QUANT_DATA_DIR"])
    signals = orjson.loads((data / "master_feed.json").read_bytes())["signals"]
    (shown,) = (signal["observability"]["indicators"] for signal in signals if signal["strategy"] == "MyIdea")
    (table,) = (data / "lake" / "signals" / "my_idea").glob("*.parquet")
    (row,) = pd.read_parquet(table).to_dict("records")
    assert shown == {"ema20": row["own_ema20"], "distance_pct": row["own_distance_pct"]}
    assert all("indicators" not in signal["observability"] for signal in signals if signal["strategy"] != "MyIdea")
