"""axe-core over the page: nothing serious, in the table and in an open row, light and dark, wide and narrow."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from quant_assets.dashboard.rows import rows_of
from quant_assets_tests.dashboard.serving import PATIENCE, Site


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
def test_axe_finds_no_serious_fault(browser: Browser, shown: Site, view: str, width: int, scheme: str) -> None:
    name = next(
        row.id for row in rows_of(shown.feed["signals"]) if row.strategy == "Breakout" and row.action == "SHORT"
    )
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(shown.url + (f"/?open={quote(name)}" if view == "detail" else "/"))
        page.wait_for_selector("html[data-ready]")
        if view == "detail":
            page.wait_for_selector("#detail[data-drawn]", timeout=PATIENCE * 1000)
        found = Axe().run(page).response["violations"]
    told = [
        f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for fault in found
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert told == []


def test_axe_finds_no_serious_fault_where_the_feed_is_missing(
    browser: Browser, own_site: Site, excused: list[str]
) -> None:
    excused.append("status of 503")  # the page itself, as Chromium reports an answer that is no 200
    own_site.settings.feed_path.unlink()
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.goto(own_site.url)
        found = Axe().run(page).response["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
