"""What tests of the page do with it: visit, wait, and read what is drawn."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from quant_assets.dashboard.rows import Row, rows_of
from quant_assets_tests.dashboard.serving import (
    PATIENCE,
    Site,
)

expect.set_options(timeout=PATIENCE * 1000)


def visit(page: Page, site: Site, address: str = "/") -> Page:
    page.goto(site.url + address)
    page.wait_for_selector("html[data-ready]")
    return page


def ids(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("main tbody tr[data-id]", "rows => rows.map(row => row.dataset.id)")
    return found


def rows(site: Site) -> list[Row]:
    return rows_of(site.feed["signals"])


def opened(page: Page, name: str) -> None:
    """Wait until a row's panel with all of its charts is there."""
    page.wait_for_function("name => document.querySelector('#detail').dataset.drawn === name", arg=name)


def first_ids(expected: list[Row], page: Page) -> None:
    """Hold what is drawn against what is expected, as far as it is drawn."""
    there = ids(page)
    assert there == [row.id for row in expected][: len(there)]
    assert len(there) >= min(len(expected), 20)


def focused(page: Page) -> str | None:
    name: str | None = page.evaluate("document.activeElement.closest('tr')?.dataset.id ?? null")
    return name
