"""Live updates of the page in Chromium: new feeds, invalid feeds, ages, and a full feed."""

from __future__ import annotations

import gzip
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Browser, Error, Page, Route, expect

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.dashboard.events import MAX_LISTENERS
from quant_assets.dashboard.rows import row_id
from quant_assets.feed import Publication, StoredFeed, publish
from quant_assets_tests.dashboard.browsing import focused_id, ids, rows, visit, wait_for_row
from quant_assets_tests.dashboard.serving import (
    TIMEOUT_SECONDS,
    Json,
    Site,
    copy_data,
    multiply_markets,
    serving,
    sort_and_count,
    with_setups,
)


def test_new_feed_appears_without_reload_or_jump(page: Page, scanned: Settings, tmp_path: Path) -> None:
    settings = copy_data(scanned, tmp_path / "data")
    older, newer = sorted((settings.lake_dir / "master_feed").glob("*.json.gz"))
    new = gzip.decompress(newer.read_bytes())
    newer.unlink()
    settings.feed_path.write_bytes(gzip.decompress(older.read_bytes()))
    with serving(settings, clock=lambda: datetime.now(UTC)) as site:
        visit(page, site, "/?strategy=Legacy")
        page.evaluate("window.stays = true")
        for _ in range(30):
            page.keyboard.press("j")
        name = focused_id(page)
        page.keyboard.press("Enter")
        wait_for_row(page, name or "")
        page.evaluate("document.querySelector('#detail .body').scrollTop = 300")
        updated = page.locator("[data-since]").get_attribute("data-since")
        window = Window.of_key(orjson.loads(new)["window"])
        stored = StoredFeed.of(new)
        assert stored is not None
        assert publish(stored, settings.feed_path, datetime.now(UTC)) is Publication.PUBLISHED
        expect(page.locator("[data-since]")).not_to_have_attribute("data-since", updated or "")
        expect(page.locator("[data-announcement]")).to_contain_text("New feed")
        wait_for_row(page, name or "")
        expect(page.locator("select[name=window] option").nth(1)).to_have_text(window.key)
        expect(page.locator("[data-as-of]")).to_have_text(window.end.strftime("%Y-%m-%d %H:%M UTC"))
        assert page.evaluate("window.stays") is True
        assert page.url.startswith(f"{site.url}/?strategy=Legacy")
        assert page.locator("#detail .body").get_attribute("data-id") == name
        assert page.evaluate("document.querySelector('#detail .body').scrollTop") == 300
        # The row may be far from the rows on screen now; the page shows it when the panel is closed.
        page.keyboard.press("Escape")
        assert focused_id(page) == name
        assert page.locator("tr.selected").get_attribute("data-id") == name
        chosen = [row.id for row in rows(site) if row.strategy == "Legacy"]
        there = ids(page)
        assert there == chosen[chosen.index(there[0]) :][: len(there)]


def title_of(feed: Json) -> str:
    actions = feed["stats"]["actions"]
    return f"{actions['LONG']} long, {actions['SHORT']} short · signals"


def test_page_title_follows_the_feed(page: Page, own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    before = title_of(feed)
    own_site.write(orjson.dumps(feed))
    visit(page, own_site)
    expect(page).to_have_title(before)
    feed["signals"] = [s for s in feed["signals"] if s["symbol"] != feed["signals"][0]["symbol"]]
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sort_and_count(feed)))
    assert title_of(feed) != before
    expect(page).to_have_title(title_of(feed))


def test_top_row_stays_in_place_when_a_new_feed_adds_rows_above(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    page.evaluate("document.querySelector('[data-scroller]').scrollTop = 33 * 20 + 10")
    page.wait_for_function("() => document.querySelector('main tbody tr[data-id]').ariaRowIndex > 2")
    at = "name => document.querySelector(`tr[data-id='${name}']`)?.getBoundingClientRect().top"
    name = rows(own_site)[25].id
    before = page.evaluate(at, name)
    feed = own_site.feed
    moved = feed["signals"][-1]
    for signal in feed["signals"][-8:]:
        signal["score"] = signal["total_score"] = 99.0
        signal["details"]["total"] = signal["details"]["score_breakdown"]["total"] = 99.0
    assert moved["score"] == 99.0
    feed["signals"].sort(
        key=lambda s: (s["action"] == "WAIT", -s["score"], s["exchange"], s["symbol"], s["strategy_name"])
    )
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(feed))
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")
    assert page.evaluate(at, name) == before


