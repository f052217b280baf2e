"""Feeds of two windows, scanned once, and a dashboard over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_assets.settings import Settings
from quant_assets.windows import LENGTH, Window
from quant_assets_tests.dashboard.serving import Site, copied, serving
from quant_assets_tests.world import World


@pytest.fixture(scope="session")
def scanned(world: World) -> Settings:
    """A data folder as two scans left it: the newest window and the one before."""
    world.scan("dashboard", window=Window(world.window.end - LENGTH))
    world.scan("dashboard")
    return world.settings("dashboard")


@pytest.fixture(scope="module")
def site(scanned: Settings) -> Iterator[Site]:
    """A dashboard over feeds that no test changes."""
    with serving(scanned) as served:
        yield served


@pytest.fixture
def own_site(scanned: Settings, tmp_path: Path) -> Iterator[Site]:
    """A dashboard over a copy, for a test that changes the feed."""
    with serving(copied(scanned, tmp_path / "data")) as served:
        yield served
