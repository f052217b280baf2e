"""Test the candle tables of a folder: its bars, and the status of each file."""

from __future__ import annotations

import os
import socket
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.candles import CandleFolderError, check_candle_folder, read_candles, source_is_simulated
from quant_assets.candles.candle_file import MAX_FILE_BYTES
from quant_assets.candles.candle_tables import FILE_DTYPES
from quant_assets_tests.candles.candle_folder import START_MS, bars, file_row, write

GOOD = "BINANCE_BTCUSDT_15m.json"
BAD = "MEXC_BADUSDT_15m.json"
NOBODY = 65534


@pytest.fixture
def plain_folder() -> Iterator[Path]:
    """Provide a folder to a user without root's permissions, even if the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user = os.geteuid()
        if user == 0:
            os.chown(folder, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o700)


def skipped_reason(folder: Path, name: str = BAD) -> str:
    """Return why a file is skipped, and check that a valid one beside it is read."""
    write(folder, GOOD, bars())
    tables = read_candles(folder)
    assert file_row(tables, GOOD)["status"] == "read"
    assert len(tables.bars) == 5
    found = file_row(tables, name)
    assert (found["status"], found["bars"]) == ("skipped", 0)
    assert np.isnan(found["first_ms"])
    return str(found["reason"])


def test_tables_have_the_documented_columns_types_and_order(tmp_path: Path) -> None:
    write(tmp_path, "OKX_BTC-USDT-SWAP_15m.json", bars(3))
    write(tmp_path, "BINANCE_ZUSDT_4h.json", bars(2, 4 * 3_600_000))
    write(tmp_path, "BINANCE_ZUSDT_15m.json", bars(3)[::-1])
    write(tmp_path, "BINANCE_AUSDT_15m.json", bars(1))
    tables = read_candles(tmp_path)
    assert {name: str(kind) for name, kind in tables.files.dtypes.items()} == FILE_DTYPES
    assert {name: str(kind) for name, kind in tables.bars.dtypes.items()} == {
        **dict.fromkeys(("exchange", "symbol", "timeframe"), "category"),
        "time_ms": "int64",
        **dict.fromkeys(("open", "high", "low", "close", "volume"), "float64"),
    }
    keys = tables.bars[["exchange", "symbol", "timeframe", "time_ms"]].astype({"time_ms": "int64"})
    ordered = keys.astype(str).sort_values(["exchange", "symbol", "timeframe", "time_ms"], ignore_index=True)
    pd.testing.assert_frame_equal(keys.astype(str), ordered)
    assert tables.files["file"].tolist() == sorted(tables.files["file"])


def test_files_table_has_bar_counts_times_and_identity(tmp_path: Path) -> None:
    path = write(tmp_path, "GATE_PUMP_USDT_15m.json", [*bars(5), *bars(1)])
    found = file_row(read_candles(tmp_path), path.name)
    assert (found["exchange"], found["symbol"], found["timeframe"]) == ("GATE", "PUMP_USDT", "15m")
    assert (found["status"], found["reason"], found["bars"], found["dropped"]) == ("read", "", 5, 1)
    assert (found["first_ms"], found["last_ms"]) == (START_MS, START_MS + 4 * 900_000)
    assert (found["size"], found["modified_ns"], found["inode"]) == (
        *(path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino),
    )


def test_unused_timeframes_are_listed_and_never_parsed(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bars())
    write(tmp_path, "BINANCE_BTCUSDT_1h.json", b"not JSON at all")
    found = file_row(read_candles(tmp_path), "BINANCE_BTCUSDT_1h.json")
    assert (found["status"], found["bars"], found["timeframe"]) == ("unused", 0, "1h")


def test_a_folder_of_unused_timeframes_gives_empty_tables(tmp_path: Path) -> None:
    write(tmp_path, "BINANCE_BTCUSDT_1h.json", bars())
    tables = read_candles(tmp_path)
    assert len(tables.bars) == 0
    assert str(tables.bars["exchange"].dtype) == "category"


def test_hidden_entries_are_not_listed(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bars())
    write(tmp_path, ".BINANCE_BTCUSDT_4h.json", bars())
    (tmp_path / ".git").mkdir()
    assert read_candles(tmp_path).files["file"].tolist() == [GOOD]


@pytest.mark.parametrize("name", ["notes.txt", "a b.json", "BINANCE_BTCUSDT_3m.json", "x" * 200])
def test_file_with_invalid_name_is_skipped_with_the_reason(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, bars())
    assert "name" in (reason := skipped_reason(tmp_path, name)) or "timeframe" in reason


def test_file_name_that_is_not_utf8_is_skipped_and_escaped(tmp_path: Path) -> None:
    try:
        with open(os.fsencode(tmp_path) + b"/MEXC_\xff_15m.json", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes no such name")
    assert skipped_reason(tmp_path, "MEXC_\\xff_15m.json") == "the name is not UTF-8"


@pytest.mark.parametrize("symbol", ["龙虾USDT", "a.b c", "$(rm -rf)", "x" * 200, "%s{}\\x41", "\n"])
def test_odd_symbols_are_read(tmp_path: Path, symbol: str) -> None:
    write(tmp_path, f"MEXC_{symbol}_15m.json", bars())
    assert set(read_candles(tmp_path).bars["symbol"]) == {symbol}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b'[{"time": 17', "cut off: unexpected end of data at byte 12"),
        ([{**bar, "time": bar["time"] // 1000} for bar in bars()], "times look like seconds"),
        (bars(3)[::-1][:1], "grid of 240 minutes"),
    ],
)
def test_corrupt_file_does_not_affect_others(tmp_path: Path, content: Any, reason: str) -> None:
    write(tmp_path, "MEXC_BADUSDT_4h.json", content)
    assert reason in skipped_reason(tmp_path, "MEXC_BADUSDT_4h.json")


def test_file_above_size_limit_is_skipped_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / BAD).open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert "more than the limit of 67,108,864" in skipped_reason(tmp_path)


def test_pipe_is_skipped_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / BAD)
    assert skipped_reason(tmp_path) == "not a regular file"


def test_socket_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(BAD)
        assert skipped_reason(tmp_path) == "not a regular file"


def test_folder_with_a_file_name_is_skipped(tmp_path: Path) -> None:
    (tmp_path / BAD).mkdir()
    assert skipped_reason(tmp_path) == "a folder, not a file"


def test_unreadable_file_is_skipped_and_read_once_permitted(plain_folder: Path) -> None:
    path = write(plain_folder, BAD, bars())
    path.chmod(0)
    assert "Permission denied" in skipped_reason(plain_folder)
    refused = read_candles(plain_folder)
    path.chmod(0o644)
    assert file_row(read_candles(plain_folder, refused), BAD)["status"] == "read"


def test_link_that_leaves_the_folder_is_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "candles"
    folder.mkdir()
    target = write(tmp_path, "outside.json", bars())
    (folder / BAD).symlink_to(target)
    assert skipped_reason(folder) == "a symbolic link that leaves the folder"


@pytest.mark.parametrize("target", ["nowhere.json", BAD])
def test_broken_or_cyclic_link_is_skipped(tmp_path: Path, target: str) -> None:
    (tmp_path / BAD).symlink_to(tmp_path / target)
    assert "cannot be read" in skipped_reason(tmp_path)


def test_link_inside_the_folder_is_read_even_if_the_folder_is_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "candles"
    folder.mkdir()
    write(folder, GOOD, bars())
    (folder / BAD).symlink_to(GOOD)
    (tmp_path / "link").symlink_to(folder)
    assert read_candles(tmp_path / "link").files["status"].tolist() == ["read", "read"]


def test_first_of_two_files_for_one_market_and_timeframe_wins(tmp_path: Path) -> None:
    composed = "MEXC_CAF\u00c9_15m.json"
    decomposed = unicodedata.normalize("NFD", composed)
    write(tmp_path, composed, bars(2))
    write(tmp_path, decomposed, bars(3))
    if len(os.listdir(tmp_path)) < 2:
        pytest.skip("this file system takes both names for one")
    tables = read_candles(tmp_path)
    first, second = sorted([composed, decomposed])
    assert file_row(tables, first)["status"] == "read"
    assert file_row(tables, second)["reason"] == f"names the same market and timeframe as {first}"
    (tmp_path / first).unlink()
    assert file_row(read_candles(tmp_path, tables), second)["status"] == "read"


def test_file_that_changes_during_read_is_skipped_and_read_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, BAD, bars())
    real_fstat = os.fstat
    grown: list[int] = []

    def fstat_and_grow(descriptor: int) -> os.stat_result:
        status = real_fstat(descriptor)
        if status.st_ino == path.stat().st_ino and not grown:
            grown.append(status.st_size)
            write(tmp_path, BAD, bars(6))
        return status

    monkeypatch.setattr(os, "fstat", fstat_and_grow)
    before = read_candles(tmp_path)
    assert file_row(before, BAD)["reason"] == "changed while it was read"
    assert file_row(read_candles(tmp_path, before), BAD)["bars"] == 6


def test_file_removed_after_listing_is_skipped(tmp_path: Path) -> None:
    write(tmp_path, GOOD, bars())
    gone = write(tmp_path, BAD, bars())
    tables = read_candles(tmp_path, progress=lambda stage, done, total, note="": gone.unlink(missing_ok=True))
    assert "cannot be read: No such file" in file_row(tables, BAD)["reason"]
    assert file_row(tables, BAD)["inode"] == 0
    assert file_row(tables, GOOD)["status"] == "read"


def test_progress_is_reported_from_first_to_last_file(tmp_path: Path) -> None:
    for number in range(70):
        write(tmp_path, f"X_C{number}_15m.json", bars(1))
    heard: list[tuple[str, int, int]] = []
    read_candles(tmp_path, progress=lambda stage, done, total, note="": heard.append((stage, done, total)))
    assert heard[0] == ("candles", 0, 70)
    assert heard[-1] == ("candles", 70, 70)
    assert len(heard) > 3


def test_missing_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CandleFolderError, match="Folder not found"):
        read_candles(tmp_path / "nothing")


def test_file_instead_of_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CandleFolderError, match="Not a folder"):
        read_candles(write(tmp_path, GOOD, bars()))


def test_unlistable_folder_is_refused(plain_folder: Path) -> None:
    plain_folder.chmod(0)
    with pytest.raises(CandleFolderError, match="cannot be listed: Permission denied"):
        read_candles(plain_folder)


@pytest.mark.parametrize("names", [[], ["readme.txt", "feed.json"]])
def test_folder_without_candle_files_is_refused_with_advice(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        write(tmp_path, name, b"")
    for look in (read_candles, check_candle_folder):
        with pytest.raises(CandleFolderError, match=r"No candle files in .* BINANCE_BTCUSDT_15m\.json"):
            look(tmp_path)


def test_folder_check_reads_no_files(tmp_path: Path) -> None:
    for timeframe in ("15m", "4h"):
        write(tmp_path, f"BINANCE_BTCUSDT_{timeframe}.json", b"not looked at")
    check_candle_folder(tmp_path)


@pytest.mark.parametrize(
    ("there", "missing", "expected"),
    [
        (["15m"], "4h", "OKX_BTC-USDT_4h.json"),
        (["4h", "1h"], "15m", "OKX_BTC-USDT_15m.json"),
        (["1h", "1d"], "15m or 4h", "OKX_BTC-USDT_15m.json and OKX_BTC-USDT_4h.json"),
    ],
)
def test_folder_without_a_timeframe_is_refused_with_what_is_missing(
    tmp_path: Path, there: list[str], missing: str, expected: str
) -> None:
    for timeframe in there:
        write(tmp_path, f"OKX_BTC-USDT_{timeframe}.json", b"not looked at")
    with pytest.raises(CandleFolderError) as caught:
        check_candle_folder(tmp_path)
    assert str(caught.value) == f"{tmp_path} has no {missing} candle file; each market needs one, such as {expected}"


def test_folder_check_covers_only_the_given_timeframes(tmp_path: Path) -> None:
    write(tmp_path, GOOD, b"not looked at")
    check_candle_folder(tmp_path, ["15m"])


def test_hidden_marker_marks_a_folder_as_simulated(tmp_path: Path) -> None:
    assert not source_is_simulated(tmp_path)
    write(tmp_path, ".simulated", b"")
    assert source_is_simulated(tmp_path)
