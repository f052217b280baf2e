"""Test real candle files; skipped without the sample data, which are not part of the project."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from quant_assets.candles import CandleTables, read_candles
from quant_assets_tests.speed import best_cpu_ratio

FOLDER = Path(__file__).parents[3] / "shared" / "market_data" / "candles"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the sample market data are not here")


@pytest.fixture(scope="module")
def tables() -> CandleTables:
    return read_candles(FOLDER)


def test_all_real_files_are_read_except_two_truncated_ones(tables: CandleTables) -> None:
    assert len(tables.files) == 635
    skipped = tables.files[tables.files["status"] != "read"]
    assert skipped["file"].tolist() == ["KUCOIN_CAKEUSDTM_15m.json", "KUCOIN_CAKEUSDTM_4h.json"]
    assert set(skipped["reason"]) == {"cut off: unexpected end of data at byte 20480"}


def test_no_real_bar_is_dropped(tables: CandleTables) -> None:
    assert tables.files["dropped"].sum() == 0
    assert tables.files["bars"].sum() == len(tables.bars) == 351_628


def test_unchanged_real_files_are_not_read_again(tables: CandleTables) -> None:
    assert read_candles(FOLDER, tables) is tables


@pytest.mark.speed
def test_reading_takes_little_longer_than_parsing_json() -> None:
    contents = [path.read_bytes() for path in FOLDER.glob("*.json") if "CAKE" not in path.name]
    ratio = best_cpu_ratio(lambda: read_candles(FOLDER), lambda: [orjson.loads(content) for content in contents])
    assert ratio < 2.5  # at most twice; the rest is for a busy machine
