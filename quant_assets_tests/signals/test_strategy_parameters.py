"""Strategy parameters from a user's TOML file: valid values are applied, invalid values are refused with their key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from quant_assets.common.toml_config import RenamedKeyWarning
from quant_assets.signals import (
    Features,
    ParametersError,
    Strategy,
    Verdict,
    discover_strategies,
    parameters_of,
    with_parameters,
)

BUILT_IN = discover_strategies().strategies


@dataclass(frozen=True)
class Odd(Strategy):
    """A strategy whose names clash with pydantic's, and with a field that is no parameter."""

    name = "Odd"
    key = "model_config"
    description = "for tests"
    strategy_type = "test"
    parts = ()
    limits: ClassVar = {"model_fields": (1, 3)}
    renamed_parameters: ClassVar = {"quick": "fast"}

    model_fields: int = 2
    json: str = "a"
    fast: bool = True
    table: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if self.json == "b":
            raise ValueError("json must not be b")

    def judge(self, features: Features) -> Verdict:
        return Verdict.of("NONE", {}, "never", None)


def file_of(folder: Path, text: str) -> Path:
    path = folder / "strategies.toml"
    path.write_text(text)
    return path


def test_file_changes_only_the_parameters_it_names(tmp_path: Path) -> None:
    path = file_of(tmp_path, "[legacy]\nthreshold = 65\n[breakout_v2]\nmin_rr = 1.5\n")
    before = {strategy.key: parameters_of(strategy) for strategy in BUILT_IN}
    after = {strategy.key: parameters_of(strategy) for strategy in with_parameters(BUILT_IN, path)}
    assert after == {
        **before,
        "breakout_v2": {**before["breakout_v2"], "min_rr": 1.5},
        "legacy": {**before["legacy"], "threshold": 65.0},
    }
    assert before["legacy"]["threshold"] == 70.0


@pytest.mark.parametrize("text", [None, "", "[legacy]\n"])
def test_missing_or_empty_file_changes_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "strategies.toml" if text is None else file_of(tmp_path, text)
    assert with_parameters(BUILT_IN, path) == BUILT_IN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[legaci]\nthreshold = 65\n", ("legaci", "known are breakout, breakout_v2, legacy")),
        ("[legacy]\ntreshold = 65\n", ("legacy.treshold", "known are min_stop_pct, threshold, stop_atr, min_reward")),
        ("[legacy]\nthreshold = 101\n", ("legacy.threshold", "less than or equal to 100")),
        ("[breakout_v2]\nstop_atr = 0\n", ("breakout_v2.stop_atr", "greater than or equal to 0.1")),
        ("[legacy]\nmin_stop_pct = -1\n", ("legacy.min_stop_pct", "greater than or equal to 0")),
        ("[model_config]\nmin_stop_pct = 101\n", ("model_config.min_stop_pct", "less than or equal to 100")),
        ("[legacy]\nthreshold = nan\n", ("legacy.threshold", "finite")),
        ("[legacy]\nthreshold = true\n", ("legacy.threshold", "number")),
        ('[legacy]\nthreshold = "65"\n', ("legacy.threshold", "number")),
        ("[legacy]\nname = 1\n", ("legacy.name", "known are")),
        ("legacy = 65\n", ("legacy", "dictionary")),
        ("field_0 = 1\n", ("field_0", "known are")),
        ("legacy = \n", ("cannot be read as TOML",)),
        ('[model_config]\njson = "b"\n', ("model_config", "json must not be b")),
        ("[model_config]\nmodel_fields = 4\n", ("model_config.model_fields", "less than or equal to 3")),
        ("[model_config]\ntable = [2]\n", ("model_config.table", "known are min_stop_pct, model_fields, json, fast")),
    ],
)
def test_invalid_file_is_refused_with_its_path_and_key(tmp_path: Path, text: str, told: tuple[str, ...]) -> None:
    path = file_of(tmp_path, text)
    chosen = [*BUILT_IN, Odd()] if "model_config" in text else BUILT_IN
    with pytest.raises(ParametersError) as caught:
        with_parameters(chosen, path)
    assert [part for part in (str(path), *told) if part not in str(caught.value)] == []


def test_parameters_may_have_names_that_pydantic_reserves(tmp_path: Path) -> None:
    path = file_of(tmp_path, '[model_config]\nmodel_fields = 3\njson = "c"\nfast = false\n')
    assert with_parameters([Odd()], path) == (Odd(model_fields=3, json="c", fast=False),)


def test_old_name_of_a_renamed_parameter_is_read_with_a_warning(tmp_path: Path) -> None:
    path = file_of(tmp_path, "[model_config]\nquick = false\n")
    with pytest.warns(RenamedKeyWarning, match=r"strategies\.toml: model_config\.quick is now called fast"):
        assert with_parameters([Odd()], path) == (Odd(fast=False),)


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("breakout", "farthest", "max_distance"),
        ("breakout", "least_rr", "min_rr"),
        ("breakout_v2", "farthest", "max_distance"),
        ("breakout_v2", "least_rr", "min_rr"),
        ("legacy", "least_reward", "min_reward"),
    ],
)
def test_old_name_of_a_built_in_parameter_warns_and_excludes_the_new(
    tmp_path: Path, key: str, old: str, new: str
) -> None:
    with pytest.warns(RenamedKeyWarning, match=rf"{key}\.{old} is now called {new}"):
        changed = with_parameters(BUILT_IN, file_of(tmp_path, f"[{key}]\n{old} = 0.25\n"))
    assert {strategy.key: parameters_of(strategy) for strategy in changed}[key][new] == 0.25
    with pytest.raises(ParametersError, match=rf"{key}\.{old} is the old name of {key}\.{new}"):
        with_parameters(BUILT_IN, file_of(tmp_path, f"[{key}]\n{old} = 0.25\n{new} = 0.25\n"))
