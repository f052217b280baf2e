"""The page in Chromium as time goes by: new feeds, bad feeds, ages, and as many markets as there are."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import orjson
from playwright.sync_api import Browser, Page, expect

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.dashboard.rows import row_id
from quant_assets.feed import Publication, StoredFeed, publish
from quant_assets_tests.dashboard.browsing import focused, ids, opened, rows, visit
from quant_assets_tests.dashboard.serving import (
    Json,
    Site,
    copied,
    enlarged,
    serving,
    sound,
    with_setups,
)


def test_a_new_feed_arrives_without_reload_or_jump(page: Page, scanned: Settings, tmp_path: Path) -> None:
    settings = copied(scanned, tmp_path / "data")
    older, newer = sorted((settings.lake_dir / "master_feed").glob("*.json.gz"))
    new = gzip.decompress(newer.read_bytes())
    settings.feed_path.write_bytes(gzip.decompress(older.read_bytes()))
    with serving(settings, clock=lambda: datetime.now(UTC)) as site:
        visit(page, site, "/?strategy=Legacy")
        page.evaluate("window.stays = true")
        for _ in range(30):
            page.keyboard.press("j")
        name = focused(page)
        page.keyboard.press("Enter")
        opened(page, name or "")
        page.evaluate("document.querySelector('#detail .body').scrollTop = 300")
        updated = page.locator("[data-since]").get_attribute("data-since")
        window = Window.of_key(orjson.loads(new)["window"])
        stored = StoredFeed.of(new)
        assert stored is not None
        assert publish(stored, settings.feed_path, datetime.now(UTC)) is Publication.PUBLISHED
        expect(page.locator("[data-since]")).not_to_have_attribute("data-since", updated or "")
        expect(page.locator("[data-said]")).to_contain_text("New feed")
        opened(page, name or "")
        expect(page.locator("[data-as-of]")).to_have_text(window.end.strftime("%Y-%m-%d %H:%M UTC"))
        assert page.evaluate("window.stays") is True
        assert page.url.startswith(f"{site.url}/?strategy=Legacy")
        assert page.locator("#detail .body").get_attribute("data-id") == name
        assert page.evaluate("document.querySelector('#detail .body').scrollTop") == 300
        assert page.locator("tr.selected").get_attribute("data-id") == name
        page.keyboard.press("Escape")
        assert focused(page) == name
        chosen = [row.id for row in rows(site) if row.strategy == "Legacy"]
        there = ids(page)
        assert there == chosen[chosen.index(there[0]) :][: len(there)]


def title_of(feed: Json) -> str:
    actions = feed["stats"]["actions"]
    return f"{actions['LONG']} long, {actions['SHORT']} short · signals"


def test_the_title_of_the_page_follows_the_feed(page: Page, own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    before = title_of(feed)
    own_site.write(orjson.dumps(feed))
    visit(page, own_site)
    expect(page).to_have_title(before)
    feed["signals"] = [s for s in feed["signals"] if s["symbol"] != feed["signals"][0]["symbol"]]
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sound(feed)))
    assert title_of(feed) != before
    expect(page).to_have_title(title_of(feed))


def test_the_row_on_top_stays_there_when_a_new_feed_brings_others_above_it(page: Page, own_site: Site) -> None:
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
    expect(page.locator("[data-said]")).to_contain_text("New feed")
    assert page.evaluate(at, name) == before


def test_the_focus_goes_with_its_row_where_a_new_feed_puts_it(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    trades = sum(row.action != "WAIT" for row in rows(own_site))
    for _ in range(trades + 6):
        page.keyboard.press("j")
    name = focused(page)
    assert name == rows(own_site)[trades + 5].id
    feed = own_site.feed
    moved = next(s for s in feed["signals"] if row_id(s) == name)
    moved["score"] = moved["total_score"] = moved["details"]["total"] = 99.5
    moved["details"]["score_breakdown"]["total"] = 99.5
    feed["last_updated"] += 1
    own_site.write(orjson.dumps(sound(feed)))
    expect(page.locator("[data-said]")).to_contain_text("New feed")
    assert ids(page)[trades] == rows(own_site)[trades].id == name
    assert focused(page) == name


def test_a_feed_that_goes_bad_is_said_and_the_last_sound_one_stays(page: Page, own_site: Site) -> None:
    visit(page, own_site)
    there = ids(page)
    good = own_site.settings.feed_path.read_bytes()
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    own_site.write(b"[]")
    expect(page.locator("[data-trouble]")).to_contain_text("bare list")
    assert ids(page)[:20] == there[:20]
    own_site.write(good)
    expect(page.locator("[data-trouble]")).to_be_hidden()


def test_the_page_of_a_bad_feed_turns_into_the_table_by_itself(
    browser: Browser, own_site: Site, excused: list[str]
) -> None:
    excused.append("status of 503")  # the page itself, as Chromium reports an answer that is no 200
    good = own_site.settings.feed_path.read_bytes()
    own_site.settings.feed_path.unlink()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(own_site.url)
        expect(page.get_by_text("there is no feed yet")).to_be_visible()
        own_site.write(good)
        expect(page.locator("main tbody tr[data-id]").first).to_be_visible()


def test_the_age_of_the_feed_is_counted_live(page: Page, own_site: Site) -> None:
    page.clock.install(time=datetime.fromtimestamp(own_site.feed["last_updated"] / 1000 + 30, UTC))
    visit(page, own_site)
    time = page.locator("[data-since]")
    expect(time).to_have_text(re.compile(r"^3\d s ago$"))
    page.clock.run_for(60_000)
    expect(time).to_have_text("1 min ago")
    expect(page.locator(".badge")).to_be_hidden()
    page.clock.run_for(45 * 60_000)
    expect(time).to_have_text("46 min ago")
    expect(page.locator(".badge")).to_have_text("stale")


def test_1100_markets_are_on_screen_at_once_and_answer_at_once(page: Page, own_site: Site) -> None:
    own_site.write(orjson.dumps(enlarged(own_site.feed, 1100)))
    total = own_site.feed["stats"]["signals"]
    assert total == 3300
    assert own_site.get("/rows").status_code == 200  # as after the event that told of it
    visit(page, own_site)
    expect(page.locator("[data-count]")).to_have_text("3,300 of 3,300")
    taken = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert taken < 3000, f"{taken:.0f} ms until there is something to see"
    # Each answer is there in the same turn of the loop, laid out; three times what is promised, for busy machines.
    for deed in (
        "document.querySelector('th[data-sort=market] a').click()",
        "document.querySelector('th[data-sort=funding] a').click()",
        "const q = document.querySelector('[name=q]'); q.value = 'btc'; "
        "q.dispatchEvent(new Event('input', {bubbles: true}))",
    ):
        timed = f"const began = performance.now(); {deed}; document.body.offsetHeight; return performance.now() - began"
        taken = page.evaluate(f"() => {{ {timed}; }}")
        assert taken < 300, f"{taken:.0f} ms for {deed}"
    assert len(ids(page)) < 100
