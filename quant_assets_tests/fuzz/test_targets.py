"""Every fuzz target holds for its seeds, for randomly damaged seeds, and for arbitrary bytes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.fuzz.__main__ import TARGETS

TARGET = pytest.mark.parametrize("name", TARGETS)


def target_of(name: str) -> ModuleType:
    return importlib.import_module(f"quant_assets_tests.fuzz.{name}")


def damaged(target: ModuleType, count: int) -> list[bytes]:
    """Return seeds with random parts removed, inserted, doubled and overwritten."""
    rng = seeded_random(target.__name__)
    found = []
    for _ in range(count):
        data = rng.choice(target.SEEDS)
        for _ in range(rng.randint(1, 4)):
            start = rng.randint(0, len(data))
            end = min(len(data), start + rng.choice((0, 1, 4, 40)))
            piece = rng.choice((b"", data[start:end] * 2, rng.choice(target.WORDS), rng.randbytes(2)))
            data = data[:start] + piece + data[end:]
        found.append(data)
    return found


@TARGET
def test_target_holds_for_its_seeds(name: str) -> None:
    target = target_of(name)
    for seed in target.SEEDS:
        target.check(seed)


@TARGET
def test_target_holds_for_damaged_seeds(name: str) -> None:
    target = target_of(name)
    for data in damaged(target, rounds(300, 30_000)):
        target.check(data)


@TARGET
@settings(max_examples=rounds(60, 3_000))
@given(data=st.binary(max_size=400))
def test_target_holds_for_any_bytes(name: str, data: bytes) -> None:
    target_of(name).check(data)


def test_runner_without_atheris_says_how_to_install_it() -> None:
    program = "import sys, runpy; sys.modules['atheris'] = None; sys.argv[1:] = ['names']\n"
    program += "runpy.run_module('quant_assets_tests.fuzz', run_name='__main__')\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "pip install -e '.[fuzz]'" in ended.stderr
