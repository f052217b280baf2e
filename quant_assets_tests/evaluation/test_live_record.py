"""The live record: trades of published signals, followed scan by scan."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.evaluation import Costs, Prices, TradeRules, follow_setups, price_bars
from quant_assets.evaluation.live import (
    LiveRecord,
    Publications,
    load_live_record,
    save_live_record,
    update_live_record,
)
from quant_assets.evaluation.live.published import DTYPES
from quant_assets.evaluation.live.settle import CHANCE_MS, GIVEN_UP_MS
from quant_assets.evaluation.live.state import empty_live_record
from quant_assets.storage.lake import Lake
from quant_assets_tests.evaluation.markets import START, STEP, Bar, candles, random_bars

LIMIT_BARS = 20
RULES = {"Legacy": TradeRules(LIMIT_BARS * STEP, 0.5), "Breakout": TradeRules(LIMIT_BARS * STEP, 0.5)}
COSTS = Costs()
SYMBOLS = ("BTC", "ETH", "SOL")


def without_gaps(count: int, seed: int) -> list[Bar]:
    """Random bars, one for each quarter of an hour."""
    return [Bar(START + number * STEP, *bar[1:]) for number, bar in enumerate(random_bars(count, seed))]


BARS = {symbol: without_gaps(260, seed) for seed, symbol in enumerate(SYMBOLS)}


CANDLES = pd.concat([candles(bars, symbol=symbol) for symbol, bars in BARS.items()], ignore_index=True)


def prices_until(end_ms: int, table: pd.DataFrame = CANDLES) -> Prices:
    return Prices(price_bars(table[table["time_ms"] + STEP <= end_ms]), costs=COSTS)


def key_of(end_ms: int) -> str:
    return Window.last_complete(pd.Timestamp(end_ms, unit="ms", tz="UTC").to_pydatetime()).key


def setups_at(end_ms: int, seed: int = 0) -> pd.DataFrame:
    """Return the setups of a window: in runs of some windows, since a market's changes are rare."""
    rows = []
    for number, symbol in enumerate(SYMBOLS):
        for strategy in RULES:
            chance = np.random.default_rng([seed, number, len(strategy), (end_ms - START) // STEP // 5])
            side = chance.choice(["LONG", "SHORT", ""])
            bar = BARS[symbol][(end_ms - START) // STEP - 1]
            sign = 1 if side == "LONG" else -1
            if side and chance.random() < 0.7:
                rows.append(
                    published(
                        end_ms,
                        strategy,
                        symbol,
                        str(side),
                        bar.close * (1 - 0.03 * sign),
                        bar.close * (1 + 0.04 * sign),
                    )
                )
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(dict(DTYPES))


def published(
    end_ms: int, strategy: str, symbol: str, side: str, stop: float, target: float, **more: Any
) -> dict[str, Any]:
    return {
        "strategy": strategy,
        "exchange": "HYPERLIQUID",
        "symbol": symbol,
        "asset": symbol,
        "side": side,
        "source": "published",
        "hindsight": False,
        "oi_status": "resolved",
        "end_ms": end_ms,
        "published_at_ms": end_ms + 20_000,
        "deadline_ms": end_ms + LIMIT_BARS * STEP,
        "min_stop_pct": 0.5,
        "score": 60.0,
        "rr": 1.5,
        "stop": stop,
        "target": target,
        **more,
    }


def scan(record: LiveRecord, end_ms: int, setups: pd.DataFrame | None = None, **more: Any) -> LiveRecord:
    """Follow the window before, which was published, with the bars of this one, whose feed is about to be written."""
    before = end_ms - STEP
    new = Publications(
        frozenset({key_of(before)}), [setups_at(before) if setups is None else setups], setups_at(end_ms)
    )
    return update_live_record(record, new, more.get("prices") or prices_until(end_ms), lambda *_: {}, end_ms)


FIRST, LAST = START + 60 * STEP, START + 120 * STEP
SCANS = range(FIRST, LAST + 1, STEP)


@pytest.fixture(scope="module")
def records() -> list[LiveRecord]:
    """The record after each scan."""
    found = [empty_live_record()]
    for end_ms in SCANS:
        found.append(scan(found[-1], end_ms))
    return found


def as_replayed(until_ms: int, windows: range) -> pd.DataFrame:
    """Return the trades of the same setups, followed at once."""
    setups = pd.concat([setups_at(end_ms) for end_ms in windows], ignore_index=True)
    return follow_setups(setups.drop(columns=["deadline_ms", "min_stop_pct"]), prices_until(until_ms), RULES)


SAME = [
    "strategy",
    "symbol",
    "side",
    "entry_ms",
    "entry",
    "exit_ms",
    "exit",
    "outcome",
    "bars_held",
    "gross_r",
    "net_r",
]


def sorted_rows(trades: pd.DataFrame) -> pd.DataFrame:
    return trades[SAME].sort_values(["entry_ms", "strategy", "symbol"], ignore_index=True)


def test_trades_followed_scan_by_scan_are_those_followed_at_once(records: list[LiveRecord]) -> None:
    published_windows = range(FIRST - STEP, LAST, STEP)
    expected = as_replayed(LAST, published_windows)
    found = records[-1].trades
    found = found[found["published_at_ms"] > 0]
    assert len(found) > 15
    assert {"target", "stop", "expired", "open"} <= set(found["outcome"])
    pd.testing.assert_frame_equal(sorted_rows(found), sorted_rows(expected), check_dtype=False)


def test_final_trades_never_change(records: list[LiveRecord]) -> None:
    final = pd.DataFrame()
    for record in records[1:]:
        now = record.trades[record.trades["final"]]
        kept = now.merge(final[["strategy", "symbol", "entry_ms"]]) if len(final) else now.iloc[:0]
        assert len(kept) == len(final)
        if len(final):
            pd.testing.assert_frame_equal(kept, final.reset_index(drop=True))
        final = now.sort_values(["entry_ms", "strategy", "symbol"], ignore_index=True)
    assert len(final) > 8
    assert final["mature"].all()


def test_trade_that_ended_keeps_its_exit_until_it_is_settled(records: list[LiveRecord]) -> None:
    ended = {"target", "stop"}
    names = ["strategy", "symbol", "entry_ms"]
    for before, after in pairwise(records[1:]):
        rows = before.trades[before.trades["outcome"].isin(ended)]
        kept = rows.merge(after.trades, on=names, suffixes=("", "_after"))
        assert len(kept) == len(rows)
        assert (kept["exit"] == kept["exit_after"]).all()
        assert (kept["exit_ms"] == kept["exit_ms_after"]).all()


def test_only_trades_whose_limit_has_passed_are_mature(records: list[LiveRecord]) -> None:
    for end_ms, record in zip(SCANS, records[1:], strict=True):
        mature = record.trades[record.trades["mature"]]
        assert (mature["deadline_ms"] <= end_ms).all()
        counted = mature[mature["outcome"].isin(["target", "stop", "expired"])]
        late = record.trades[(record.trades["deadline_ms"] < end_ms) & ~record.trades["mature"]]
        assert late.empty
        assert counted["chance_r"].notna().all()


def test_setups_about_to_be_published_are_pending(records: list[LiveRecord]) -> None:
    shown = [record.trades[record.trades["published_at_ms"] == 0] for record in records[1:]]
    assert any(len(trades) for trades in shown)
    for end_ms, trades in zip(SCANS, shown, strict=True):
        assert set(trades["outcome"]) <= {"pending"}
        assert set(trades["entry_ms"]) <= {end_ms}
        assert not trades["final"].any()


def test_revised_bars_do_not_change_what_has_ended(records: list[LiveRecord]) -> None:
    revised = CANDLES.assign(high=CANDLES["high"] + 9, low=CANDLES["low"] - 9)
    after = scan(records[-1], LAST + STEP, prices=prices_until(LAST + STEP, revised)).trades
    before = records[-1].trades
    before = before[before["outcome"].isin(["target", "stop"])]
    kept = before.merge(after, on=["strategy", "symbol", "entry_ms"], suffixes=("", "_after"))
    assert len(kept) == len(before)
    assert (kept["exit"] == kept["exit_after"]).all()


def test_window_that_was_not_published_ends_an_episode() -> None:
    end_ms = START + 100 * STEP
    prices = prices_until(end_ms + 60 * STEP)
    rows = [published(end_ms + bars * STEP, "Legacy", "BTC", "LONG", 1.0, 500.0) for bars in (0, 1, 3)]
    both = [pd.DataFrame([row]).astype(dict(DTYPES)) for row in rows]
    new = Publications(frozenset(key_of(int(table["end_ms"].iloc[0])) for table in both), both)
    entries = update_live_record(empty_live_record(), new, prices, lambda *_: {}, end_ms).trades["entry_ms"]
    # The second window continues the first; the fourth begins an episode, but the trade is open.
    assert entries.tolist() == [end_ms]
    shorter = [table.assign(deadline_ms=table["end_ms"] + 2 * STEP) for table in both]
    new = Publications(new.windows, shorter)
    entries = update_live_record(empty_live_record(), new, prices, lambda *_: {}, end_ms).trades["entry_ms"]
    assert entries.tolist() == [end_ms, end_ms + 3 * STEP]


def test_late_windows_are_followed_apart() -> None:
    end_ms = START + 100 * STEP
    rows = [
        published(end_ms, "Legacy", "BTC", "LONG", 1.0, 500.0),
        published(end_ms + STEP, "Legacy", "BTC", "LONG", 1.0, 500.0, source="late"),
    ]
    tables = [pd.DataFrame([row]).astype(dict(DTYPES)) for row in rows]
    new = Publications(frozenset(map(key_of, (end_ms, end_ms + STEP))), tables)
    trades = update_live_record(
        empty_live_record(), new, prices_until(end_ms + 60 * STEP), lambda *_: {}, end_ms
    ).trades
    assert trades["source"].tolist() == ["published", "late"]


def test_markets_without_bars_wait_and_are_given_up_in_the_end(records: list[LiveRecord]) -> None:
    open_before = records[-1].trades.query("outcome == 'open' and symbol == 'ETH'")
    assert len(open_before)
    others = CANDLES[CANDLES["symbol"] != "ETH"]
    nothing = pd.DataFrame(columns=list(DTYPES)).astype(dict(DTYPES))
    waiting = scan(records[-1], LAST + STEP, nothing, prices=prices_until(LAST + STEP, others))
    same = waiting.trades.merge(open_before[["strategy", "symbol", "entry_ms"]])
    assert (same["outcome"] == "open").all()
    later_ms = int(open_before["deadline_ms"].max()) + GIVEN_UP_MS
    new = Publications(frozenset(), [])
    given_up = update_live_record(waiting, new, prices_until(LAST + STEP, others), lambda *_: {}, later_ms)
    same = given_up.trades.merge(open_before[["strategy", "symbol", "entry_ms"]])
    assert (same["outcome"] == "lost").all()
    assert same["final"].all()
    assert not same["mature"].any()


def test_random_entries_are_those_of_the_week_before(records: list[LiveRecord]) -> None:
    assert CHANCE_MS == 7 * 24 * 3_600_000
    early = next(record for record in records if record.trades["mature"].any())
    chance = early.trades.loc[early.trades["mature"], "chance_r"].reset_index(drop=True)
    last = records[-1].trades.loc[records[-1].trades["mature"], "chance_r"].reset_index(drop=True)
    pd.testing.assert_series_equal(last[: len(chance)], chance)


def test_broken_off_update_is_repeated_with_the_same_trades(records: list[LiveRecord], tmp_path: Path) -> None:
    before, after = records[-2], records[-1]
    lake = Lake(tmp_path)
    save_live_record(lake, LiveRecord(after.trades, after.episodes, before.windows))
    again = scan(load_live_record(lake), LAST)
    pd.testing.assert_frame_equal(again.trades, after.trades)
    save_live_record(lake, LiveRecord(after.trades, before.episodes, before.windows))
    again = scan(load_live_record(lake), LAST)
    pd.testing.assert_frame_equal(again.trades, after.trades)
