"""Test that a rescan parses changed files only."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.candles import CandleTables, read_candles
from quant_assets_tests.candles.candle_folder import bars, file_row, write

GOOD = "BINANCE_BTCUSDT_15m.json"
BAD = "MEXC_BADUSDT_15m.json"


def same_size_and_time(path: Path, content: bytes) -> None:
    """Overwrite a file in place so that its size, modification time and inode stay as they were."""
    before = path.stat()
    assert len(content) == before.st_size
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_unchanged_file_is_not_parsed_again(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, bars())
    other = write(tmp_path, "MEXC_ETHUSDT_15m.json", bars(3))
    before = read_candles(tmp_path)
    same_size_and_time(path, b"x" * path.stat().st_size)
    write(tmp_path, other.name, bars(4))
    after = read_candles(tmp_path, before)
    assert file_row(after, GOOD).equals(file_row(before, GOOD))
    old = before.bars[before.bars["exchange"] == "BINANCE"].drop(columns=["exchange", "symbol", "timeframe"])
    new = after.bars[after.bars["exchange"] == "BINANCE"].drop(columns=["exchange", "symbol", "timeframe"])
    pd.testing.assert_frame_equal(old, new)
    assert (len(old), file_row(after, other.name)["bars"]) == (5, 4)


def test_unchanged_skipped_file_is_not_parsed_again(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bars())
    content = b'{"data": 3}'
    path = write(tmp_path, BAD, content)
    before = read_candles(tmp_path)
    same_size_and_time(path, b" " * len(content))
    assert file_row(read_candles(tmp_path, before), BAD).equals(file_row(before, BAD))


def test_unchanged_folder_returns_the_same_tables(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bars())
    write(tmp_path, BAD, b"[")
    before = read_candles(tmp_path)
    assert read_candles(tmp_path, before) is before


@pytest.mark.parametrize("change", ["content", "time", "inode"])
def test_file_with_one_changed_attribute_is_parsed_again(tmp_path: Path, change: str) -> None:
    path = write(tmp_path, GOOD, bars())
    before = read_candles(tmp_path)
    if change == "content":
        status = path.stat()
        write(tmp_path, GOOD, bars(6))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "time":
        same_size_and_time(path, path.read_bytes().replace(b"15.5", b"15.6"))
        os.utime(path, ns=(0, 1))
    else:
        status = path.stat()
        fresh = write(tmp_path, ".new", path.read_bytes().replace(b"15.5", b"15.6"))
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        fresh.replace(path)
    after = read_candles(tmp_path, before)
    assert not after.bars.equals(before.bars)


def test_added_and_removed_files_are_noticed(tmp_path: Path) -> None:
    names = [f"X_{letter}_15m.json" for letter in "ACE"]
    for count, name in enumerate(names, 1):
        write(tmp_path, name, bars(count))
    before = read_candles(tmp_path)
    (tmp_path / names[1]).unlink()
    write(tmp_path, "X_B_15m.json", bars(4))
    write(tmp_path, "X_Z_4h.json", bars(2, 4 * 3_600_000))
    after = read_candles(tmp_path, before)
    pd.testing.assert_frame_equal(after.bars, read_candles(tmp_path).bars)
    pd.testing.assert_frame_equal(after.files, read_candles(tmp_path).files)
    assert after.files["bars"].tolist() == [1, 4, 3, 2]


def test_inconsistent_previous_tables_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "X_A_15m.json", bars(2))
    write(tmp_path, "X_B_15m.json", bars(2))
    whole = read_candles(tmp_path)
    for wrong in (whole.bars.iloc[1:], whole.bars.iloc[::-1].reset_index(drop=True)):
        found = read_candles(tmp_path, CandleTables(wrong, whole.files))
        pd.testing.assert_frame_equal(found.bars, whole.bars)
