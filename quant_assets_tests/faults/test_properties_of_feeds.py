"""Properties of every feed, from candle files of generated and real markets to its last byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from quant_assets.candles import read_candles
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets_tests.faults.folders import (
    STRATEGIES,
    WINDOW,
    content_of,
    feed_of,
    files_of,
    made,
    real_files,
    write_files,
)
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.signals.reference_inputs import Bar
from quant_assets_tests.signals.wedge_markets import wedge_market
from quant_assets_tests.world import cut_candles

MARKETS = made(rounds(60, 600))
LARGEST, SMALLEST = 1e18, 5e-324


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("made"), files_of(MARKETS))


@pytest.fixture(scope="module")
def feed(folder: Path) -> dict[str, Any]:
    return feed_of(folder, MARKETS)


def test_order_of_files_and_bars_changes_no_byte_of_the_feed(
    folder: Path, feed: dict[str, Any], tmp_path: Path
) -> None:
    rng = seeded_random("order")
    files = list(files_of(MARKETS).items())
    rng.shuffle(files)
    shuffled = {}
    for name, content in files:
        bars = orjson.loads(content)
        rng.shuffle(bars)
        shuffled[name] = orjson.dumps(bars)
    markets = rng.sample(MARKETS, len(MARKETS))
    assert orjson.dumps(feed_of(write_files(tmp_path / "shuffled", shuffled), markets)) == orjson.dumps(feed)


def test_same_folder_gives_the_same_bytes_with_and_without_known_tables(folder: Path, feed: dict[str, Any]) -> None:
    assert orjson.dumps(feed_of(folder, MARKETS)) == orjson.dumps(feed)
    assert orjson.dumps(feed_of(folder, MARKETS, known=read_candles(folder))) == orjson.dumps(feed)


def test_same_real_folder_gives_the_same_bytes_in_any_order(
    tmp_path: Path,
) -> None:
    files = real_files(rounds(25, 200))
    first = feed_of(write_files(tmp_path / "first", files))
    shuffled = dict(seeded_random("real order").sample(list(files.items()), len(files)))
    again = feed_of(write_files(tmp_path / "again", shuffled))
    assert len(first["signals"]) >= 60
    assert orjson.dumps(again) == orjson.dumps(first)


def test_signals_of_a_market_do_not_depend_on_other_markets(feed: dict[str, Any], tmp_path: Path) -> None:
    rng = seeded_random("others")
    for turn in range(rounds(3, 12)):
        some = rng.sample(MARKETS, rng.randint(1, len(MARKETS) // 2))
        found = feed_of(write_files(tmp_path / str(turn), files_of(some)), MARKETS)
        symbols = {market.symbol for market in some}
        assert found["signals"] == [signal for signal in feed["signals"] if signal["symbol"] in symbols]


def test_files_cut_at_the_windows_end_give_the_same_signal_bytes(folder: Path, tmp_path: Path) -> None:
    rng = seeded_random("windows")
    for turn in range(rounds(4, 8)):
        window = Window(WINDOW.end - rng.randrange(400) * WINDOW_LENGTH)
        cut = tmp_path / str(turn)
        cut_candles(folder, cut, window.end_ms)
        whole = feed_of(folder, window=window)
        assert whole["signals"]
        assert orjson.dumps(feed_of(cut, window=window)["signals"]) == orjson.dumps(whole["signals"])


def test_stop_entry_and_target_of_every_setup_are_in_order(tmp_path: Path) -> None:
    """Uses wedges that break out, since BreakoutV2 gives setups in few other markets."""
    wedges = [wedge_market(seed, WINDOW.end_ms) for seed in range(rounds(120, 1_500))]
    markets = sorted([*MARKETS, *(replace(m, symbol=f"V{m.symbol}") for m in wedges)], key=lambda m: m.symbol)
    found = feed_of(write_files(tmp_path / "wedges", files_of(markets)), markets)
    seen = set()
    for signal in found["signals"]:
        setup = signal["setup"]
        assert (signal["action"] == "WAIT") == (setup is None)
        if setup is None:
            assert signal["details"]["reason"]
            continue
        assert (signal["entry"], signal["stop_loss"], signal["take_profit"]) == (
            *(setup["entry"], setup["sl"], setup["tp"]),
        )
        assert setup["side"] == signal["action"] == signal["bias"]
        assert setup["entry"] == signal["price"]
        order = [setup["sl"], setup["entry"], setup["tp"]]
        assert min(order) > 0.0
        assert order == sorted(order, reverse=setup["side"] == "SHORT")
        assert len(set(order)) == 3
        reward, risk = abs(setup["tp"] - setup["entry"]), abs(setup["entry"] - setup["sl"])
        assert setup["rr"] == signal["rr"] == pytest.approx(reward / risk, rel=1e-6)
        seen.add(signal["strategy_name"])
    assert seen == {strategy.name for strategy in STRATEGIES}


def test_extreme_numbers_give_a_feed_that_matches_the_schema(tmp_path: Path) -> None:
    """From the smallest float to the largest accepted number, in whole markets or in single bars."""
    rng = seeded_random("numbers")
    scales = (SMALLEST, 1e-310, 1e-300, 1e-150, 1e-20, 1e-8, 1.0, 1e5, 1e12, LARGEST)
    files: dict[str, bytes] = {}
    for number in range(rounds(60, 2_000)):
        market = rng.choice(MARKETS)
        top = max(bar.high for bar in (*market.ltf, *market.htf))
        of_market, share = rng.choice(scales) / top, rng.choice((0.0, 0.05, 1.0))

        def extreme(bar: Bar) -> Bar:
            factor = rng.choice(scales) / top if rng.random() < share else of_market  # noqa: B023
            prices = [min(max(price * factor, SMALLEST), LARGEST) for price in bar[1:5]]
            volume = rng.choice((bar.volume, bar.volume, 0.0, SMALLEST, LARGEST))
            return Bar(bar.time_ms, prices[0], max(prices), min(prices), prices[3], volume)

        for timeframe, bars in (("15m", market.ltf), ("4h", market.htf)):
            files[f"MADE_X{number}USDT_{timeframe}.json"] = content_of(map(extreme, bars))
    found = feed_of(write_files(tmp_path / "extreme", files))
    assert found["stats"]["skipped"] == {}
    assert len(found["signals"]) == len(files) // 2 * len(STRATEGIES)
