"""Bars are stored once whatever the order of merges, revised bars are counted, and damage costs its own bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.candles import read_candles
from quant_assets.candles.bar_store import BarStore, MergeCounts
from quant_assets.common.timeframes import STEP_MS
from quant_assets.storage.lake import Lake, LakeError
from quant_assets_tests.candles.candle_folder import bars, write
from quant_assets_tests.candles.stored_bars import (
    DAY_MS,
    EXCHANGE,
    START_MS,
    VALUES,
    Model,
    Row,
    everything,
    last_times,
    model_of,
    model_of_table,
    store_in,
    stored_times,
    table_of,
)
from quant_assets_tests.storage.places import PLACES, Place

STEP = STEP_MS["15m"]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "kPEPE")
#: Places over four days, dense enough that bars are repeated.
ROWS = st.tuples(st.sampled_from(SYMBOLS), st.integers(-100, 250), st.integers(0, 2))


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return store_in(tmp_path)


def day(tmp_path: Path, name: str = "2026-01-19") -> Path:
    """Return the file of a day of 15m bars."""
    return tmp_path / "lake" / "exchange_bars" / EXCHANGE / "15m" / f"{name}.parquet"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def merge(store: BarStore, rows: list[Row], timeframe: str = "15m") -> MergeCounts:
    return store.merge(EXCHANGE, timeframe, table_of(rows, timeframe))


def run_of(count: int, symbol: str = "BTCUSDT", first: int = 0) -> list[Row]:
    return [(symbol, first + place, place % 7) for place in range(count)]


@settings(max_examples=25)
@given(st.lists(st.lists(ROWS, max_size=40), min_size=1, max_size=5))
def test_merges_count_and_store_what_a_dictionary_would(batches: list[list[Row]]) -> None:
    model: Model = {}
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        for batch in batches:
            fetched = model_of(batch)
            new = len(fetched.keys() - model.keys())
            unchanged = sum(model.get(key) == values for key, values in fetched.items())
            revised = len(fetched) - new - unchanged
            assert merge(store, batch) == MergeCounts(new, revised, unchanged, len(batch) - len(fetched))
            model |= fetched
            assert everything(store) == model
            assert stored_times(store) == last_times(model)


@settings(max_examples=20)
@given(st.lists(ROWS, unique_by=lambda row: row[:2], max_size=80), st.data())
def test_any_order_and_split_of_merges_gives_the_same_objects(rows: list[Row], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        merge(store_in(Path(one)), rows)
        store = store_in(Path(other))
        for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            merge(store, shuffled[start:end])
        assert contents(Path(one, "lake")) == contents(Path(other, "lake")) or not rows


@settings(max_examples=25)
@given(
    st.lists(ROWS, max_size=150),
    st.integers(-120, 270),
    st.integers(-120, 270),
    st.none() | st.sets(st.sampled_from([*SYMBOLS, "NONE"])),
)
def test_reads_of_any_range_equal_the_model(rows: list[Row], first: int, last: int, symbols: set[str] | None) -> None:
    start_ms, end_ms = START_MS + first * STEP, START_MS + last * STEP
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        merge(store, rows)
        found = store.read(EXCHANGE, "15m", start_ms, end_ms, symbols)
        expected = {
            key: values
            for key, values in model_of(rows).items()
            if start_ms <= key[1] < end_ms and (symbols is None or key[0] in symbols)
        }
        assert model_of_table(found.bars) == expected
        times = store.times(EXCHANGE, "15m", start_ms, end_ms, symbols)
        assert list(zip(times["symbol"], times["time_ms"], strict=True)) == sorted(expected)


def naive_newest(model: Model, count: int, closed_by_ms: int | None) -> Model:
    known = {key for key in model if closed_by_ms is None or key[1] + STEP <= closed_by_ms}
    if not known:
        return {}
    first_ms = max(time for _, time in known) - (count - 1) * STEP
    found: Model = {}
    for symbol in SYMBOLS:
        times = sorted(time for name, time in known if name == symbol and time >= first_ms - count * STEP)
        if times and times[-1] >= first_ms:
            found |= {(symbol, time): model[symbol, time] for time in times[-count:]}
    return found


@settings(max_examples=50)
@given(
    st.lists(ROWS, max_size=300),
    st.integers(1, 150),
    st.none() | st.integers(-120, 270),
    st.booleans(),
)
def test_newest_bars_of_each_series_equal_the_model(
    rows: list[Row], count: int, closed_by: int | None, counted: bool
) -> None:
    closed_by_ms = None if closed_by is None else START_MS + closed_by * STEP
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        merge(store, rows)
        if not counted:  # as after a merge that was killed
            Path(folder, "lake", "exchange_bars", EXCHANGE, "15m.parquet").unlink(missing_ok=True)
        found = store.newest(EXCHANGE, "15m", count, closed_by_ms)
        assert model_of_table(found.bars) == naive_newest(model_of(rows), count, closed_by_ms)


def test_series_with_missing_bars_gets_older_ones_in_their_place(store: BarStore) -> None:
    rows = [*run_of(400), *run_of(200, "ETHUSDT"), *run_of(100, "ETHUSDT", 300)]
    merge(store, rows)
    found = model_of_table(store.newest(EXCHANGE, "15m", 150).bars)
    times = [(time - START_MS) // STEP for symbol, time in found if symbol == "ETHUSDT"]
    assert times == [*range(150, 200), *range(300, 400)]


def test_series_without_a_new_bar_is_not_among_the_newest(store: BarStore) -> None:
    merge(store, [*run_of(400), *run_of(100, "ETHUSDT")])
    assert {symbol for symbol, _ in model_of_table(store.newest(EXCHANGE, "15m", 150).bars)} == {"BTCUSDT"}


def test_newest_bars_of_all_exchanges_and_timeframes_are_read_together(store: BarStore) -> None:
    for exchange, timeframe in (("OKX", "15m"), ("OKX", "4h"), ("BYBIT", "15m")):
        store.merge(exchange, timeframe, table_of(run_of(50), timeframe))
    found = [one.bars for one in store.newest_of_all(20)]
    names = [(table["exchange"].iat[0], table["timeframe"].iat[0], len(table)) for table in found if len(table)]
    assert names == [("BYBIT", "15m", 20), ("OKX", "15m", 20), ("OKX", "4h", 20)]


def test_bars_of_4h_are_stored_by_month(store: BarStore, tmp_path: Path) -> None:
    rows = run_of(200)
    merge(store, rows, "4h")
    names = sorted(path.name for path in (tmp_path / "lake").rglob("*.parquet"))
    assert names == ["2026-01.parquet", "2026-02.parquet", "4h.parquet"]
    assert everything(store, "4h") == model_of(rows, "4h")


def test_stored_bars_have_the_columns_of_candle_files(store: BarStore, tmp_path: Path) -> None:
    folder = tmp_path / "candles"
    folder.mkdir()
    write(folder, f"{EXCHANGE}_BTCUSDT_15m.json", bars(5, STEP, START_MS))
    files = read_candles(folder).bars
    store.merge(EXCHANGE, "15m", files)
    pd.testing.assert_frame_equal(store.newest(EXCHANGE, "15m").bars, files)


def test_unchanged_bars_write_nothing(store: BarStore, tmp_path: Path) -> None:
    merge(store, run_of(200))
    before = {path: path.stat().st_ino for path in (tmp_path / "lake").rglob("*.parquet")}
    assert merge(store, run_of(200)).unchanged == 200
    assert {path: path.stat().st_ino for path in before} == before


def test_a_new_bar_writes_only_its_own_day(store: BarStore, tmp_path: Path) -> None:
    merge(store, run_of(200))
    before = {path: path.stat().st_ino for path in day(tmp_path).parent.iterdir()}
    merge(store, [("BTCUSDT", 200, 1)])
    changed = [path.stem for path, inode in before.items() if path.stat().st_ino != inode]
    assert changed == ["2026-01-21"]


def test_empty_store_has_nothing(store: BarStore) -> None:
    assert everything(store) == {}
    assert model_of_table(store.newest(EXCHANGE, "15m").bars) == {}
    assert (store.last_times(EXCHANGE, "15m"), store.exchanges(), store.size()) == ({}, [], 0)
    assert merge(store, []) == MergeCounts()


@pytest.mark.parametrize("kind", PLACES)
def test_bars_are_stored_in_any_object_store(kind: str, tmp_path: Path) -> None:
    place = Place(kind, tmp_path / "lake")
    store = BarStore(Lake(place.objects), tmp_path / "locks")
    merge(store, run_of(300))
    merge(store, [*run_of(10, "ETHUSDT", 290), ("BTCUSDT", 0, 6)])
    again = BarStore(Lake(place.reopened()), tmp_path / "locks")
    expected = model_of([*run_of(300), *run_of(10, "ETHUSDT", 290), ("BTCUSDT", 0, 6)])
    assert everything(again) == expected
    assert stored_times(again) == last_times(expected)
    assert again.size() == sum(stored.size for stored in place.objects.listing())
    assert again.exchanges() == [EXCHANGE]


def write_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"symbol": ["BTCUSDT"], "time_ms": [START_MS]}), path)


def write_wrong_order(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.take(list(reversed(range(len(table))))), path)


def write_other_day(path: Path) -> None:
    path.write_bytes(path.with_name("2026-01-20.parquet").read_bytes())


def write_empty_fields(path: Path) -> None:
    table = pq.read_table(path)
    place = table.schema.get_field_index("close")
    pq.write_table(table.set_column(place, "close", pa.nulls(len(table), pa.float64())), path)


def write_changed_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    volume = pq.read_metadata(path).row_group(0).column(6)
    content[volume.data_page_offset + volume.total_compressed_size - 5] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_text("not a table"),
    "changed byte": write_changed_byte,
    "other columns": write_other_columns,
    "wrong order": write_wrong_order,
    "other day": write_other_day,
    "empty fields": write_empty_fields,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_object_costs_its_own_bars_until_they_are_merged(
    damage: Callable[[Path], object], store: BarStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = run_of(3 * 96)
    merge(store, rows)
    damage(day(tmp_path))
    for found in (store.read(EXCHANGE, "15m", 0, 2**60), store.newest(EXCHANGE, "15m")):
        assert model_of_table(found.bars) == model_of(rows[96:])
        assert found.damaged == (str(day(tmp_path)),)
    assert str(day(tmp_path)) in caplog.text
    assert store.recount(EXCHANGE, "15m") == (str(day(tmp_path)),)
    assert stored_times(store) == last_times(model_of(rows[96:]))
    done = merge(store, rows[:50])
    assert done == MergeCounts(new=50, damaged=(str(day(tmp_path)),))
    left = [*rows[:50], *rows[96:]]
    assert everything(store) == model_of(left)
    assert stored_times(store) == last_times(model_of(left))


def test_object_that_cannot_be_read_is_not_replaced(store: BarStore, tmp_path: Path) -> None:
    merge(store, run_of(300))
    day(tmp_path).unlink()
    day(tmp_path).mkdir()
    assert everything(store) == model_of(run_of(300)[96:])
    with pytest.raises(LakeError, match=r"2026-01-19\.parquet cannot be read"):
        merge(store, run_of(1))


@pytest.mark.parametrize("content", [b"", b"not a table"])
def test_damaged_counts_are_made_again_from_the_bars(store: BarStore, tmp_path: Path, content: bytes) -> None:
    merge(store, run_of(300))
    (tmp_path / "lake" / "exchange_bars" / EXCHANGE / "15m.parquet").write_bytes(content)
    assert stored_times(store) == last_times(model_of(run_of(300)))
    merge(store, [("BTCUSDT", 300, 1)])
    assert stored_times(store) == last_times(model_of([*run_of(300), ("BTCUSDT", 300, 1)]))


@pytest.mark.parametrize("name", ["notes.txt", "NaT.parquet", "today.parquet", "2026-1-19.parquet", "2026.parquet"])
def test_files_of_others_in_the_folder_are_ignored(store: BarStore, tmp_path: Path, name: str) -> None:
    merge(store, run_of(10))
    (day(tmp_path).parent / name).write_bytes(b"mine")
    assert everything(store) == model_of(run_of(10))
    assert model_of_table(store.newest(EXCHANGE, "15m").bars) == model_of(run_of(10))
    store.remove_before(START_MS + 100 * DAY_MS)
    assert (day(tmp_path).parent / name).read_bytes() == b"mine"


def test_old_objects_are_removed_and_series_counted_again(store: BarStore, tmp_path: Path) -> None:
    merge(store, [*run_of(300), *run_of(20, "OLD")])
    merge(store, run_of(400), "4h")
    before = store.size()
    removed = store.remove_before(START_MS + DAY_MS + 1)
    assert removed.files == 1
    assert 0 < removed.size <= before
    left = model_of(run_of(300)[96:])
    assert set(everything(store)) == set(left)
    assert stored_times(store) == last_times(left)
    assert len(everything(store, "4h")) == 400


def test_bars_of_today_are_kept_by_retention(store: BarStore) -> None:
    merge(store, run_of(300))
    assert store.remove_before(START_MS).files == 0
    assert len(everything(store)) == 300


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("time_ms", START_MS + 1, "off the grid"),
        ("close", float("nan"), "finite"),
        ("volume", float("inf"), "finite"),
        ("symbol", None, "without a symbol"),
    ],
)
def test_bars_that_were_not_checked_are_not_stored(store: BarStore, column: str, value: object, reason: str) -> None:
    table = table_of(run_of(3))
    table.loc[1, column] = value
    with pytest.raises(ValueError, match=reason):
        store.merge(EXCHANGE, "15m", table)
    assert everything(store) == {}


@pytest.mark.parametrize("exchange", ["..", "a/b", "", "."])
def test_exchange_name_that_leads_out_of_the_folder_is_refused(store: BarStore, exchange: str) -> None:
    with pytest.raises(LakeError, match="invalid name"):
        store.merge(exchange, "15m", table_of(run_of(1)))


@pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "../x", "", "币安人生USDT", "a\0b", "x" * 5000, "\u202eTXT"])
def test_hostile_symbols_are_stored_as_they_are(store: BarStore, symbol: str) -> None:
    merge(store, [(symbol, 0, 1), ("BTCUSDT", 0, 2)])
    assert everything(store) == model_of([(symbol, 0, 1), ("BTCUSDT", 0, 2)])
    assert symbol in store.last_times(EXCHANGE, "15m")


def test_symbols_can_be_given_as_a_categorical_with_unused_values(store: BarStore) -> None:
    table = table_of(run_of(3))
    table["symbol"] = pd.Categorical(table["symbol"], categories=["Z", "BTCUSDT", "A"])
    store.merge(EXCHANGE, "15m", table)
    assert everything(store) == model_of(run_of(3))
    assert list(store.newest(EXCHANGE, "15m").bars["symbol"].cat.categories) == ["BTCUSDT"]


def test_values_are_read_with_the_bits_that_were_stored(store: BarStore) -> None:
    table = table_of(run_of(4))
    table["volume"] = [0.1 + 0.2, 5e-324, 1e18, 123456789.123456789]
    store.merge(EXCHANGE, "15m", table)
    assert store.newest(EXCHANGE, "15m").bars["volume"].tolist() == table["volume"].tolist()
    assert [name for name in store.newest(EXCHANGE, "15m").bars if name in VALUES] == list(VALUES)
