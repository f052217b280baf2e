"""Dagster's UI in Debian's Chromium: lineage, the feed's page with its plots, the partitions of open interest.

With QUANT_PICTURES set to a folder, as `make pictures` does, two pages are saved there for the documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets_tests.defs.live import Live, dagster_dev, prepare_home
from quant_assets_tests.programs import chromium
from quant_assets_tests.world import World, small_world

PICTURES = os.environ.get("QUANT_PICTURES", "")
#: More windows make better plots; a few show that they are there.
BEFORE = 24 if PICTURES else 3
MARKETS = 73 if PICTURES else 8
PATIENCE = 30_000
SIGNALS = ("signals/breakout", "signals/breakout_v2", "signals/legacy")
BY_WINDOW = (*DATASETS, "candle_features", "watchlist", "features", *SIGNALS, "master_feed")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with small_world(tmp_path_factory.mktemp("browser"), markets=MARKETS) as made:
        yield made


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[Live]:
    """Some windows, the newest scanned last."""
    with chromium():
        pass  # without it there is no need to start anything
    home = world.folder / "data" / "dagster"
    prepare_home(home)
    with dagster_dev(world.environment(), home) as running:
        assert running.finished_run(running.launch("market_list"))["status"] == "SUCCESS"
        assert running.finished_run(running.launch("scan", world.window.key))["status"] == "SUCCESS"
        older = [Window(world.window.end - back * WINDOW_LENGTH).key for back in range(BEFORE, 0, -1)]
        assert running.finished_backfill(running.backfill(BY_WINDOW, older), 240) == "COMPLETED_SUCCESS"
        assert running.finished_run(running.launch("scan", world.window.key))["status"] == "SUCCESS"
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


def save(page: Page, name: str) -> None:
    if PICTURES:
        page.wait_for_timeout(1500)  # animations
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def test_lineage_page_shows_the_assets(live: Live, page: Page) -> None:
    page.set_viewport_size({"width": 1500, "height": 1250})
    page.goto(f"{live.url}/asset-groups")
    expect(page).to_have_title(re.compile("lineage", re.IGNORECASE))
    page.get_by_role("button", name="zoom_in").wait_for()
    page.get_by_role("button", name="settings", exact=True).last.click()
    page.get_by_role("menuitem", name="Expand all groups").click()
    page.keyboard.press("Escape")
    for name in ("open_interest", "features", "breakout_v2", "master_feed", "symbol_map"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=PATIENCE)
    save(page, "lineage")


def test_feed_page_shows_freshness_summary_and_plots(live: Live, page: Page) -> None:
    page.goto(f"{live.url}/assets/master_feed")
    expect(page.get_by_text("Freshness policy").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Fails if more than 15 minutes since last materialization")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Warns if more than 12 minutes since last materialization")).to_be_visible()
    expect(page.get_by_text("follows its inputs, fills its gaps").first).to_be_visible()
    summary = page.get_by_text("markets × 3 strategies")
    folded = page.get_by_text("[Show Markdown]")
    expect(summary.or_(folded)).to_be_visible()
    if folded.count():  # a long one is shown in a window of its own
        folded.click()
    expect(summary).to_be_visible()
    if page.get_by_role("button", name="Close").count():
        page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Plots").click()
    expect(page.get_by_text("Legacy: WAIT")).to_be_visible(timeout=PATIENCE)
    assert page.locator("canvas").count() >= 10
    save(page, "feed_plots")


def test_partitions_page_shows_materialized_windows(live: Live, page: Page, world: World) -> None:
    page.goto(f"{live.url}/assets/open_interest?view=partitions")
    expect(page.get_by_text(f"Materialized ({BEFORE + 1})")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    page.goto(f"{live.url}/assets/open_interest?view=partitions&partition={quote(world.window.key)}")
    expect(page.get_by_text("median_age_seconds").first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("coverage").first).to_be_visible()
