"""The page of the record in Chromium: filters, plots, keyboard, a phone, accessibility."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route, expect

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets_tests.dashboard.browsing import visit, wait_for_row
from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS, Site, copy_data, serving, with_setups
from quant_assets_tests.dashboard.test_events import events_of, listening
from quant_assets_tests.dashboard.trades import trade_of, write_trades
from quant_assets_tests.evaluation.made_trades import made_trades

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A context in which axe can be added to a page."""
    with browser.new_context(bypass_csp=True) as opened:
        opened.set_default_timeout(TIMEOUT_SECONDS * 1000)
        yield opened


@pytest.fixture(scope="module")
def record_site(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = copy_data(scanned, tmp_path_factory.mktemp("record") / "data")
    with serving(settings) as site:
        write_trades(settings, made_trades(1_200, Window.of_key(site.feed["window"])))
        yield site


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_record_fits_and_has_no_serious_axe_violation(
    page: Page, record_site: Site, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    visit(page, record_site, "/record")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("[data-figure].js-plotly-plot").count() == 5
    found = Axe().run(page).response["violations"]
    serious = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_filter_chosen_by_keyboard_changes_numbers_and_address(page: Page, record_site: Site) -> None:
    visit(page, record_site, "/record")
    rows = page.locator("main table").first.locator("tbody tr")
    expect(rows).to_have_count(3)
    page.locator("select[name=strategy]").focus()
    page.keyboard.type("Leg")
    expect(rows).to_have_count(1)
    assert page.url.endswith("/record?strategy=Legacy")
    assert page.evaluate("document.activeElement.name") == "strategy"
    page.go_back()
    page.wait_for_selector("html[data-ready]")
    expect(rows).to_have_count(3)
    expect(page.locator("[data-figure].js-plotly-plot")).to_have_count(5)


def test_new_feed_brings_new_numbers(page: Page, own_site: Site) -> None:
    visit(page, own_site, "/record")
    expect(page.locator(".intro")).not_to_contain_text("200 trades")
    page.wait_for_selector("[data-live=on]")
    write_trades(own_site.settings, made_trades(200, Window.of_key(own_site.feed["window"])))
    own_site.write(orjson.dumps(with_setups(own_site.feed)))
    expect(page.locator(".intro")).to_contain_text("200 trades of published signals")
    expect(page.locator("[data-figure].js-plotly-plot")).to_have_count(5)


def test_record_of_a_hidden_tab_is_fresh_when_it_is_shown(own_site: Site, own_page: Page) -> None:
    page = own_page
    page.clock.install()
    page.add_init_script("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    visit(page, own_site, "/record")
    write_trades(own_site.settings, made_trades(200, Window.of_key(own_site.feed["window"])))
    with listening(own_site) as answer:
        stream = events_of(answer)
        next(stream)
        own_site.write(orjson.dumps(with_setups(own_site.feed)))
        next(stream)  # so that it is the first event of the page
    page.clock.run_for(10_000)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: false });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(page.locator(".intro")).to_contain_text("200 trades of published signals")


def test_record_that_cannot_be_read_for_a_while_stays(
    record_site: Site, own_page: Page, allowed_errors: list[str]
) -> None:
    allowed_errors.append("status of 503")  # as Chromium reports any response but 200
    page = own_page
    page.clock.install()
    visit(page, record_site, "/record")
    page.route("**/record?side=LONG", lambda route: route.fulfill(status=503))
    with page.expect_response("**/record?side=LONG"):
        page.select_option("select[name=side]", "LONG")
    page.unroute_all()
    with page.expect_response(lambda response: response.url.endswith("/record?side=LONG") and response.ok):
        page.clock.run_for(6_000)
    assert page.url.endswith("/record?side=LONG")
    expect(page.locator("main#record")).to_be_visible()


def test_older_response_does_not_replace_a_newer_one(page: Page, record_site: Site) -> None:
    visit(page, record_site, "/record")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile(r"/record\?strategy=Legacy$"), hold)
    page.select_option("select[name=strategy]", "Legacy")
    page.wait_for_function("() => location.search === '?strategy=Legacy'")
    page.select_option("select[name=strategy]", "Breakout")
    rows = page.locator("main table").first.locator("tbody th")
    expect(rows).to_have_text(["Breakout"])
    expect(page.locator("[data-figure].js-plotly-plot")).to_have_count(5)
    page.evaluate("document.getElementById('record').newest = true")
    with suppress(Error):  # the page has aborted it
        held[0].fulfill(response=held[0].fetch())
    page.unroute_all()
    page.evaluate("fetch('/record/figures').then((response) => response.text())")
    assert page.evaluate("document.getElementById('record').newest") is True
    expect(rows).to_have_text(["Breakout"])


def test_filter_is_announced(page: Page, record_site: Site) -> None:
    visit(page, record_site, "/record")
    page.select_option("select[name=side]", "LONG")
    expect(page.locator("[aria-live]")).to_have_text(re.compile(r"^[\d,]+ trades of published signals$"))
    page.select_option("select[name=days]", "7")
    found = record_site.get("/api/record?side=LONG&days=7").json()["trades"]
    expect(page.locator("[aria-live]")).to_have_text(f"{found} trades of published signals")


def test_new_feed_keeps_what_is_open_and_focused(page: Page, own_site: Site) -> None:
    write_trades(own_site.settings, made_trades(3_000, Window.of_key(own_site.feed["window"])))
    visit(page, own_site, "/record")
    page.wait_for_selector("[data-live=on]")
    summary = page.locator("summary").first
    summary.press("Enter")
    assert page.locator("details[open]").count() == 1
    write_trades(own_site.settings, made_trades(2_900, Window.of_key(own_site.feed["window"])))
    own_site.write(orjson.dumps(with_setups(own_site.feed)))
    expect(page.locator(".intro")).to_contain_text("2,900 trades of published signals")
    assert page.locator("details[open]").count() == 1
    expect(summary).to_be_focused()


def test_skip_link_does_not_reload_the_page(page: Page, record_site: Site) -> None:
    visit(page, record_site, "/record?side=LONG")
    page.evaluate("window.stays = true; addEventListener('hashchange', () => { window.skipped = true; })")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("window.skipped")
    assert page.evaluate("window.stays") is True
    expect(page.locator("main")).to_be_focused()


def test_past_trades_are_drawn_with_entry_exit_and_result(page: Page, own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    own_site.write(orjson.dumps(feed))
    signal = next(one for one in feed["signals"] if one["action"] == "LONG")
    window = Window.of_key(feed["window"])
    past = {"entry_ms": window.end_ms - 3 * DAY_MS, "exit_ms": window.end_ms - 2 * DAY_MS}
    write_trades(own_site.settings, trade_of(signal, window, **past))
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    visit(page, own_site, f"/?open={name}")
    wait_for_row(page, name)
    page.get_by_role("button", name="4h").click()
    drawn = "() => document.querySelector('[data-plot=price]').data.find((trace) => trace.name === 'exits')?.text[0]"
    page.wait_for_function(drawn)
    assert page.evaluate(drawn) == "+1.85 R"
    expect(page.locator("table.past tbody tr")).to_contain_text("+1.85 R target")
