"""Test the demo's candle files: their format, and their intended defects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import orjson
import pytest

from quant_assets.emulator import write_candle_files
from quant_assets.emulator.candle_files import candle_file

UNTIL = datetime(2026, 1, 19, 17, 5, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(universe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("candles")
    write_candle_files(universe, folder, UNTIL)
    return folder


def bars_of(folder, name):
    return orjson.loads((folder / name).read_bytes())


def test_every_scanned_market_has_both_files_and_the_folder_has_the_marker(folder, universe):
    names = {path.name for path in folder.iterdir()}
    assert ".simulated" in names
    for one in universe.scanned:
        assert {f"{one.exchange}_{one.symbol}_15m.json", f"{one.exchange}_{one.symbol}_4h.json"} <= names
    assert len(names) == 2 * len(universe.scanned) + 1


def test_bar_has_the_fields_of_a_scraped_file(folder):
    bars = bars_of(folder, "BINANCE_BTCUSDT_15m.json")
    assert list(bars[0]) == ["time", "open", "high", "low", "close", "volume"]
    times = [bar["time"] for bar in bars]
    assert times == list(range(times[0], times[-1] + 1, 900_000))


def test_most_markets_have_a_long_history_up_to_the_bar_in_progress(folder, universe):
    opened = int(UNTIL.timestamp()) // 900 * 900_000
    long = [
        one
        for one in universe.scanned
        if f"{one.exchange}_{one.symbol}" != "KUCOIN_DASHUSDTM"
        for bars in [bars_of(folder, f"{one.exchange}_{one.symbol}_15m.json")]
        if len(bars) >= 1490 and bars[-1]["time"] == opened
    ]
    assert len(long) > 60


def test_some_files_are_short_stale_or_have_a_gap(folder):
    assert len(bars_of(folder, "KUCOIN_4USDTM_15m.json")) < 50
    assert len(bars_of(folder, "MEXC_114514USDT_4h.json")) < 50
    newest = bars_of(folder, "HYPERLIQUID_YZYUSDT_15m.json")[-1]["time"] / 1000
    assert UNTIL.timestamp() - newest > 3600
    times = [bar["time"] for bar in bars_of(folder, "OKX_MON-USDT-SWAP_15m.json")]
    assert [later - earlier for earlier, later in pairwise(times)].count(900_000 * 8) == 1


def test_one_file_is_truncated(folder):
    with pytest.raises(orjson.JSONDecodeError):
        bars_of(folder, "KUCOIN_DASHUSDTM_15m.json")


def test_later_files_keep_all_closed_bars(universe):
    one = universe.scanned[0]
    early, late = (
        {bar["time"]: bar for bar in orjson.loads(candle_file(universe.seed, one, "15m", moment))}
        for moment in (UNTIL.timestamp(), (UNTIL + timedelta(hours=3)).timestamp())
    )
    opened = int(UNTIL.timestamp()) // 900 * 900_000
    closed = {time: bar for time, bar in early.items() if time in late and time != opened}
    assert len(closed) > 1400
    assert all(late[time] == bar for time, bar in closed.items())
    assert late[opened] != early[opened]


def test_progress_is_reported_for_each_market(universe, tmp_path):
    told = []

    def note(stage, done, total, note=""):
        told.append((stage, done, total))

    some = type(universe)(universe.listings, seed=universe.seed, scanned=universe.scanned[:3])
    assert write_candle_files(some, tmp_path, UNTIL, note) == 6
    assert told == [("candles", 1, 3), ("candles", 2, 3), ("candles", 3, 3)]


def test_a_moment_without_a_time_zone_is_refused(universe, tmp_path):
    with pytest.raises(ValueError, match="no time zone"):
        write_candle_files(universe, tmp_path, UNTIL.replace(tzinfo=None))
