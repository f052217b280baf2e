"""Accessibility of the page, checked with axe-core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from quant_assets.dashboard.rows import rows_of
from quant_assets_tests.dashboard.serving import GATES, TIMEOUT_SECONDS, Site


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context in which axe can be added to a page."""
    with browser.new_context(bypass_csp=True) as opened:
        opened.set_default_timeout(TIMEOUT_SECONDS * 1000)
        yield opened


@pytest.mark.parametrize(
    ("view", "width", "scheme"),
    [
        ("table", 390, "light"),
        ("detail", 1280, "light"),  # beside the table
        ("detail", 1280, "dark"),
        ("detail", 390, "dark"),
    ],
)
def test_page_has_no_serious_axe_violation(
    page: Page, setups_site: Site, view: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    name = next(
        row.id
        for row in rows_of(setups_site.feed["signals"], GATES)
        if row.strategy == "Breakout" and row.action == "SHORT"
    )
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(setups_site.url + (f"/?open={quote(name)}" if view == "detail" else "/"))
    page.wait_for_selector("html[data-ready]")
    if view == "detail":
        page.wait_for_selector("#detail[data-drawn]")
    found = Axe().run(page).response["violations"]
    serious = [
        f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def _wait_until_announced(site: Site, kind: str) -> None:
    with requests.get(f"{site.url}/api/events", stream=True, timeout=TIMEOUT_SECONDS) as stream:
        assert any(line == f"event: {kind}".encode() for line in stream.iter_lines())


def test_error_page_has_no_serious_axe_violation(page: Page, own_site: Site, allowed_errors: list[str]) -> None:
    allowed_errors.append("status of 503")  # the page itself, as Chromium reports any response but 200
    own_site.settings.feed_path.unlink()
    _wait_until_announced(own_site, "problem")  # until then the page is told of the feed that was there, and reloads
    page.goto(own_site.url)
    found = Axe().run(page).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
