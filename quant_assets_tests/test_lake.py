"""The tables on disk."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quant_assets.lake import Lake

TABLE = pd.DataFrame(
    {"name": pd.Categorical(["a", "a", "b"]), "text": ["x", "", "z"], "number": [1.5, float("nan"), 2]}
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_a_table_comes_back_as_it_was_written(lake: Lake) -> None:
    path = lake.write(["candles"], None, TABLE)
    back = Lake(lake.root).read(["candles"])
    pd.testing.assert_frame_equal(back, TABLE)
    assert path.is_file()


def test_a_table_that_lies_there_already_is_not_written_again(lake: Lake) -> None:
    path = lake.write(["candles"], None, TABLE)
    before = path.stat()
    lake.write(["candles"], None, TABLE.copy())
    assert path.stat() == before
    lake.write(["candles"], None, TABLE.assign(number=[1.5, float("nan"), 3]))
    assert path.stat().st_ino != before.st_ino


def test_a_table_that_somebody_else_replaced_is_written_again(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    Lake(lake.root).write(["candles"], None, TABLE[:1])
    lake.write(["candles"], None, TABLE)
    pd.testing.assert_frame_equal(Lake(lake.root).read(["candles"]), TABLE)


def test_a_table_that_was_deleted_is_written_again(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE).unlink()
    assert lake.write(["candles"], None, TABLE).is_file()


def test_what_one_reader_changes_no_other_sees(lake: Lake) -> None:
    lake.write(["candles"], None, TABLE)
    for reader in (lake, Lake(lake.root)):
        first = reader.read(["candles"])
        assert first is not None
        first["number"] = 0.0
        pd.testing.assert_frame_equal(reader.read(["candles"]), TABLE)
