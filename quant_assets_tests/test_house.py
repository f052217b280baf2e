"""Check how the package is built: imports run one way, domain code does not import Dagster, files are short."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from quant_assets import defs

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "quant_assets"
#: From the top down. A package may import from itself and from the layers below its own.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("definitions",),
    ("defs",),
    ("orchestration", "dashboard"),
    ("alerts", "feed"),
    ("evaluation",),
    ("signals",),
    ("derivatives",),
    ("candles",),
    ("providers",),
    ("markets",),
    ("storage", "emulator"),
    ("common",),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}
ROOT_MODULES = {"__init__.py", "__main__.py", "definitions.py"}
MAY_IMPORT_DAGSTER = {"defs", "definitions", "orchestration"}
#: Documented names with an underscore: those of named tuples, and os._exit.
PUBLIC_UNDERSCORES = {"_replace", "_make", "_asdict", "_fields", "_field_defaults", "_exit"}
CODE_LOADERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code"} | {
    *("runpy", "imp", "importlib.util", "importlib.machinery", "builtins"),
    *("read_pickle", "to_pickle", "unsafe_load", "full_load", "Loader", "UnsafeLoader"),
}
MAX_LINES = 330
FILES = sorted(PACKAGE.rglob("*.py"))
ALL_FILES = sorted([*FILES, *Path(__file__).parent.rglob("*.py")])


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports, those inside functions and for type checking included."""
    return imports_in(ast.parse(text_of(path)), str(path))


def problems(of: Callable[[Path], object], files: Iterable[Path] = FILES) -> dict[str, object]:
    """Return what is wrong with each file, by its path; files without a problem are left out."""
    found = {str(path.relative_to(ROOT)): of(path) for path in files}
    return {name: problem for name, problem in found.items() if problem}


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


def test_every_package_is_in_a_layer() -> None:
    assert {package_of(path) for path in FILES} - {"__init__"} == set(LAYER_OF)


def test_modules_live_in_packages() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == ROOT_MODULES


def test_imports_run_one_way() -> None:
    assert problems(forbidden_imports) == {}


def forbidden_imports(path: Path) -> list[str]:
    """Return the imports of a file that are neither of its own package nor of a layer below."""
    package = package_of(path)
    if package == "__init__":
        return sorted(imports_of(path))
    targets = {module: module.split(".")[1] for module in imports_of(path) if module.startswith("quant_assets.")}
    return [name for name, other in targets.items() if other != package and LAYER_OF[other] <= LAYER_OF[package]]


def test_only_storage_handles_the_objects_of_the_lake() -> None:
    for path in FILES:
        if package_of(path) in {"storage", "common"}:
            continue
        text = re.sub(r"\bLake\([\w.]+\.lake_place\)", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\blake_(dir|place)\b|\blake\.objects\b|storage\.objects\b", text), (
            f"{path} handles stored objects"
        )


def test_only_the_command_line_imports_the_emulator() -> None:
    emulator = "quant_assets.emulator"
    importers = {
        package_of(path)
        for path in FILES
        if any(module == emulator or module.startswith(f"{emulator}.") for module in imports_of(path))
    }
    assert importers == {"cli", "emulator"}


def test_only_the_dagster_layer_imports_dagster() -> None:
    others = [path for path in FILES if package_of(path) not in MAY_IMPORT_DAGSTER]
    assert problems(lambda path: [name for name in imports_of(path) if name.startswith("dagster")], others) == {}


def test_only_public_parts_of_libraries_are_used() -> None:
    assert problems(lambda path: private_parts_in(text_of(path))) == {}


def private_parts_in(text: str) -> list[str]:
    """Return the private modules and names of libraries that a module imports or reads, each as it is written.

    Of Dagster's packages only what their top level exports is public.
    """
    tree = ast.parse(text)
    imported = imports_in(tree, "the module")
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found = {name for name in imported if any(is_private(part) for part in name.split("."))}
    found |= {name for name in modules if name and name.startswith("dagster") and "." in name}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in {"self", "cls"}:
            found.add(ast.unparse(node))
    return sorted(found)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC_UNDERSCORES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from dagster._core.events import EngineEventData", 2),
        ("import dagster._core", 1),
        ("def f() -> None:\n    import dagster.core", 1),
        ("from dagster.components import Component", 1),
        ("from dagster import _check", 1),
        ("from pandas._libs import lib", 2),
        ("import dagster as dg\ndg._core.events", 1),
        ("instance._event_storage.path_for_shard('')", 1),
        ("from __future__ import annotations\nimport dagster as dg\nfrom dagster_postgres import x\nimport a.b", 0),
        ("class A:\n    def f(self):\n        return self._mine, cls._mine, super().__init__()", 0),
    ],
)
def test_private_parts_of_libraries_are_found(text: str, found: int) -> None:
    assert len(private_parts_in(text)) == found


