"""Discovery of strategies, valid and invalid. Plugins are package metadata in a temporary folder on `sys.path`."""

from __future__ import annotations

import sys
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from quant_assets.signals import discover_strategies, strategies

STRATEGY = """
from dataclasses import dataclass
from quant_assets.signals import Strategy, Verdict

@dataclass(frozen=True)
class Mine(Strategy):
    name = {name!r}
    key = {key!r}
    description = "for tests"
    strategy_type = "test"
    parts = {parts!r}

    def judge(self, features):
        return Verdict.of("NONE", dict.fromkeys(self.parts, 1.0), "never", None)

mine = Mine()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a module as a plugin: its code, and the entry point that names an object in it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install_plugin(module: str, code: str, target: str = "mine") -> None:
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[quant_assets.strategies]\n{module} = {module}:{target}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install_plugin


def code(name: str = "Mine", key: str = "mine", parts: Any = ("one",)) -> str:
    return STRATEGY.format(name=name, key=key, parts=parts)


#: Each built-in strategy is a file that is named after its key.
BUILT_IN_KEYS = sorted(module.name for module in iter_modules(strategies.__path__))


def keys() -> list[str]:
    return [strategy.key for strategy in discover_strategies().strategies]


def problems() -> str:
    found = discover_strategies()
    assert [strategy.key for strategy in found.strategies] == BUILT_IN_KEYS
    (problem,) = found.problems
    return problem


def test_built_in_strategies_are_sorted_by_key() -> None:
    found = discover_strategies()
    assert [strategy.key for strategy in found.strategies] == BUILT_IN_KEYS
    names = {strategy.key: strategy.name for strategy in found.strategies}
    assert {"breakout": "Breakout", "breakout_v2": "BreakoutV2", "legacy": "Legacy"}.items() <= names.items()
    assert found.problems == ()


@pytest.mark.parametrize("target", ["mine", "Mine"])
def test_plugin_may_be_an_instance_or_a_class(install: Any, target: str) -> None:
    install("plugin_good", code(), target)
    assert keys() == sorted([*BUILT_IN_KEYS, "mine"])


def test_new_strategy_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    (tmp_path / "one_new_file.py").write_text(code().replace("mine = Mine()", "strategy = Mine()"))
    (tmp_path / "one_that_helps.py").write_text("HELP = 1")
    try:
        found = discover_strategies()
    finally:
        for name in ("one_new_file", "one_that_helps"):
            sys.modules.pop(f"{strategies.__name__}.{name}", None)
    assert [strategy.key for strategy in found.strategies] == sorted([*BUILT_IN_KEYS, "mine"])
    assert found.problems == ()


def test_plugin_whose_declaration_raises_is_a_problem(install: Any) -> None:
    text = code().replace("name = 'Mine'", "name = property(lambda self: 1 / 0)")
    install("plugin_lazy", text)
    assert "ZeroDivisionError" in problems()


def test_plugin_that_cannot_be_imported_leaves_the_others_working(install: Any) -> None:
    install("plugin_good", code())
    install("plugin_broken", "import no_such_module_anywhere")
    found = discover_strategies()
    assert "mine" in [strategy.key for strategy in found.strategies]
    (problem,) = found.problems
    assert "plugin_broken" in problem
    assert "no_such_module_anywhere" in problem


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('boom')", "import sys; sys.exit(3)", "syntax error", "mine = undefined"]
)
def test_plugin_that_fails_in_any_way_is_a_problem(install: Any, body: str) -> None:
    install("plugin_failing", body)
    assert "cannot be loaded" in problems()


def test_plugin_with_an_invalid_entry_point_is_a_problem(install: Any) -> None:
    install("plugin_empty", "")
    assert "AttributeError" in problems()


def test_plugin_that_is_no_strategy_is_a_problem(install: Any) -> None:
    install("plugin_number", "mine = 7")
    assert "is not a Strategy but int" in problems()


@pytest.mark.parametrize(("name", "key"), [("Legacy", "mine"), ("Mine", "legacy")])
def test_duplicate_name_or_key_is_a_problem(install: Any, name: str, key: str) -> None:
    install("plugin_double", code(name, key))
    assert "taken" in problems()


@pytest.mark.parametrize("key", ["", "With Spaces", "UPPER", "1st", "../x"])
def test_invalid_key_is_a_problem(install: Any, key: str) -> None:
    install("plugin_key", code(key=key))
    assert "key" in problems()


@pytest.mark.parametrize("parts", [["one"], ("one", "one"), ("no good",), (1,)])
def test_invalid_parts_are_a_problem(install: Any, parts: Any) -> None:
    install("plugin_parts", code(parts=parts))
    assert "parts" in problems()


@pytest.mark.parametrize(
    "line",
    [
        "limits = {'a': (0.0,)}",
        "limits = {'a': ('x', 'y')}",
        "limits = [0.0, 1.0]",
        "renamed_parameters = {'a': 1}",
        "renamed_parameters = ('a', 'b')",
    ],
)
def test_invalid_limits_or_renamed_parameters_are_a_problem(install: Any, line: str) -> None:
    install("plugin_limits", code().replace("    name = ", f"    {line}\n    name = "))
    assert f"has invalid {line.split(maxsplit=1)[0]}" in problems()


def test_class_with_arguments_or_without_judge_is_a_problem(install: Any) -> None:
    install("plugin_abstract", "from quant_assets.signals import Strategy\nclass mine(Strategy): ...")
    assert "cannot be loaded: TypeError" in problems()
