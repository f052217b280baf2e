"""The command `evaluate`: its summary, its files, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pandas as pd
import pytest

from quant_assets_tests.forking import run
from quant_assets_tests.world import World

KEYS = [
    *("n", "days", "asset_days", "too_few", "win_share", "win_interval", "mean_r", "mean_r_interval", "median_r"),
    *("profit_factor", "edge_r", "edge_r_interval", "score_rank_correlation", "score_rank_interval", "quartiles"),
    *("outcomes", "ambiguous_share", "bars_held_mean", "max_drawdown_r"),
]


def evaluate(world: World, *options: str, hours: int = 3) -> CompletedProcess[str]:
    first = world.window.end - timedelta(hours=hours)
    given = () if "--from" in options else ("--from", first.isoformat())
    environment = world.environment()
    return run("evaluate", str(world.candles), *given, *options, env=environment, cwd=world.folder)


def test_summary_has_the_record_of_each_strategy(world: World) -> None:
    done = evaluate(world, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = orjson.loads(done.stdout)
    counts = ["markets", "windows", "market_windows", "windows_with_derivatives"]
    assert list(found) == ["from", "to", *counts, "seconds", "costs", "strategies"]
    assert found["windows"] == 3 * 4 + 1  # those before the range are only followed into it
    assert list(found["strategies"]) == ["Breakout", "BreakoutV2", "Legacy"]
    for record in found["strategies"].values():
        assert set(KEYS) <= set(record)
    assert found["costs"] == {"fee_pct": 0.05, "slippage_pct": 0.02}
    assert not (Path(world.environment()["QUANT_DATA_DIR"])).exists()  # nothing is stored


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_trades_are_written_with_the_parameters_and_costs_in_force(world: World, tmp_path: Path, suffix: str) -> None:
    data = Path(world.environment()["QUANT_DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    (data / "evaluation.toml").write_text("fee_pct = 0.0\nslippage_pct = 0.0\n")
    file = tmp_path / f"trades{suffix}"
    done = evaluate(world, "--strategy", "legacy", "--set", "legacy.threshold=60", "--trades", str(file), hours=40)
    assert done.returncode == 0, done.stderr
    assert "Legacy" in done.stdout
    assert str(file) in done.stdout
    trades = pd.read_csv(file) if suffix == ".csv" else pd.read_parquet(file)
    assert set(trades["strategy"]) == {"Legacy"}
    assert 60 <= trades["score"].min() < 70  # the threshold without --set
    ended = trades[trades["outcome"].isin(["stop", "target"])]
    assert len(ended)
    assert (ended["gross_r"] == ended["net_r"]).all()  # no funding is known


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "legacy"], "Invalid --set 'legacy': expected STRATEGY.PARAMETER=VALUE, e.g. legacy.threshold=65"),
        (["--set", "legacy.treshold=65"], "legacy.treshold: unknown key; known are"),
        (["--set", "legacy.threshold=high"], "legacy.threshold"),
        (["--set", "legazy.threshold=65"], "legazy: unknown key; known are"),
        (["--strategy", "momentum"], "Unknown strategy momentum"),
        (["--from", "yesterday"], "--from: Invalid timestamp 'yesterday'"),
        (["--from", "2026-01-10", "--to", "2026-01-09"], "--from 2026-01-10 is after --to 2026-01-09"),
        (["--trades", "trades.txt"], "--trades trades.txt must be a .parquet or .csv file in a folder that exists"),
        (["--exchange", "Bynance"], "No market with candles matches --exchange 'Bynance'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_option_is_refused_with_what_would_be_right(world: World, options: list[str], says: str) -> None:
    done = evaluate(world, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_invalid_costs_name_file_and_key(world: World) -> None:
    data = Path(world.environment()["QUANT_DATA_DIR"])
    data.mkdir(parents=True, exist_ok=True)
    (data / "evaluation.toml").write_text("fee = 0.1\n")
    done = evaluate(world)
    assert done.returncode == 2
    assert "evaluation.toml: fee: unknown key; known are fee_pct, slippage_pct" in done.stderr


@pytest.mark.parametrize(
    "command", [("evaluate",), ("strategy", "tune", "legacy"), ("plan",)], ids=lambda words: words[-1]
)
def test_folder_without_a_readable_file_is_refused(world: World, tmp_path: Path, command: tuple[str, ...]) -> None:
    for timeframe in ("15m", "4h"):
        (tmp_path / f"BINANCE_BTCUSDT_{timeframe}.json").write_text('[{"time": 17688')
    done = run(*command, str(tmp_path), env=world.environment("unreadable"), cwd=world.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no candle file of {tmp_path} can be read (2 skipped" in done.stderr