def test_no_settings_name_a_private_module_of_dagster() -> None:
    settings = [*PACKAGE.rglob("*.yaml"), *(ROOT / "docs").rglob("*.yaml"), *ROOT.glob("*.yaml")]
    assert len(settings) >= 3
    assert [path for path in settings if "dagster._" in path.read_text(encoding="utf-8")] == []


def test_every_file_has_a_docstring() -> None:
    assert [path for path in FILES if not ast.get_docstring(ast.parse(text_of(path)))] == []


def test_every_file_is_short() -> None:
    lines = {path: len(text_of(path).splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_docstrings_and_constants_are_worded_plainly() -> None:
    assert problems(lambda path: private_words(text_of(path)), ALL_FILES) == {}


def private_words(text: str) -> list[str]:
    """Return the docstring lines "Here: …" and "Not here: …", and the names LEAST_*, MOST_* and LONGEST_*."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (ast.get_docstring(node) or "").splitlines()
            found += [line for line in lines if line.lstrip().startswith(("Here:", "Not here:"))]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found += [node.id] * bool(re.match(r"_?(LEAST|MOST|LONGEST)_", node.id))
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"""Say what it does.\n\nHere: this. Not here: that.\n"""', ["Here: this. Not here: that."]),
        ('class A:\n    """Not here: that."""', ["Not here: that."]),
        ("LEAST_BARS = 3", ["LEAST_BARS"]),
        ("_LONGEST_PAUSE: float = 3.0", ["_LONGEST_PAUSE"]),
        ('"""Nothing is here: it moved."""\nMIN_BARS = 3', []),
    ],
)
def test_private_words_are_found(text: str, found: list[str]) -> None:
    assert private_words(text) == found


def test_no_file_on_disk_is_run_as_code() -> None:
    assert problems(lambda path: code_loaders_in(text_of(path))) == {}


def code_loaders_in(text: str) -> set[str]:
    """Return the names in a module that can run the text or bytes they are given."""
    tree = ast.parse(text)
    modules = imports_in(tree, "the module")
    parts = {name for module in modules for name in (module, module.split(".")[0], module.split(".")[-1])}
    found = parts & CODE_LOADERS
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
def test_calls_that_run_what_they_read_are_found(text: str) -> None:
    assert code_loaders_in(text) != set()


def test_every_module_of_defs_builds_its_definitions() -> None:
    modules = {found.name: import_module(f"quant_assets.defs.{found.name}") for found in iter_modules(defs.__path__)}
    assert [name for name, module in modules.items() if not hasattr(module, "build")] == []


def test_domain_packages_work_without_dagster() -> None:
    program = (
        "import sys; sys.modules['dagster'] = None\n"
        "import quant_assets.providers.coinalyze, quant_assets.candles, quant_assets.markets, "
        "quant_assets.derivatives, quant_assets.signals, quant_assets.feed, quant_assets.emulator, "
        "quant_assets.storage\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_no_file_names_a_package_registry_or_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = re.compile(
        "|".join(["py" + r"pi\.org", "python" + "hosted", "npm" + "js", r"deb\." + "debian"]), re.IGNORECASE
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not hosts.search(text), name
            assert "/work/" + "main" not in text, name


#: Where Coinalyze's package may be imported: where it is registered, and where it is simulated.
COINALYZE_IMPORTERS = ("providers/", "emulator/")


def test_no_module_depends_on_one_provider() -> None:
    others = [path for path in FILES if not path.relative_to(PACKAGE).as_posix().startswith(COINALYZE_IMPORTERS)]
    coinalyze = "quant_assets.providers.coinalyze"
    assert problems(lambda path: [name for name in imports_of(path) if name.startswith(coinalyze)], others) == {}


def test_only_the_client_of_exchanges_imports_ccxt() -> None:
    """Importing ccxt takes half a second and 70 MB, which only a fetch should pay."""
    users = {path.relative_to(PACKAGE).as_posix() for path in FILES if "ccxt" in imports_of(path)}
    assert users == {"providers/exchanges/client.py"}


def test_definitions_load_without_ccxt() -> None:
    program = (
        "import sys; from quant_assets.common.settings import Settings; from quant_assets import definitions\n"
        "definitions.build_definitions(Settings()); assert 'ccxt' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
