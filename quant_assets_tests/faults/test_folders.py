"""Folders of candle files that change, disappear or hold other entries while they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.candles import CandleFolderError, CandleTables, candle_file, read_candles
from quant_assets_tests.candles.candle_folder import bars
from quant_assets_tests.faults.folders import files_of, made, write_files
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.test_candle_files import CONTENTS, ENTRIES
from quant_assets_tests.world import World, small_world

GOOD = "BINANCE_BTCUSDT_15m.json"
BUSY = "MEXC_BUSYUSDT_15m.json"
MEGABYTE = 1 << 20

FLAT = """
import os, pathlib, resource, sys
from quant_assets.candles import read_candles

def kilobytes(name):
    return int(pathlib.Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])

folder = pathlib.Path(sys.argv[1])
read_candles(folder)
before = kilobytes("VmHWM")
limit = (kilobytes("VmSize") << 10) + (64 << 20)
for place, size in enumerate((1 << 30, 1 << 30, 1 << 40)):
    with open(folder / f"MEXC_HUGE{place}USDT_15m.json", "wb") as file:
        file.truncate(size)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
files = read_candles(folder).files
print(kilobytes("VmHWM") - before, (files["status"] == "read").sum(), (files["status"] == "skipped").sum())
"""


def test_huge_files_take_neither_memory_nor_address_space(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "candles", files_of(made(8)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", FLAT, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "File too large" in ended.stderr:
        pytest.skip("this file system holds no file of a terabyte")
    assert ended.returncode == 0, ended.stderr
    grown, read, skipped = map(int, ended.stdout.split())
    assert (read, skipped) == (16, 3)
    assert grown << 10 < 32 * MEGABYTE


def state(count: int, price: float) -> bytes:
    """Return a version of the busy file, recognisable by its price."""
    found = bars(count)
    for bar in found:
        bar.update(dict.fromkeys(("open", "high", "low", "close"), price))
    return orjson.dumps(found)


STATES = {200.0: state(200, 200.0), 350.0: state(350, 350.0), 900.0: state(900, 900.0)}


def atomically(path: Path, content: bytes) -> None:
    fresh = path.with_name(".fresh")
    fresh.write_bytes(content)
    fresh.replace(path)


def in_pieces(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), 4_000):
            file.write(content[start : start + 4_000])


def anew(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


@contextmanager
def written_over_and_over(path: Path, write: Callable[[Path, bytes], None], times: int) -> Iterator[Event]:
    """Write versions of a file during the block, at most this many times; the event is set at the end."""
    over, stop = Event(), Event()
    rng = seeded_random(write.__name__)

    def work() -> None:
        try:
            for _ in range(times):
                if stop.is_set():
                    break
                write(path, rng.choice(list(STATES.values())))
            write(path, STATES[900.0])
        finally:
            over.set()

    writer = Thread(target=work)
    writer.start()
    try:
        yield over
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("write", [atomically, in_pieces, anew], ids=lambda write: write.__name__)
def test_file_written_while_it_is_read_is_whole_or_skipped(
    tmp_path: Path, write: Callable[[Path, bytes], None]
) -> None:
    folder = write_files(tmp_path / "candles", {GOOD: orjson.dumps(bars()), BUSY: STATES[200.0]})
    tables: CandleTables | None = None
    seen: set[str] = set()
    with written_over_and_over(folder / BUSY, write, rounds(400, 8_000)) as over:
        while not over.is_set():
            tables = read_candles(folder, tables)
            found = tables.bars.groupby("symbol", observed=True)["close"]
            files = tables.files.set_index("file")
            assert found.get_group("BTCUSDT").tolist() == [bar["close"] for bar in bars()]
            if BUSY not in files.index:
                seen.add("missing")
                continue
            seen.add(str(files.loc[BUSY, "status"]))
            if files.loc[BUSY, "status"] == "read":
                closes = found.get_group("BUSYUSDT").unique()
                assert len(closes) == 1, "two states in one"
                assert files.loc[BUSY, "bars"] == closes[0] == len(found.get_group("BUSYUSDT"))
            else:
                assert files.loc[BUSY, "reason"]
    tables = read_candles(folder, tables)
    assert tables.files.set_index("file").loc[BUSY, "bars"] == 900
    assert seen == {"read"} or write is not atomically


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a socket", "a device", "a link to a device", "a terabyte"])
@pytest.mark.usefixtures("fail_after_a_minute")
def test_entry_that_replaces_a_file_after_listing_is_skipped_without_waiting(tmp_path: Path, kind: str) -> None:
    folder = write_files(tmp_path / "candles", {GOOD: orjson.dumps(bars()), BUSY: STATES[200.0]})
    make, _ = ENTRIES[kind]
    taken: list[int] = []

    def take_its_place(stage: str, done: int, total: int, note: str = "") -> None:
        if not taken:
            taken.append(done)
            (folder / BUSY).unlink()
            make(folder / BUSY)

    tables = read_candles(folder, progress=take_its_place)
    files = tables.files.set_index("file")
    assert (files.loc[BUSY, "status"], files.loc[GOOD, "status"]) == ("skipped", "read")
    assert files.loc[BUSY, "reason"]
    assert len(tables.bars) == 5


def test_link_to_a_file_outside_the_folder_is_skipped_whenever_it_is_made(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "candles", {GOOD: orjson.dumps(bars()), BUSY: orjson.dumps(bars())})
    outside = write_files(tmp_path / "candles-of-others", {BUSY: orjson.dumps(bars())}) / BUSY

    def link(*_: object) -> None:
        (folder / BUSY).unlink(missing_ok=True)
        (folder / BUSY).symlink_to(outside)

    for tables in (read_candles(folder, progress=link), read_candles(folder)):  # made after the listing, and before it
        files = tables.files.set_index("file")
        assert (files.loc[BUSY, "status"], files.loc[GOOD, "status"]) == ("skipped", "read")
        assert len(tables.bars) == 5


def test_file_that_changes_during_a_read_is_not_mixed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / GOOD, os.read
    path.write_bytes(b"a" * 1000)
    os.utime(path, (1, 1))

    def torn(descriptor: int, size: int) -> bytes:
        first = read(descriptor, 500)
        path.write_bytes(b"b" * 1000)  # of the same length, in place
        return first + read(descriptor, size - 500)

    monkeypatch.setattr(candle_file.os, "read", torn)
    with pytest.raises(candle_file.CandleFileUnreadable):
        candle_file.read_content(str(path))


def test_file_that_grows_after_listing_is_read_to_its_end(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "candles", {GOOD: orjson.dumps(bars(2)), BUSY: orjson.dumps(bars(1))})
    grown: list[int] = []

    def grow(stage: str, done: int, total: int, note: str = "") -> None:
        if not grown:
            write_files(folder, {BUSY: state(5_000, 7.0), GOOD: orjson.dumps(bars(3))})
            grown.append(done)

    found = read_candles(folder, progress=grow).bars
    assert len(found) == 5_003
    assert found.loc[found["symbol"] == "BUSYUSDT", "close"].tolist() == [7.0] * 5_000
    assert found.loc[found["symbol"] == "BTCUSDT", "close"].tolist() == [bar["close"] for bar in bars(3)]


@pytest.mark.parametrize("way", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("elsewhere"))])
def test_folder_removed_during_a_read_is_an_error(tmp_path: Path, way: Callable[[Path], object]) -> None:
    folder = write_files(tmp_path / "candles", files_of(made(8)))
    gone: list[int] = []

    def go(stage: str, done: int, total: int, note: str = "") -> None:
        if not gone:
            way(folder)
            gone.append(done)

    with pytest.raises(CandleFolderError, match="was removed while it was read"):
        read_candles(folder, progress=go)


names = st.binary(min_size=1, max_size=40).filter(lambda name: not {0, 47} & set(name) and name not in {b".", b".."})
forms = st.builds(
    lambda exchange, symbol, frame: f"{exchange}_{symbol}_{frame}.json".encode()[:200].replace(b"/", b"_"),
    st.sampled_from(["OKX", "KUCOIN", "X", "龙"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.sampled_from(["15m", "4h", "1d", "15M"]),
)


@settings(max_examples=rounds(60, 2_000))
@given(given=st.sets(names | forms, max_size=6))
def test_any_file_name_is_one_row_and_affects_no_other_file(
    tmp_path_factory: pytest.TempPathFactory, given: set[bytes]
) -> None:
    folder = write_files(tmp_path_factory.mktemp("names"), {GOOD: orjson.dumps(bars())})
    visible = 0
    for name in given - {GOOD.encode()}:
        try:
            with open(os.path.join(os.fsencode(folder), name), "wb") as file:
                file.write(orjson.dumps(bars()) if name.endswith(b"_15m.json") else b"")
        except OSError:
            continue  # a name that this file system refuses
        visible += not name.startswith(b".")
    tables = read_candles(folder)
    assert len(tables.files) == visible + 1
    assert set(tables.files["status"]) <= {"read", "skipped", "unused"}
    assert (tables.files["reason"] != "").equals(tables.files["status"] != "read")
    read = tables.files[tables.files["status"] == "read"]
    assert GOOD in set(read["file"])
    assert all(unicodedata.is_normalized("NFC", symbol) for symbol in read["symbol"])
    assert np.array_equal(read["bars"], np.full(len(read), 5))
    assert tables.bars["symbol"].nunique() == read["symbol"].nunique()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("small"), markets=6) as made_world:
        yield made_world


def test_scan_with_invalid_files_gives_the_signals_of_the_valid_ones(small: World) -> None:
    sound = small.scan("broken").feed
    broken = set()
    for place, (content, _) in enumerate(CONTENTS.values()):
        broken.add(name := f"BYBIT_BROKEN{place}USDT_15m.json")
        (small.candles / name).write_bytes(content)
    for place, (make, _) in enumerate(ENTRIES.values()):
        name = f"OKX_BROKEN{place}USDT_4h.json"
        try:
            make(small.candles / name)
        except pytest.skip.Exception:
            continue
        broken.add(name)
    hurt = small.scan("broken").feed
    assert set(hurt["stats"]["skipped"]) - set(sound["stats"]["skipped"]) == broken
    assert all(hurt["stats"]["skipped"].values())
    assert orjson.dumps(hurt["signals"]) == orjson.dumps(sound["signals"])
