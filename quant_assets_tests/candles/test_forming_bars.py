"""Test that a bar counts only if its file was written after the bar had closed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from quant_assets.candles import CandleTables, read_candles
from quant_assets_tests.candles.candle_folder import START_MS, bars, file_row, write

FILE = "BINANCE_BTCUSDT_15m.json"
STEP_MS = 900_000


def written(folder: Path, at_ms: int, content: Any, name: str = FILE) -> CandleTables:
    """Write a file as of a moment, and read its folder."""
    path = write(folder, name, content)
    os.utime(path, ns=(at_ms * 1_000_000,) * 2)
    return read_candles(folder)


@pytest.mark.parametrize(
    ("into_the_bar_ms", "held_back"),
    [(45_000, 1), (STEP_MS - 2_001, 1), (STEP_MS - 2_000, 0), (STEP_MS, 0), (30 * 86_400_000, 0)],
    ids=["45 s into it", "2.001 s before its end", "2 s before its end", "at its end", "copied a month later"],
)
def test_forming_bar_is_held_back(tmp_path: Path, into_the_bar_ms: int, held_back: int) -> None:
    tables = written(tmp_path, START_MS + 4 * STEP_MS + into_the_bar_ms, bars(5))
    row = file_row(tables, FILE)
    assert (row["held_back"], row["bars"], len(tables.bars)) == (held_back, 5 - held_back, 5 - held_back)
    assert row["last_ms"] == START_MS + (4 - held_back) * STEP_MS


def test_all_bars_that_end_after_the_file_was_written_are_held_back(tmp_path: Path) -> None:
    tables = written(tmp_path, START_MS + STEP_MS, bars(5))
    assert (file_row(tables, FILE)["held_back"], len(tables.bars)) == (4, 1)


def test_forming_4h_bar_is_held_back(tmp_path: Path) -> None:
    step_ms = 4 * 3_600_000
    first_ms = START_MS // step_ms * step_ms
    rows = [{**bar, "time": first_ms + number * step_ms} for number, bar in enumerate(bars(3))]
    name = "BINANCE_BTCUSDT_4h.json"
    assert file_row(written(tmp_path, first_ms + 3 * step_ms - 60_000, rows, name), name)["held_back"] == 1


def test_file_with_only_a_forming_bar_is_skipped(tmp_path: Path) -> None:
    written(tmp_path, START_MS + 10 * STEP_MS, bars(5), "MEXC_ETHUSDT_15m.json")
    tables = written(tmp_path, START_MS + 45_000, bars(1))
    row = file_row(tables, FILE)
    assert (row["status"], row["bars"]) == ("skipped", 0)
    assert "no bar in it had ended when it was written" in row["reason"]
    assert len(tables.bars) == 5


def test_gap_before_a_held_back_bar_is_not_counted(tmp_path: Path) -> None:
    tables = written(tmp_path, START_MS + 4 * STEP_MS + 45_000, [*bars(3), bars(5)[-1]])
    assert (file_row(tables, FILE)["gaps"], file_row(tables, FILE)["held_back"]) == (0, 1)


def test_held_back_bar_is_final_when_the_file_is_rewritten(tmp_path: Path) -> None:
    forming = bars(5)
    forming[-1] = {**forming[-1], "high": 900.0, "close": 900.0}
    first = written(tmp_path, START_MS + 4 * STEP_MS + 45_000, forming)
    path = write(tmp_path, FILE, bars(6))
    os.utime(path, ns=((START_MS + 5 * STEP_MS + 45_000) * 1_000_000,) * 2)
    again = read_candles(tmp_path, first)
    assert (file_row(again, FILE)["held_back"], len(again.bars)) == (1, 5)
    assert 900.0 not in again.bars["close"].tolist()


def test_unchanged_file_keeps_its_bar_held_back(tmp_path: Path) -> None:
    first = written(tmp_path, START_MS + 4 * STEP_MS + 45_000, bars(5))
    assert read_candles(tmp_path, first) is first
    write(tmp_path, "MEXC_ETHUSDT_15m.json", bars(5))
    again = read_candles(tmp_path, first)
    assert (file_row(again, FILE)["held_back"], file_row(again, FILE)["bars"]) == (1, 4)
