"""The command `strategy tune`: its summary, what it writes, and what it refuses."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pandas as pd
import pytest

from quant_assets.common.settings import Settings
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot
from quant_assets.signals import strategies_in_force
from quant_assets.storage.lake import Lake
from quant_assets_tests.evaluation.tuned_strategy import DAY_MS, START_MS, walking_candles
from quant_assets_tests.forking import run, run_process

SYMBOLS = ("M0USDT", "M1USDT", "M2USDT", "M3USDT")
NOON = "from quant_assets_tests.evaluation.tuned_strategy import Noon\n\nstrategy = Noon()\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with candle files of four markets and the strategy Noon."""
    made = tmp_path_factory.mktemp("tuned")
    for name in ("candles", "strategies"):
        (made / name).mkdir()
    (made / "strategies" / "noon.py").write_text(NOON)
    for (symbol, timeframe), rows in walking_candles(18, edge=0.008).groupby(["symbol", "timeframe"]):
        bars = rows.rename(columns={"time_ms": "time"})[["time", "open", "high", "low", "close", "volume"]]
        file = made / "candles" / f"BINANCE_{symbol}_{timeframe}.json"
        file.write_bytes(orjson.dumps(bars.to_dict("records")))
    return made


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUANT", "COINALYZE"))}
    return {**kept, "QUANT_DATA_DIR": str(tmp_path / "data")}


def tune(folder: Path, environment: dict[str, str], *options: str) -> CompletedProcess[str]:
    return run("strategy", "tune", "noon", "candles", *options, env=environment, cwd=folder)


