"""Accessibility of the page, checked with axe-core."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from quant_assets.dashboard.rows import rows_of
from quant_assets_tests.dashboard.serving import GATES, TIMEOUT_SECONDS, Site


@pytest.mark.parametrize(
    ("view", "width", "scheme"),
    [
        ("table", 1280, "light"),
        ("table", 1280, "dark"),
        ("table", 390, "light"),
        ("detail", 1280, "light"),
        ("detail", 1280, "dark"),
        ("detail", 390, "dark"),
    ],
)
def test_page_has_no_serious_axe_violation(
    browser: Browser, setups_site: Site, view: str, width: int, scheme: str
) -> None:
    name = next(
        row.id
        for row in rows_of(setups_site.feed["signals"], GATES)
        if row.strategy == "Breakout" and row.action == "SHORT"
    )
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(setups_site.url + (f"/?open={quote(name)}" if view == "detail" else "/"))
        page.wait_for_selector("html[data-ready]")
        if view == "detail":
            page.wait_for_selector("#detail[data-drawn]", timeout=TIMEOUT_SECONDS * 1000)
        found = Axe().run(page).response["violations"]
    serious = [
        f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_error_page_has_no_serious_axe_violation(browser: Browser, own_site: Site, allowed_errors: list[str]) -> None:
    allowed_errors.append("status of 503")  # the page itself, as Chromium reports any response but 200
    own_site.settings.feed_path.unlink()
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(own_site.url)
        found = Axe().run(page).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
