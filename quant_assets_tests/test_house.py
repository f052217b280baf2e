"""The house: imports run one way, domain code knows nothing of Dagster, files stay short and say what they are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from quant_assets import defs

PACKAGE = Path(__file__).parents[1] / "quant_assets"
#: From the top down: a room may import from its own and from those after it, never from those before it.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("definitions",),
    ("defs",),
    ("orchestration", "dashboard"),
    ("alerts", "feed"),
    ("signals",),
    ("derivatives",),
    ("providers", "candles"),
    ("markets",),
    ("storage", "emulator"),
    ("common",),
)
ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
KNOWS_DAGSTER = {"defs", "definitions", "orchestration"}
RUNS_WHAT_IT_READS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code"} | {
    *("runpy", "imp", "importlib.util", "importlib.machinery", "builtins"),
    *("read_pickle", "to_pickle", "unsafe_load", "full_load", "Loader", "UnsafeLoader"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports, those inside functions and for type checking included."""
    return imports_in(ast.parse(path.read_text(encoding="utf-8")), str(path))


def imports_in(tree: ast.AST, name: str) -> set[str]:
    """Return the modules and names that a module imports, each with its whole path."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_every_room_has_its_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert imports_of(path) == set()
        return
    for module in imports_of(path):
        if not module.startswith("quant_assets."):
            continue
        target = module.split(".")[1]
        if target == room:
            continue
        assert ROOMS[target] >= ROOMS[room], f"{path} imports {module} from above"
        assert ROOMS[target] != ROOMS[room] or target == room, f"{path} imports {module} from the room beside"
        assert target != "emulator" or room == "cli", f"{path} imports the emulator"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_dagster_layer_imports_dagster(path: Path) -> None:
    imports_dagster = any(module.split(".")[0].startswith("dagster") for module in imports_of(path))
    assert not imports_dagster or room_of(path) in KNOWS_DAGSTER


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_is_short_and_opens_with_what_belongs_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is"
    assert len(text.splitlines()) <= 330, f"{path} has {len(text.splitlines())} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_that_lies_on_disk_is_ever_run_as_code(path: Path) -> None:
    assert what_runs(path.read_text(encoding="utf-8")) == set()


def what_runs(text: str) -> set[str]:
    """Return what a module uses that could run what it reads."""
    tree = ast.parse(text)
    modules = imports_in(tree, "the module")
    parts = {name for module in modules for name in (module, module.split(".")[0], module.split(".")[-1])}
    found = parts & RUNS_WHAT_IT_READS
    found |= {name for name in modules if name in {"yaml.load", "yaml.load_all"}}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in {"eval", "exec", "compile", "__import__"} or name.rpartition(".")[2] in {"read_pickle", "to_pickle"}:
            found.add(name)
        if name.split(".")[0] == "yaml" and name not in {"yaml.safe_load", "yaml.safe_dump"}:
            found.add(name)
        found.update(f"{name}(allow_pickle)" for keyword in node.keywords if keyword.arg == "allow_pickle")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import runpy",
        "from importlib.util import spec_from_file_location",
        "import importlib.util",
        "import yaml\nyaml.unsafe_load('')",
        "from yaml import load",
        "from pandas import read_pickle",
        "import builtins\nbuiltins.eval('')",
        "eval('')",
        "import numpy\nnumpy.load('', allow_pickle=True)",
        "import pandas\npandas.read_pickle('')",
    ],
)
def test_what_would_run_what_it_reads_is_found(text: str) -> None:
    assert what_runs(text) != set()


def test_every_module_of_defs_builds_its_definitions() -> None:
    modules = {found.name: import_module(f"quant_assets.defs.{found.name}") for found in iter_modules(defs.__path__)}
    kept_for_users = {"sqlite_storage"}  # dagster.yaml of an instance names it
    assert {name for name, module in modules.items() if not hasattr(module, "build")} == kept_for_users


def test_the_domain_can_be_used_where_dagster_is_not_installed() -> None:
    program = (
        "import sys; sys.modules['dagster'] = None\n"
        "import quant_assets.providers.coinalyze, quant_assets.candles, quant_assets.markets, "
        "quant_assets.derivatives, quant_assets.signals, quant_assets.feed, quant_assets.emulator, "
        "quant_assets.storage\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_no_file_of_the_project_names_a_package_registry_or_a_machine() -> None:
    root = PACKAGE.parent
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = re.compile(
        "|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + "js", r"deb\." + "debian"]), re.IGNORECASE
    )
    for name in listed.stdout.splitlines():
        path = root / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not hosts.search(text), name
            assert "/work/" + "main" not in text, name
