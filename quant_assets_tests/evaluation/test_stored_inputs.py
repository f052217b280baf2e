"""What an evaluation takes from the data folder: derivatives of windows, and since when markets are selected."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.evaluation import Costs, Evaluation, Prices, StoredInputs, evaluate, price_bars, stored_inputs
from quant_assets.evaluation.setups import replay_setups, setups_of
from quant_assets.evaluation.stored_inputs import stored_derivatives
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import candle_features_table, discover_strategies, join_features, run_strategy, with_values
from quant_assets.signals.replay import WindowInputs, markets_of
from quant_assets.storage.lake import Lake
from quant_assets_tests.signals.factories import WINDOW, random_candles
from quant_assets_tests.signals.random_markets import Market, inputs, walk
from quant_assets_tests.signals.reference_comparison import candles, derivatives, symbol_map
from quant_assets_tests.signals.reference_inputs import HTF_MS, LTF_MS
from quant_assets_tests.signals.replay_comparison import windows_until

STRATEGIES = with_values(
    discover_strategies().strategies,
    {"legacy": {"threshold": 45.0}, "breakout": {"max_distance": 0.2, "min_rr": 0.3}},
    Path("test"),
)
WINDOWS = windows_until(WINDOW, 12)
#: Windows with tables of their own: none is stored before the third.
STORED = (2, 3, 7)
NAMES = ["exchange", "symbol", "end_ms", "side", "score", "stop", "target"]


def market(seed: int) -> Market:
    rng = random.Random(seed)
    ltf, htf = (walk(rng, 260, 100.0, length, WINDOW.end_ms - length) for length in (LTF_MS, HTF_MS))
    return Market(f"R{seed}USDT", ltf, htf, inputs(rng, WINDOW.end_ms))


MARKETS = [market(seed) for seed in range(10, 30)]


def known(window: Window, seed: int) -> dict[str, pd.DataFrame]:
    rng = random.Random(f"{window.key} {seed}")
    some = [Market(one.symbol, one.ltf, one.htf, inputs(rng, window.end_ms)) for one in MARKETS]
    return derivatives(some, window)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with the derivatives of some windows, and a damaged table."""
    lake = Lake(tmp_path)
    lake.write(["symbol_map"], None, symbol_map(MARKETS))
    for number in STORED:
        for dataset, table in known(WINDOWS[number], number).items():
            lake.write([dataset], WINDOWS[number].key, table)
    Path(lake.describe(["funding_rate"], WINDOWS[7].key)).write_bytes(b"broken")
    return lake


def test_setups_are_those_of_each_window_with_what_was_stored_by_then(lake: Lake) -> None:
    table = candles(MARKETS)
    stored = stored_inputs(lake, ResolutionRules(), markets_of(table))
    inputs_of = WindowInputs.of(markets_of(table), WINDOWS, stored.derivatives, stored.symbol_map)
    found, _ = replay_setups(table, inputs_of, STRATEGIES)
    neutral, _ = replay_setups(table, WindowInputs.of(markets_of(table), WINDOWS), STRATEGIES)
    expected = []
    for window in WINDOWS:
        tables = {name: lake.newest_undamaged([name], window.key) for name in known(WINDOWS[0], 0)}
        features = join_features(candle_features_table(table, window), symbol_map(MARKETS), tables, window)
        for strategy in STRATEGIES:
            setups = setups_of(run_strategy(strategy, features).assign(window_end_ms=window.end_ms))
            status = dict(zip(features["symbol"], features["oi_status"], strict=True))
            expected.append(setups.assign(oi_status=setups["symbol"].map(status)))
    order = ["strategy", "exchange", "symbol", "end_ms"]
    both = [
        each.sort_values(order, ignore_index=True)[[*order, "side", "score", "stop", "target", "oi_status"]]
        for each in (found, pd.concat(expected))
    ]
    pd.testing.assert_frame_equal(*both, check_dtype=False, check_categorical=False)
    assert inputs_of.count_known(WINDOWS[0]) == len(WINDOWS) - STORED[0]
    assert inputs_of.count_known(WINDOWS[-1]) == 1
    assert len(found) > 20
    assert found["score"].sum() != pytest.approx(neutral["score"].sum())


def test_windows_before_the_first_stored_one_know_nothing(lake: Lake) -> None:
    tables = stored_derivatives(lake)(WINDOWS)
    assert [sorted(found) == [] for found in tables] == [True] * 2 + [False] * 10


def test_hindsight_is_apart() -> None:
    table = random_candles(6, ltf_bars=310, htf_bars=220)
    first, last = (Window(WINDOW.end - timedelta(hours=hours)) for hours in (60, 5))
    selected_ms = first.end_ms + 10 * 3_600_000
    since = {("BINANCE", "M001USDT"): 0.0, **{key: float(selected_ms) for key in markets_of(table)[2:]}}

    def evaluated(stored: StoredInputs) -> Evaluation:
        prices = Prices(price_bars(table), costs=Costs())
        return evaluate(table, prices, STRATEGIES[:3], first, last, ResolutionRules(), stored)

    found, whole = evaluated(StoredInputs(selected_since_ms=since)), evaluated(StoredInputs())
    assert len(found.trades) == len(whole.trades)
    is_later = found.trades["symbol"].isin([symbol for _, symbol in markets_of(table)[2:]])
    expected = is_later & (found.trades["entry_ms"] < selected_ms)
    assert list(found.trades["hindsight"]) == list(expected)
    assert 0 < expected.sum() < len(expected)
    assert [name for name in whole.records if "hindsight" in name] == []
    apart = [found.records[name] for name in ("Legacy", "Legacy (hindsight)")]
    counts = [sum(record["outcomes"].values()) for record in apart]
    assert min(counts) > 0
    assert sum(counts) == sum(whole.records["Legacy"]["outcomes"].values())
    assert sum(record["n"] for record in apart) == whole.records["Legacy"]["n"] > 0
    assert set(found.trades_apart["strategy"]) <= set(found.records)
