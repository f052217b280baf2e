"""Messages on stderr."""

from __future__ import annotations

import warnings

import pytest

from quant_assets.cli.errors import show_file_warnings_once
from quant_assets.common.toml_config import RenamedKeyWarning


def test_warning_about_a_renamed_key_is_one_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        show_file_warnings_once()
        for _ in range(2):
            warnings.warn("refresh.toml: old is now called new", RenamedKeyWarning, stacklevel=1)
    assert capsys.readouterr().err == "refresh.toml: old is now called new\n"


def test_other_warnings_are_shown_as_usual() -> None:
    with warnings.catch_warnings(record=True) as shown:
        show_file_warnings_once()
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["something else"]
