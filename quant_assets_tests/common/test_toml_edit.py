"""Changing values in a user's TOML file: all else stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.common.files import WriteError
from quant_assets.common.toml_edit import set_table_values


def test_comments_order_and_other_keys_stay(tmp_path: Path) -> None:
    file = tmp_path / "strategies.toml"
    file.write_text(
        "# top\n[breakout]\nfarthest = 0.04  # old name\nmin_rr = 1.5  # mine\n\n[legacy]\nthreshold = 65\n"
    )
    set_table_values(file, "breakout", {"max_distance": 0.02, "min_rr": 2.0}, remove=["farthest"])
    assert file.read_text() == (
        "# top\n[breakout]\nmin_rr = 2.0  # mine\nmax_distance = 0.02\n\n[legacy]\nthreshold = 65\n"
    )


@pytest.mark.parametrize("text", ["legacy = {threshold = 65}\n", "legacy.threshold = 65\n", ""])
def test_table_of_any_form_takes_the_value(tmp_path: Path, text: str) -> None:
    file = tmp_path / "strategies.toml"
    file.write_text(text)
    set_table_values(file, "legacy", {"threshold": 70.0})
    assert "threshold = 70.0" in file.read_text()
    assert "65" not in file.read_text()


def test_missing_file_is_created(tmp_path: Path) -> None:
    set_table_values(tmp_path / "data" / "strategies.toml", "legacy", {"threshold": 70.0})
    assert (tmp_path / "data" / "strategies.toml").read_text() == "[legacy]\nthreshold = 70.0\n"


def test_file_that_cannot_be_written_stays(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(WriteError):
        set_table_values(tmp_path / "data" / "strategies.toml", "legacy", {"threshold": 70.0})
