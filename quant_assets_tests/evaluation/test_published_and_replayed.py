"""Five days of published signals of real strategies: the trades are those of a replay, and differences have causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.candles import read_scannable_candles
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.emulator import SimulatedUniverse, simulated_universe, write_candle_files
from quant_assets.evaluation import Prices, TradeRules, follow_setups, price_bars
from quant_assets.evaluation.live import (
    AGREES,
    LiveRecord,
    Publications,
    Stored,
    compare_with_replay,
    update_live_record,
)
from quant_assets.evaluation.live.agreement import Cause
from quant_assets.evaluation.live.published import DTYPES
from quant_assets.evaluation.live.state import empty_live_record
from quant_assets.evaluation.setups import replay_setups
from quant_assets.evaluation.trades import with_rules
from quant_assets.signals import candle_features_table, discover_strategies
from quant_assets.signals.replay import WindowInputs, markets_of
from quant_assets_tests.faults.seeding import LONG

END = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)
STRATEGIES = discover_strategies().strategies
RULES = {strategy.name: TradeRules.of(strategy) for strategy in STRATEGIES}
WINDOWS = [Window(END - back * WINDOW_LENGTH) for back in reversed(range(5 * 96))]
#: Windows between two scans; in the long form every window is scanned.
EVERY = 1 if LONG else 24
STEP = 15 * 60_000


@dataclass(frozen=True)
class FiveDays:
    candles: pd.DataFrame
    setups: pd.DataFrame
    record: LiveRecord

    @property
    def prices(self) -> Prices:
        return Prices(price_bars(self.candles))

    @property
    def settled(self) -> pd.DataFrame:
        trades = self.record.trades
        is_settled = trades["mature"] & trades["outcome"].isin(["target", "stop"])
        return trades[is_settled & (trades["entry_ms"] > WINDOWS[0].end_ms)].reset_index(drop=True)


def published(setups: pd.DataFrame) -> pd.DataFrame:
    return with_rules(setups, RULES).assign(
        asset=setups["symbol"],
        source="published",
        hindsight=False,
        oi_status="neutral",
        published_at_ms=setups["end_ms"] + 20_000,
    )


def followed(candles: pd.DataFrame, setups: pd.DataFrame, windows: Sequence[Window]) -> LiveRecord:
    """Scan again and again, each time with the bars that had closed and the windows that were published before."""
    record, by_window = empty_live_record(), dict(list(published(setups).groupby("end_ms")))
    for start in range(0, len(windows), EVERY):
        some = windows[start : start + EVERY]
        tables = [by_window[window.end_ms].reset_index(drop=True) for window in some if window.end_ms in by_window]
        end_ms = some[-1].end_ms + STEP
        bars = price_bars(candles[(candles["time_ms"] + STEP <= end_ms) & (candles["timeframe"] == "15m")])
        new = Publications(frozenset(window.key for window in some), tables)
        record = update_live_record(record, new, Prices(bars), lambda *_: {}, end_ms)
    return record


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> FiveDays:
    folder = tmp_path_factory.mktemp("candles")
    universe = simulated_universe()
    few = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[::10])
    write_candle_files(few, folder, END + WINDOW_LENGTH)
    candles = read_scannable_candles(Path(folder)).bars
    setups, _ = replay_setups(candles, WindowInputs.of(markets_of(candles), WINDOWS), STRATEGIES)
    return FiveDays(candles, setups, followed(candles, setups, WINDOWS))


def compare(days: FiveDays, trades: pd.DataFrame, **changes: Any) -> list[Cause]:
    """Compare trades with a replay; by default all that is stored is what was published from."""
    given: dict[str, Any] = {
        "candles": days.candles,
        "prices": days.prices,
        "strategies": STRATEGIES,
        "published_windows": {window.key for window in WINDOWS},
        "stored": Stored(lambda _: {}, lambda window: candle_features_table(days.candles, window), pd.DataFrame()),
        **changes,
    }
    found = compare_with_replay(trades, **given)
    assert len(found) == min(len(trades), 5)
    agree = found[found["replay"] == AGREES]
    np.testing.assert_allclose(agree["replay_r"], agree["gross_r"])
    return [Cause(each) for each in found["replay"] if each != AGREES]


def test_trades_of_five_days_are_those_of_a_replay(days: FiveDays) -> None:
    names = ["strategy", "exchange", "symbol", "side", "entry_ms", "entry", "exit_ms", "exit", "outcome", "gross_r"]
    order = ["entry_ms", "strategy", "exchange", "symbol"]
    expected = follow_setups(days.setups, days.prices, RULES)
    found = days.record.trades
    assert len(found) > 15
    assert found["mature"].sum() > 5
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True)[names],
        expected.sort_values(order, ignore_index=True)[names],
        check_dtype=False,
    )
    assert set(DTYPES) - {"end_ms", "min_stop_pct"} <= set(found.columns)


def test_replay_of_what_was_published_agrees(days: FiveDays) -> None:
    assert len(days.settled) > 0
    assert compare(days, days.settled) == []


def test_missed_scan_is_named_as_the_cause(days: FiveDays) -> None:
    names = ["strategy", "exchange", "symbol", "side"]
    next_window = days.setups.assign(entry_ms=days.setups["end_ms"] - STEP)[[*names, "entry_ms"]]
    first = days.settled.merge(next_window, on=[*names, "entry_ms"]).iloc[0]  # its episode has two windows or more
    missed = int(first["entry_ms"])
    windows = [window for window in WINDOWS if window.end_ms != missed]
    near = [window for window in windows if abs(window.end_ms - missed) < 50 * STEP]
    trades = followed(days.candles, days.setups[days.setups["end_ms"] != missed], near).trades
    after = trades[(trades["entry_ms"] == missed + STEP) & (trades["strategy"] == first["strategy"])]
    after = after[(after["symbol"] == first["symbol"]) & (after["exchange"] == first["exchange"])]
    assert compare(days, after, published_windows={window.key for window in windows}) == [Cause.MISSED_SCAN]


def test_revised_bars_are_named_as_the_cause(days: FiveDays) -> None:
    one = days.settled.head(1)
    moved = one.assign(exit=one["exit"] * 1.01)
    assert compare(days, moved) == [Cause.REVISED_BARS]


def test_another_setup_has_candles_or_derivatives_as_the_cause(days: FiveDays) -> None:
    other = days.settled.head(1).assign(stop=lambda trades: trades["stop"] * 1.01)
    assert compare(days, other) == [Cause.DERIVATIVES]

    def revised(window: Window) -> pd.DataFrame:
        table = candle_features_table(days.candles, window)
        return table.assign(htf_rsi=table["htf_rsi"] + 5.0)

    stored = Stored(lambda _: {}, revised, pd.DataFrame())
    assert compare(days, other, stored=stored) == [Cause.CANDLES]
    assert compare(days, other, stored=replace(stored, candle_features=lambda _: None)) == [Cause.CANDLES]
