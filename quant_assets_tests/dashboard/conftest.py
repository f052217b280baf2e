"""Feeds of two windows, scanned once, and a dashboard over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from quant_assets.common.settings import Settings
from quant_assets.common.windows import LENGTH, Window
from quant_assets_tests.dashboard.serving import PATIENCE, Site, copied, serving, with_setups
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


@pytest.fixture(scope="module")
def shown(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard over a feed that has a LONG and a SHORT at any hour."""
    with serving(copied(scanned, tmp_path_factory.mktemp("shown") / "data")) as site:
        site.write(orjson.dumps(with_setups(site.feed)))
        yield site


@pytest.fixture
def excused() -> list[str]:
    """What a test lets the console say: it appends a piece of the message, and why."""
    return []


@pytest.fixture
def browser(browser: Browser, excused: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Chromium, in none of whose windows an error may stand in the console, go uncaught, or be shown by a dialog."""
    faults: list[str] = []
    plain = browser.new_context

    def watched(**options: Any) -> BrowserContext:
        context = plain(**options)
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        context.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        context.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}") or dialog.dismiss())
        return context

    monkeypatch.setattr(browser, "new_context", watched)
    yield browser
    assert [fault for fault in faults if not any(piece in fault for piece in excused)] == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of 1280 by 800."""
    with browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light") as context:
        context.set_default_timeout(PATIENCE * 1000)
        yield context.new_page()
