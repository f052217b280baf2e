"""The candle tables of files and of exchanges together."""

from __future__ import annotations

from pathlib import Path

import orjson
import pandas as pd

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.candle_tables import read_candles
from quant_assets.candles.joined_tables import JoinedTables, join_tables
from quant_assets.markets import ResolutionRules
from quant_assets.storage.lake import Lake

STEP, START = 900_000, 1_768_780_800_000


def joined(folder: Path, btc_file: bytes) -> JoinedTables:
    """Join two files, one of them with this content, with stored bars of BTCUSDT."""
    candles = folder / "candles"
    candles.mkdir()
    bar = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    (candles / "BYBIT_ETHUSDT_15m.json").write_bytes(orjson.dumps([{"time": START, **bar}]))
    (candles / "BYBIT_BTCUSDT_15m.json").write_bytes(btc_file)
    store = BarStore(Lake(folder / "lake"), folder / "locks")
    store.merge("BYBIT", "15m", pd.DataFrame({"symbol": "BTCUSDT", "time_ms": [START, START + 2 * STEP], **bar}))
    return join_tables(
        read_candles(candles),
        store.newest_of_all(),
        ResolutionRules(),
        files_are_simulated=False,
        simulated_exchanges={"BYBIT"},
    )


def rows(tables: JoinedTables) -> list[tuple[str, str, int, int, bool]]:
    files = tables.tables.files[["file", "status", "bars", "gaps", "simulated"]]
    return list(files.itertuples(index=False, name=None))


def test_market_whose_file_is_broken_is_read_from_its_exchange(tmp_path: Path) -> None:
    found = joined(tmp_path, b"[{")
    assert rows(found) == [
        ("BYBIT_BTCUSDT_15m.json", "skipped", 0, 0, False),
        ("BYBIT_ETHUSDT_15m.json", "read", 1, 0, False),
        ("exchange_bars/BYBIT/BTCUSDT/15m", "read", 2, 1, True),
    ]


def test_market_of_both_sources_has_the_row_of_its_file_and_the_bars_of_the_exchange(tmp_path: Path) -> None:
    bars = [
        {"time": START + STEP * place, "open": 2, "high": 2, "low": 2, "close": 2, "volume": 2} for place in range(3)
    ]
    found = joined(tmp_path, orjson.dumps(bars))
    assert [row[0] for row in rows(found)] == ["BYBIT_BTCUSDT_15m.json", "BYBIT_ETHUSDT_15m.json"]
    assert found.tables.bars.loc[found.tables.bars["symbol"] == "BTCUSDT", "close"].tolist() == [1.0, 1.0]
    assert found.longer_files == ("BYBIT_BTCUSDT_15m.json",)


def test_file_with_older_bars_than_a_scan_uses_is_not_longer(tmp_path: Path) -> None:
    bar = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    store = BarStore(Lake(tmp_path / "lake"), tmp_path / "locks")
    times = [START + STEP * place for place in range(1600)]
    store.merge("BYBIT", "15m", pd.DataFrame({"symbol": "BTCUSDT", "time_ms": times, **bar}))
    (tmp_path / "candles").mkdir()
    content = orjson.dumps([{"time": time, **bar} for time in times])
    (tmp_path / "candles" / "BYBIT_BTCUSDT_15m.json").write_bytes(content)
    files = read_candles(tmp_path / "candles")
    found = join_tables(
        files, store.newest_of_all(), ResolutionRules(), files_are_simulated=False, simulated_exchanges=set()
    )
    assert len(found.tables.bars) == 1500
    assert found.longer_files == ()
