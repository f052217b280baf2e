"""Fixtures shared by several folders of tests."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings
from playwright.sync_api import Browser

from quant_assets.emulator import Faults
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD, new_database, postgresql
from quant_assets_tests.faults.seeding import LONG, SEED
from quant_assets_tests.programs import chromium
from quant_assets_tests.world import World, small_world

# Other work on the machine, or a first call, may slow an example down, so examples have no deadline.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


#: Dagster waits for the disk at each of hundreds of commits of a run, so temporary folders are kept in memory.
MEMORY_FOLDER = Path("/dev/shm")
MIN_FREE_BYTES = 8 * 2**30


#: The test functions whose first case was measured.
MEASURED = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary folders in memory if there is room and PYTEST_DEBUG_TEMPROOT names no other place.

    Also drop the variables of a parent `make`, or a `make` that a test starts would print as its sub-make.
    """
    if MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free >= MIN_FREE_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_FOLDER))
    config.stash[MEASURED] = set()
    for name in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
        os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the modules and the tests out of garbage collections, which took a quarter of the time of each scan."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


#: Folders of tests of Dagster, of whole commands and of faults. Some of their files take minutes, so they come first,
#: and no worker ends alone.
WHOLE_PROGRAM = ("defs", "faults", "cli", "orchestration")
#: Folders in which coverage is not measured: it doubles the time of Dagster; the emulator is no domain code.
NOT_MEASURED = (*WHOLE_PROGRAM, "emulator", "fuzz", "")


def _folder(item: pytest.Item) -> str:
    """Return the folder of a test below this one, or an empty string."""
    return item.path.relative_to(Path(__file__).parent).parts[0] if item.path.parent != Path(__file__).parent else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long tests come first. Each worker of pytest-xdist takes the next file when it is ready."""
    order = {folder: number for number, folder in enumerate(WHOLE_PROGRAM)}
    items.sort(key=lambda item: order.get(_folder(item), len(order) + (item.get_closest_marker("slow") is None)))


def _is_measured(item: pytest.Item, functions: set[str]) -> bool:
    """Return whether coverage is measured: of the first case of a test alone, since it doubles the time."""
    function = item.nodeid.partition("[")[0]
    if function in functions or _folder(item) in NOT_MEASURED or item.get_closest_marker("slow"):
        return False
    functions.add(function)
    return "browser" not in getattr(item, "fixturenames", ())  # such tests run the page's scripts


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Measure coverage by unit tests and those of the dashboard alone."""
    measured = Coverage.current()
    if measured is None or _is_measured(item, item.config.stash[MEASURED]):
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()


def pytest_report_header() -> str:
    return f"faults: {'long' if LONG else 'short'} form, seed {SEED}"


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Simulate a small market, which all modules share."""
    with small_world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(scope="module")
def world(market: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the shared market with data folders of this module's own, so that names of two modules cannot collide."""
    market.emulator.faults = Faults()
    return replace(market, folder=tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the key and the folders of the user who runs the tests."""
    names = ("API_KEY", "BASE_URL", "CALLS_PER_MINUTE")
    for name in (
        *(f"COINALYZE_{name}" for name in names),
        "QUANT_DATA_DIR",
        "QUANT_CANDLES_DIR",
        "QUANT_BUDGET_DIR",
        "QUANT_LAKE_URL",
        "QUANT_DATABASE_URL",
        "QUANT_FEED_URL",
        "DAGSTER_HOME",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """Run a PostgreSQL server that asks for a password; yield the URL of its first database."""
    with postgresql(DATABASE_PASSWORD) as url:
        yield url


@pytest.fixture
def database_url(database_server: str) -> str:
    """Return the URL of a new database."""
    return new_database(database_server)