def test_summary_is_json_of_the_unseen_part(folder: Path, environment: dict[str, str]) -> None:
    done = tune(folder, environment, "--folds", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = orjson.loads(done.stdout)
    assert (found["strategy"], found["markets"], found["trials"], found["combinations"]) == ("Noon", 4, 6, 6)
    assert found["ranges"] == {"distance_pct": {"min": 0.6, "max": 1.6, "step": 0.2, "values": 6}}
    assert found["unseen"]["too_few"] is True
    assert found["beats_chance"] is False
    assert found["reasons"][0].startswith("too few to say")
    assert 0 <= found["deflated_sharpe"] <= 1
    assert [fold["chosen"] for fold in found["folds"]] == [False, False]  # under 30 trades in the past
    assert found["choice"].keys() == {"distance_pct"}
    assert found["written"] is None
    assert not Path(environment["QUANT_DATA_DIR"]).exists()


def test_funding_and_hindsight_are_those_of_evaluate(folder: Path, environment: dict[str, str]) -> None:
    data = Path(environment["QUANT_DATA_DIR"])
    before = tune(folder, environment, "--folds", "2", "--json")
    write_funding(data)
    selected = pd.DataFrame({"exchange": "BINANCE", "symbol": [*SYMBOLS], "selected_since_ms": START_MS + 14 * DAY_MS})
    Lake(data / "lake").write(["exchange_markets"], None, selected)
    done = tune(folder, environment, "--folds", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = orjson.loads(done.stdout)
    first, last = found["folds"][0]["unseen_from"], found["folds"][-1]["unseen_to"]
    options = ("--strategy", "noon", "--from", first, "--to", last, "--json")
    evaluated = run("evaluate", "candles", *options, env=environment, cwd=folder)
    assert evaluated.returncode == 0, evaluated.stderr
    records = orjson.loads(evaluated.stdout)["strategies"]
    counts = {name: record["n"] for name, record in records.items()}
    assert found["unseen_hindsight"] == counts["Noon (hindsight)"] > 0
    in_force = found["unseen_in_force"]
    assert in_force["n"] == sum(counts.values())
    mean = sum(record["mean_r"] * record["n"] for record in records.values()) / in_force["n"]
    assert in_force["mean_r"] == pytest.approx(mean)
    assert in_force["mean_r"] < orjson.loads(before.stdout)["unseen_in_force"]["mean_r"] - 0.05
    assert "(hindsight)" in tune(folder, environment, "--folds", "2").stdout


def write_funding(data: Path) -> None:
    """Store a funding rate of 0.2 % for every eight hours of the candles."""
    times = range(START_MS, START_MS + 18 * DAY_MS, DAY_MS // 3)
    rates = [
        ExchangeSnapshot(
            exchange="BINANCE",
            symbol=symbol,
            closed_at_ms=at_ms,
            observed_at_ms=at_ms,
            open_interest=None,
            funding_rate_pct=0.2,
            interval_hours=8.0,
            simulated=False,
        )
        for at_ms in times
        for symbol in SYMBOLS
    ]
    data.mkdir()
    with closing(DerivativesStore(Settings(data_dir=data).store_path)) as store:
        store.add_snapshots(rates)


def test_tables_say_plainly_that_nothing_beats_chance(folder: Path, environment: dict[str, str]) -> None:
    done = tune(folder, environment, "--folds", "2")
    assert done.returncode == 0, done.stderr
    assert "Nothing beats chance: too few to say" in done.stdout
    assert "6 trials of 6 combinations (distance_pct 0.6 to 1.6)" in done.stdout


def test_written_choice_keeps_the_rest_of_the_file(folder: Path, environment: dict[str, str]) -> None:
    file = Path(environment["QUANT_DATA_DIR"]) / "strategies.toml"
    file.parent.mkdir()
    rest = "# mine\n[legacy]\nthreshold = 65  # lower\n\n[noon]\nmin_stop_pct = 0.25\n"
    file.write_text(rest)
    done = tune(folder, environment, "--folds", "2", "--range", "distance_pct=1:1.4:0.2", "--write")
    assert done.returncode == 0, done.stderr
    assert f"written: {file}" in done.stdout
    assert "although nothing beats chance" in done.stderr
    assert file.read_text().startswith(rest)
    noon = next(one for one in strategies_in_force(file, folder / "strategies") if one.key == "noon")
    assert getattr(noon, "distance_pct") in {1.0, 1.2, 1.4}  # noqa: B009 - the base class has no such field


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--range", "distance=1:2"], "unknown parameter 'distance'; numbers of Noon are min_stop_pct, distance_pct"),
        (["--range", "distance_pct=2:1"], "expected MIN up to MAX, within 0.6 to 1.6"),
        (["--folds", "20"], "--folds 20 with a gap of 12 hours needs entries of 40.0 days, and there are 12."),
        (["--from", "2026-01-10", "--to", "2026-01-09"], "--from 2026-01-10 is after --to 2026-01-09"),
        (["--symbol", "DOGE"], "No market with candles matches --symbol 'DOGE'"),
        (["--trials", "1"], "--trials"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_option_is_refused(folder: Path, environment: dict[str, str], options: list[str], says: str) -> None:
    done = tune(folder, environment, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_unknown_strategy_is_refused_with_those_there_are(folder: Path, environment: dict[str, str]) -> None:
    done = run("strategy", "tune", "afternoon", "candles", env=environment, cwd=folder)
    assert done.returncode == 2
    assert "Unknown strategy afternoon: expected Breakout, BreakoutV2, Legacy, Noon" in done.stderr


def test_optuna_suggests_the_combinations_of_a_large_search(folder: Path, environment: dict[str, str]) -> None:
    ranges = ("--range", "distance_pct=0.6:1.6:0.01", "--range", "min_stop_pct=0:0.5:0.01")
    options = (*ranges, "--folds", "2", "--trials", "12", "--json")
    optuna, random = (
        orjson.loads(tune(folder, environment, *options, *more).stdout) for more in (("--sampler", "optuna"), ())
    )
    assert (optuna["trials"], random["trials"]) == (12, 12)
    assert optuna["combinations"] == 101 * 51


def test_missing_optuna_is_named_with_what_installs_it(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "optuna.py").write_text("raise ModuleNotFoundError('no', name='optuna')\n")
    options = ("--range", "distance_pct=0.6:1.6:0.001", "--folds", "2", "--trials", "12", "--sampler", "optuna")
    env = {**environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = run_process("strategy", "tune", "noon", "candles", *options, env=env, cwd=folder)
    assert done.returncode == 2
    assert "--sampler optuna needs optuna: install quant-assets[tune]" in done.stderr