def test_focus_follows_its_row_in_a_new_feed(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    trades = sum(row.action != "WAIT" for row in rows(own_site))
    for _ in range(trades + 6):
        page.keyboard.press("j")
    name = focused_id(page)
    assert name == rows(own_site)[trades + 5].id
    feed = own_site.feed
    moved = next(s for s in feed["signals"] if row_id(s) == name)
    moved["score"] = moved["total_score"] = moved["details"]["total"] = 99.5
    moved["details"]["score_breakdown"]["total"] = 99.5
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sort_and_count(feed)))
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")
    assert ids(page)[trades] == rows(own_site)[trades].id == name
    assert focused_id(page) == name


def test_row_is_shown_and_focused_when_its_panel_is_closed_far_from_it(page: Page, own_site: Site) -> None:
    first = next(row for row in rows(own_site) if row.action == "WAIT")
    visit(page, own_site, f"/?action=WAIT&open={first.id}")
    wait_for_row(page, first.id)
    feed = own_site.feed
    moved = next(s for s in feed["signals"] if row_id(s) == first.id)
    moved["score"] = moved["total_score"] = 0.0
    moved["details"]["total"] = moved["details"]["score_breakdown"]["total"] = 0.0
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sort_and_count(feed)))
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")
    assert first.id not in ids(page)
    page.keyboard.press("Escape")
    assert focused_id(page) == first.id
    expect(page.locator("tr.selected")).to_be_in_viewport()


def test_new_feed_with_other_strategies_keeps_the_chosen_one(page: Page, own_site: Site) -> None:
    visit(page, own_site, "/?strategy=Legacy")
    page.locator("select[name=strategy]").focus()
    feed = own_site.feed
    feed["signals"] = [s for s in feed["signals"] if s["strategy_name"] != "Breakout"]
    own_site.write(orjson.dumps(sort_and_count(feed)))
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")
    expect(page.locator("select[name=strategy] option")).to_have_text(["All strategies", "BreakoutV2", "Legacy"])
    expect(page.locator("select[name=strategy]")).to_have_value("Legacy")


def test_new_feed_keeps_the_text_that_is_being_typed(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    page.fill("input[name=min_score]", "1.50")
    feed = own_site.feed
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(feed))
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")
    expect(page.locator("input[name=min_score]")).to_have_value("1.50")


def test_invalid_new_feed_shows_an_error_and_keeps_the_rows(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    there = ids(page)
    good = own_site.settings.feed_path.read_bytes()
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    own_site.write(b"[]")
    expect(page.locator("[data-error]")).to_contain_text("bare list")
    assert ids(page)[:20] == there[:20]
    own_site.write(good)
    expect(page.locator("[data-error]")).to_be_hidden()


def test_error_page_reloads_when_the_feed_is_valid(browser: Browser, own_site: Site, allowed_errors: list[str]) -> None:
    allowed_errors.append("status of 503")  # the page itself, as Chromium reports any response but 200
    good = own_site.settings.feed_path.read_bytes()
    own_site.settings.feed_path.unlink()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(own_site.url)
        expect(page.get_by_text("there is no feed yet")).to_be_visible()
        own_site.write(good)
        expect(page.locator("main tbody tr[data-id]").first).to_be_visible()


def test_age_of_the_feed_counts_up(own_site: Site, own_page: Page) -> None:
    page = own_page  # its clock is that of its context
    # The scan may have come long after the window's end, which alone would make the window stale.
    updated = datetime.fromisoformat(own_site.feed["as_of"]).timestamp() + 60
    own_site.write(orjson.dumps({**own_site.feed, "last_updated": int(updated * 1000)}))
    page.clock.install(time=datetime.fromtimestamp(updated + 30, UTC))
    visit(page, own_site)
    time = page.locator("[data-since]")
    expect(time).to_have_text(re.compile(r"^3\d s ago$"))
    page.clock.run_for(60_000)
    expect(time).to_have_text("1 min ago")
    expect(page.locator(".badge")).to_be_hidden()
    page.clock.run_for(45 * 60_000)
    expect(time).to_have_text("46 min ago")
    expect(page.locator(".badge")).to_have_text("stale")


@pytest.mark.parametrize("address", ["/", "/record"])
def test_page_connects_again_after_an_http_error(
    own_site: Site, own_page: Page, allowed_errors: list[str], address: str
) -> None:
    allowed_errors.append("status of 503")  # the stream of events, as Chromium reports any response but 200
    own_page.clock.install()
    own_site.app.state.watcher.listeners = MAX_LISTENERS
    visit(own_page, own_site, address)
    live = own_page.get_by_role("img", name="not connected, retrying")
    expect(live).to_be_visible()
    own_site.app.state.watcher.listeners = 0
    own_page.clock.run_for(5000)
    expect(own_page.get_by_role("img", name="connected: new feeds appear automatically")).to_be_visible()


def test_last_of_two_new_feeds_is_shown_although_its_rows_come_first(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/rows", hold_first)
    first, second = own_site.feed, own_site.feed
    first["last_updated"] += 1000
    second["last_updated"] += 2000
    with page.expect_request("**/rows"):
        own_site.write(orjson.dumps(first))
    while not held:
        page.evaluate("null")
    old = own_site.get("/rows")
    own_site.write(orjson.dumps(second))
    since = page.locator("[data-since]")
    expect(since).to_have_attribute("data-since", str(second["last_updated"]))
    with suppress(Error):  # the page has aborted it
        held[0].fulfill(body=old.content, content_type="application/json")
    page.evaluate("fetch('/rows').then((response) => response.text())")
    page.unroute_all()
    expect(since).to_have_attribute("data-since", str(second["last_updated"]))


@pytest.mark.parametrize("failure", ["503", "no answer"])
def test_rows_that_could_not_be_loaded_are_loaded_later(
    own_site: Site, own_page: Page, allowed_errors: list[str], failure: str
) -> None:
    allowed_errors += ["status of 503", "net::ERR_FAILED"]  # as Chromium reports any response but 200, and none
    own_page.clock.install()
    own_page.route("**/rows", lambda route: route.abort() if failure == "no answer" else route.fulfill(status=503))
    visit(own_page, own_site)
    banner = own_page.locator("[data-error]")
    expect(banner).to_contain_text("The rows cannot be loaded")
    assert len(ids(own_page)) == min(len(rows(own_site)), 60)
    own_page.select_option("select[name=strategy]", "Legacy")
    own_page.unroute_all()
    own_page.clock.run_for(5000)
    expect(banner).to_be_hidden()
    expect(own_page.locator("[data-count]")).to_have_text(re.compile(f"of {len(rows(own_site))}$"))
    assert ids(own_page)[0] == next(row.id for row in rows(own_site) if row.strategy == "Legacy")


def test_new_feed_is_shown_although_the_first_rows_could_not_be_loaded(
    own_site: Site, own_page: Page, allowed_errors: list[str]
) -> None:
    allowed_errors.append("status of 503")  # as Chromium reports any response but 200
    own_page.clock.install()
    own_page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))  # so that nothing is tried again
    own_page.route("**/rows", lambda route: route.fulfill(status=503))
    visit(own_page, own_site)
    expect(own_page.locator("[data-live]")).to_have_attribute("data-live", "on")
    own_page.unroute_all()
    feed = own_site.feed
    feed["last_updated"] += 1000
    own_site.write(orjson.dumps(feed))
    expect(own_page.locator("[data-since]")).to_have_attribute("data-since", str(feed["last_updated"]))


HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_hidden_page_disconnects_and_catches_up_when_shown(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    page.evaluate(HIDE, True)
    watcher, deadline = own_site.app.state.watcher, time.monotonic() + TIMEOUT_SECONDS
    while watcher.listeners and time.monotonic() < deadline:
        own_site.get("/api/windows")
    assert watcher.listeners == 0
    feed = own_site.feed
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(feed))
    page.evaluate(HIDE, False)
    expect(page.locator("[data-announcement]")).to_contain_text("New feed")


def test_title_of_a_hidden_page_follows_the_feed(own_site: Site, own_page: Page) -> None:
    feed = with_setups(own_site.feed)
    own_site.write(orjson.dumps(feed))
    own_page.clock.install()
    visit(own_page, own_site)
    own_page.evaluate(HIDE, True)
    feed["signals"] = [s for s in feed["signals"] if s["symbol"] != feed["signals"][0]["symbol"]]
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sort_and_count(feed)))
    own_page.clock.run_for(60_000)
    expect(own_page).to_have_title(title_of(feed))


@pytest.mark.speed
def test_1100_markets_are_shown_and_sorted_quickly(page: Page, own_site: Site) -> None:
    own_site.write(orjson.dumps(multiply_markets(own_site.feed, 1100)))
    total = own_site.feed["stats"]["signals"]
    assert total == 3300
    assert own_site.get("/rows").status_code == 200  # as after the event of a new feed
    visit(page, own_site)
    expect(page.locator("[data-count]")).to_have_text("3,300 of 3,300")
    taken = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert taken < 3000, f"{taken:.0f} ms until the first paint"
    # Layout included; three times the documented time, for busy machines.
    for action in (
        "document.querySelector('th[data-sort=market] a').click()",
        "document.querySelector('th[data-sort=funding] a').click()",
        "const q = document.querySelector('[name=q]'); q.value = 'btc'; "
        "q.dispatchEvent(new Event('input', {bubbles: true}))",
    ):
        timed = (
            f"const began = performance.now(); {action}; document.body.offsetHeight; return performance.now() - began"
        )
        taken = page.evaluate(f"() => {{ {timed}; }}")
        assert taken < 300, f"{taken:.0f} ms for {action}"
    assert len(ids(page)) < 100
