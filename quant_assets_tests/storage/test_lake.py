"""Tables are written atomically, cached, and never read damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quant_assets.storage.lake as lake_module
from quant_assets.storage.lake import Lake, LakeError

TABLE = pd.DataFrame(
    {"name": pd.Categorical(["a", "a", "b"]), "text": ["x", "", "z"], "number": [1.5, float("nan"), 2]}
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_table_is_read_as_it_was_written(lake: Lake) -> None:
    path = lake.write(["candles"], None, TABLE)
    back = Lake(lake.root).read(["candles"])
    pd.testing.assert_frame_equal(back, TABLE)
    assert path.is_file()


def test_unchanged_table_is_not_written_again(lake: Lake) -> None:
    path = lake.write(["candles"], None, TABLE)
    before = path.stat()
    lake.write(["candles"], None, TABLE.copy())
    assert path.stat() == before
    lake.write(["candles"], None, TABLE.assign(number=[1.5, float("nan"), 3]))
    assert path.stat().st_ino != before.st_ino


def test_table_replaced_by_another_process_is_written_again(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    Lake(lake.root).write(["candles"], None, TABLE[:1])
    lake.write(["candles"], None, TABLE)
    pd.testing.assert_frame_equal(Lake(lake.root).read(["candles"]), TABLE)


def test_deleted_table_is_written_again(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE).unlink()
    assert lake.write(["candles"], None, TABLE).is_file()


def test_changing_a_read_table_does_not_change_the_cache(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    for reader in (lake, Lake(lake.root)):
        first = reader.read(["candles"])
        assert first is not None
        first["number"] = 0.0
        pd.testing.assert_frame_equal(reader.read(["candles"]), TABLE)


def test_changed_value_on_disk_is_reported_as_damage(lake: Lake) -> None:
    numbers = np.random.default_rng(1).normal(size=500)
    content = lake.write(["candles"], None, pd.DataFrame({"number": numbers})).read_bytes()
    at = content.index(numbers[250].tobytes())
    for place in range(at - 500, at + 500, 7):
        lake.path(["candles"]).write_bytes(flipped(content, place))
        with pytest.raises(LakeError, match=r"candles\.parquet is damaged"):
            Lake(lake.root).read(["candles"])


@pytest.mark.slow
def test_damage_anywhere_gives_a_table_or_an_error_that_names_it(lake: Lake) -> None:
    content = lake.write(["candles"], None, TABLE).read_bytes()
    for place in range(len(content)):
        for change in (1, 0x80, 0xFF):
            lake.path(["candles"]).write_bytes(flipped(content, place, change))
            reader = Lake(lake.root)
            try:
                assert reader.read(["candles"]) is not None
            except LakeError as error:
                assert "candles.parquet is damaged" in str(error)  # noqa: PT017 - some changes are harmless


def flipped(content: bytes, place: int, change: int = 0xFF) -> bytes:
    return content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]


def test_table_written_during_a_read_is_not_cached_as_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    other, read = Lake(lake.root), lake_module._read
    other.write(["candles"], None, TABLE)

    def read_slowly(path: Path) -> pd.DataFrame:
        table = read(path)
        other.write(["candles"], None, TABLE[:1])
        return table

    monkeypatch.setattr(lake_module, "_read", read_slowly)
    pd.testing.assert_frame_equal(lake.read(["candles"]), TABLE)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(lake.read(["candles"]), TABLE[:1])
