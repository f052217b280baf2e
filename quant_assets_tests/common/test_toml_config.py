"""Keys that were renamed are still read from users' TOML files under their old names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import RenamedFrom, RenamedKeyWarning, load_config


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max_distance: Annotated[float, Field(le=1), RenamedFrom("farthest")] = 0.03


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    days: Annotated[int, RenamedFrom("keep_days")] = 30
    breakout: Inner = Inner()


class ConfigError(ValueError):
    pass


def load(folder: Path, text: str) -> Outer:
    path = folder / "user.toml"
    path.write_text(text)
    return load_config(path, Outer, ConfigError)


def test_old_key_sets_the_renamed_field_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(RenamedKeyWarning, match=r"user\.toml: keep_days is now called days") as caught:
        assert load(tmp_path, "keep_days = 7\n").days == 7
    assert len(caught) == 1


def test_old_key_of_a_table_is_renamed_too(tmp_path: Path) -> None:
    with pytest.warns(RenamedKeyWarning, match=r"breakout\.farthest is now called max_distance"):
        assert load(tmp_path, "[breakout]\nfarthest = 0.5\n").breakout.max_distance == 0.5


def test_new_key_is_read_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path, "days = 7\n[breakout]\nmax_distance = 0.5\n").days == 7


def test_old_and_new_key_together_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"breakout\.farthest is the old name of breakout\.max_distance"):
        load(tmp_path, "[breakout]\nfarthest = 0.5\nmax_distance = 0.5\n")


@pytest.mark.filterwarnings("ignore::quant_assets.common.toml_config.RenamedKeyWarning")
def test_value_of_an_old_key_is_validated_under_the_new_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"breakout\.max_distance: .* less than or equal to 1"):
        load(tmp_path, "[breakout]\nfarthest = 2\n")


def test_unknown_key_error_lists_new_names_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_distanc: there is no such key; known are max_distance$"):
        load(tmp_path, "[breakout]\nmax_distanc = 2\n")
