"""Helpers for tests of the page in a browser: visit it, wait, and read what it shows."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from quant_assets.dashboard.rows import Row, rows_of
from quant_assets_tests.dashboard.serving import GATES, TIMEOUT_SECONDS, Site

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


def visit(page: Page, site: Site, address: str = "/") -> Page:
    page.goto(site.url + address)
    page.wait_for_selector("html[data-ready]")
    return page


def ids(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("main tbody tr[data-id]", "rows => rows.map(row => row.dataset.id)")
    return found


def rows(site: Site) -> list[Row]:
    return rows_of(site.feed["signals"], GATES)


def wait_for_row(page: Page, row_id: str) -> None:
    """Wait until the panel of a row shows all its charts."""
    page.wait_for_function("name => document.querySelector('#detail').dataset.drawn === name", arg=row_id)


def assert_first_ids(expected: list[Row], page: Page) -> None:
    """Assert that the drawn rows are the first of the expected ones."""
    drawn = ids(page)
    assert drawn == [row.id for row in expected][: len(drawn)]
    assert len(drawn) >= min(len(expected), 20)


def focused_id(page: Page) -> str | None:
    name: str | None = page.evaluate("document.activeElement.closest('tr')?.dataset.id ?? null")
    return name
