"""Strategies of the user's folder: how they are found, those of docs/strategies.md, and a migrated one."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import HTF, LTF
from quant_assets.common.windows import Window
from quant_assets.dashboard.own_charts import own_charts
from quant_assets.definitions import build_definitions
from quant_assets.orchestration.columns import lineage, signal_columns
from quant_assets.signals import MarketCandles, Strategy, check_strategy, discover_strategies
from quant_assets.signals.checking.verdicts import verdict_at
from quant_assets.signals.features.bars import MarketBars
from quant_assets_tests.signals.factories import WINDOW, candles, walk
from quant_assets_tests.signals.migrated_strategy import Migrated, populate_entry_trend, populate_indicators
from quant_assets_tests.signals.test_strategy_registry import code

DOCUMENT = Path(__file__).parents[2] / "docs" / "strategies.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
EXAMPLES = {found[1]: block for block in BLOCKS if (found := re.search(r'key = "(\w+)"', block))}
MARKET = ("MEXC", "AUSDT")
BARS = candles(MarketBars(*MARKET, walk(7, 1500), walk(8, 1500, HTF, 0.02)))


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def documented(folder: Path, key: str) -> Strategy:
    write(folder, key, EXAMPLES[key])
    found = discover_strategies(folder)
    assert found.problems == ()
    return next(strategy for strategy in found.strategies if strategy.key == key)


def test_file_of_the_folder_is_a_strategy_and_others_keep_working(tmp_path: Path) -> None:
    write(tmp_path, "mine", code().replace("mine = Mine()", "strategy = Mine()"))
    write(tmp_path, "broken", "import no_such_module_anywhere")
    write(tmp_path, "test_mine", "raise RuntimeError('a test is not loaded')")
    write(tmp_path, "_helper", "raise RuntimeError('a helper is not loaded')")
    found = discover_strategies(tmp_path)
    assert [strategy.key for strategy in found.strategies] == ["breakout", "breakout_v2", "legacy", "mine"]
    assert found.sources["mine"] == "file mine.py"
    assert found.sources["legacy"] == "built in"
    (problem,) = found.problems
    assert problem.startswith("file broken.py cannot be loaded: ModuleNotFoundError")
    assert "mine" not in [strategy.key for strategy in discover_strategies().strategies]


def test_same_file_name_in_another_folder_is_another_strategy(tmp_path: Path) -> None:
    for name in ("One", "Two"):
        folder = tmp_path / name
        folder.mkdir()
        write(folder, "mine", code(name).replace("mine = Mine()", "strategy = Mine()"))
        assert name in [strategy.name for strategy in discover_strategies(folder).strategies]


def test_folder_named_like_a_module_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, "legacy", code("Mine", "mine").replace("mine = Mine()", "strategy = Mine()"))
    assert [found.key for found in discover_strategies(tmp_path).strategies][-2:] == ["legacy", "mine"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("look_back = 20", "look_back: expected 50 to 1500 bars"),
        ("look_back = 2000", "look_back"),
        ("max_holding_minutes = 0", "max_holding_minutes"),
        ("steps = {'a': 0}", "steps"),
        ("own_indicators = {'Bad name': 1}", "own_indicators"),
    ],
)
def test_invalid_declaration_is_a_problem(tmp_path: Path, line: str, problem: str) -> None:
    text = code().replace("mine = Mine()", "strategy = Mine()").replace("    name = ", f"    {line}\n    name = ")
    write(tmp_path, "mine", text)
    (found,) = discover_strategies(tmp_path).problems
    assert problem in found


@pytest.mark.parametrize("key", ["supertrend", "macd_cross"])
def test_documented_strategy_passes_the_check(tmp_path: Path, key: str) -> None:
    report = check_strategy(documented(tmp_path, key), BARS, max_setups=2)
    assert [finding.text for finding in report.findings] == []
    assert report.moves


def test_graph_reads_candles_for_a_strategy_with_indicators_alone(tmp_path: Path) -> None:
    strategy = documented(tmp_path, "supertrend")
    graph = build_definitions(Settings(data_dir=tmp_path / "data", strategies_dir=tmp_path)).resolve_asset_graph()
    upstream = {
        key.to_user_string(): {dep.to_user_string() for dep in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert upstream["signals/supertrend"] == {"features", "candles"}
    assert upstream["signals/legacy"] == {"features"}
    assert upstream["watchlist"] == {"candle_features", "candles"}
    assert "signals/supertrend" in upstream["master_feed"]
    columns = signal_columns(strategy)
    assert columns["own_supertrend"] == (
        "float64",
        "Own indicator, empty if unknown. Supertrend line of 15m bars, price.",
    )
    made_from = lineage(strategy)["dagster/column_lineage"].column_lineage.deps_by_column
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in made_from["own_supertrend"]} == {
        ("candles", name) for name in ("open", "high", "low", "close", "volume")
    }


def test_charts_hold_the_series_by_title_and_timeframe(tmp_path: Path) -> None:
    strategy = documented(tmp_path, "macd_cross")
    market = BARS[["timeframe", "time_ms", "open", "high", "low", "close", "volume"]]
    (chart,) = own_charts([strategy], market, WINDOW, {LTF: 192, HTF: 150})
    assert (chart["strategy"], chart["chart"], chart["timeframe"]) == ("MacdCross", "MACD 4h", "4h")
    assert list(chart["series"]) == ["macd", "macd_signal"]
    assert len(chart["time"]) == len(chart["series"]["macd"]) == 150
    last = MarketCandles(BARS).closed_bars(MARKET, WINDOW.end_ms, 1)[HTF].index[-1]
    assert chart["time"][-1] == int(last.timestamp() * 1000)


def test_chart_of_a_failing_indicator_says_why(tmp_path: Path) -> None:
    write(tmp_path, "macd_cross", EXAMPLES["macd_cross"].replace("is_above = ", "is_above = 1 / 0 or "))
    (strategy,) = [found for found in discover_strategies(tmp_path).strategies if found.key == "macd_cross"]
    (chart,) = own_charts([strategy], BARS, WINDOW, {LTF: 192, HTF: 150})
    assert (chart["chart"], chart["series"]) == ("MACD 4h", {})
    assert chart["problem"] == "ZeroDivisionError: division by zero"


def test_migrated_strategy_enters_where_the_freqtrade_one_does() -> None:
    strategy = Migrated()
    bars: dict[str, Any] = MarketCandles(BARS).closed_bars(MARKET, WINDOW.end_ms, 1500)
    frame = populate_entry_trend(populate_indicators(bars[LTF], bars[HTF]))
    entries = np.flatnonzero(frame["enter_long"].to_numpy()[-1000:])[-5:] + len(frame) - 1000
    assert len(entries) == 5
    for row in [*entries, *(entries - 1)]:
        closed_at = pd.DatetimeIndex(frame.index)[row] + timedelta(minutes=15)
        verdict = verdict_at(strategy, MARKET, bars, Window(closed_at.to_pydatetime()))
        assert (verdict.action == "LONG") == bool(frame["enter_long"].iloc[row])
