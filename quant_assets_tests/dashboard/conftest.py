"""Fixtures: a data folder with the feeds of two windows, and dashboards that serve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS, Site, copy_data, serving, with_setups
from quant_assets_tests.world import World, kept_in_memory


@pytest.fixture(scope="session")
def scanned(market: World) -> Settings:
    """A data folder after two scans: of the newest window and the one before."""
    with kept_in_memory(market) as kept:
        kept.scan("dashboard", window=Window(market.window.end - WINDOW_LENGTH))
        kept.scan("dashboard")
    return market.settings("dashboard")


@pytest.fixture(scope="module")
def site(scanned: Settings) -> Iterator[Site]:
    """A dashboard for feeds that no test changes."""
    with serving(scanned) as served:
        yield served


@pytest.fixture
def own_site(scanned: Settings, tmp_path: Path) -> Iterator[Site]:
    """A dashboard for a copy of the data, for tests that change the feed."""
    with serving(copy_data(scanned, tmp_path / "data")) as served:
        yield served


@pytest.fixture(scope="module")
def setups_site(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard for a feed that always has a LONG and a SHORT."""
    with serving(copy_data(scanned, tmp_path_factory.mktemp("shown") / "data")) as site:
        site.write(orjson.dumps(with_setups(site.feed)))
        yield site


@pytest.fixture
def own_page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own, for tests that change its clock.

    A test names its site first, so that the page is closed before its server stops.
    """
    with browser.new_context() as opened:
        opened.set_default_timeout(TIMEOUT_SECONDS * 1000)
        yield opened.new_page()


@pytest.fixture
def allowed_errors() -> list[str]:
    """Parts of console errors that a test expects; it appends them with the reason."""
    return []


@pytest.fixture(scope="module")
def faults() -> list[str]:
    """The console errors, uncaught errors and dialogs of all pages."""
    return []


@pytest.fixture(autouse=True)
def _no_faults(faults: list[str], allowed_errors: list[str]) -> Iterator[None]:
    """Fail a test in which a page had an error or a dialog that it did not expect."""
    faults.clear()
    yield
    assert [fault for fault in faults if not any(piece in fault for piece in allowed_errors)] == []


@pytest.fixture(scope="module")
def browser(browser: Browser, faults: list[str]) -> Iterator[Browser]:
    """Chromium, whose pages report their faults."""
    new_context = browser.new_context

    def watched(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        context.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        context.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}") or dialog.dismiss())
        return context

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser, "new_context", watched)
        yield browser


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """The context of a module's pages, so that a script is loaded once."""
    with browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light") as opened:
        opened.set_default_timeout(TIMEOUT_SECONDS * 1000)
        yield opened


@pytest.fixture(scope="module")
def shared_page(context: BrowserContext) -> Iterator[Page]:
    """The page of a module's tests, since a new one costs half as much as what a test does on it."""
    with context.new_page() as opened:
        yield opened


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """A blank page of 1280 by 800 pixels, in a light colour scheme and without stored settings."""
    shared_page.set_viewport_size({"width": 1280, "height": 800})
    shared_page.emulate_media(color_scheme="light")
    yield shared_page
    shared_page.evaluate("try { localStorage.clear(); } catch { /* a page without an origin has none */ }")
    shared_page.goto("about:blank")
