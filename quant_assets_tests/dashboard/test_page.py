"""The page in Chromium: open, filter, sort, search, share an address, use it by keyboard, on a phone, in the dark."""

from __future__ import annotations

import re

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from quant_assets.dashboard.rows import SORT_FIELDS, ordered, row_id, rows_of
from quant_assets_tests.dashboard.browsing import first_ids, focused, ids, opened, rows, visit
from quant_assets_tests.dashboard.serving import Site, with_setups


def test_the_page_opens_with_the_feeds_order_and_every_column(page: Page, shown: Site) -> None:
    visit(page, shown)
    first_ids(rows(shown), page)
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(shown))} of {len(rows(shown))}")
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    row = rows(shown)[0]
    line = page.locator(f'tr[data-id="{row.id}"]')
    for name, text in (
        ("action", row.action),
        ("market", row.market),
        ("strategy", row.strategy),
        ("score", row.score_text),
        ("rr", row.rr_text),
        ("entry", row.entry_text),
        ("stop", row.stop_text),
        ("target", row.target_text),
        ("oi", row.oi),
        ("oi_value", row.oi_value or "unknown"),
        ("oi_change", row.oi_change),
        ("oi_z", row.oi_z),
        ("oi_age", row.oi_text),
        ("funding", row.funding_text or "unknown"),
        ("ls", row.ls_text or "unknown"),
        ("volume", row.volume_text or "unknown"),
        ("change", row.change_text or "unknown"),
        ("price", row.price_text),
    ):
        expect(line.locator(f'[data-c="{name}"]')).to_have_text(text or "")
    assert line.locator(".bar rect").count() == len(row.bar)


def test_a_waiting_row_says_its_bias_beside_its_reason(page: Page, shown: Site) -> None:
    biased = [row for row in rows(shown) if row.action == "WAIT" and row.bias != "NONE"]
    without = [row for row in rows(shown) if row.action == "WAIT" and row.bias == "NONE"]
    for row in (biased[0], without[0]):
        # As it comes from the server, and as the script fills it after the table was turned round.
        for address in (f"/?q={row.symbol}", f"/?q={row.symbol}&sort=price&dir=desc"):
            visit(page, shown, address)
            cell = page.locator(f'tr[data-id="{row.id}"] td.why')
            expect(cell).to_have_text(f"{row.bias} {row.reason}")
            expect(cell.locator(f'[data-bias="{row.bias}"]')).to_be_visible()
            side = page.locator(f'tr[data-id="{row.id}"] .side')
            expect(side).to_be_hidden()
            page.set_viewport_size({"width": 390, "height": 800})
            expect(side).to_be_visible()
            expect(side).to_have_text(row.bias)
            page.set_viewport_size({"width": 1280, "height": 800})


def test_a_conflict_is_marked_named_and_linked(page: Page, own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    for signal in feed["signals"]:
        signal["conflict"] = None
    long, short = (next(s for s in feed["signals"] if s["action"] == side) for side in ("LONG", "SHORT"))
    for one, other in ((long, short), (short, long)):
        named = {name: other[name] for name in ("exchange", "symbol", "strategy_name")}
        one["conflict"] = [{**named, "side": other["action"]}]
    own_site.write(orjson.dumps(feed))
    marked = [row for row in rows(own_site) if row.conflict]
    assert {row.id for row in marked} == {row_id(long), row_id(short)}
    visit(page, own_site)
    sign = page.locator(f'tr[data-id="{row_id(long)}"]').get_by_role("img", name="Setups of the other side")
    expect(sign).to_have_attribute("title", re.compile(f"SHORT {re.escape(short['symbol'])} on {short['exchange']}"))
    expect(page.locator("main .conflict:visible")).to_have_count(2)
    page.locator(f'tr[data-id="{row_id(long)}"]').click()
    opened(page, row_id(long))
    page.locator(".against a").click()
    opened(page, row_id(short))
    expect(page.locator(".against a")).to_have_attribute("data-open", row_id(long))


def test_a_filter_narrows_and_stands_in_the_address(page: Page, shown: Site) -> None:
    visit(page, shown)
    page.locator("label.toggle", has_text="LONG").click()
    chosen = [row for row in rows(shown) if row.action == "LONG"]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(shown))}")
    page.select_option("select[name=strategy]", "Legacy")
    page.fill("input[name=min_score]", "10")
    chosen = [row for row in chosen if row.strategy == "Legacy" and row.score >= 10]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(shown))}")
    assert ids(page) == [row.id for row in chosen]
    assert page.url == f"{shown.url}/?action=LONG&strategy=Legacy&min_score=10"
    page.go_back()
    expect(page.locator("select[name=strategy]")).to_have_value("")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("label.toggle", has_text="LONG").locator("input").is_checked()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(shown))} of {len(rows(shown))}")


@pytest.mark.parametrize("name", ["exchange", "status"])
def test_exchange_and_status_narrow_too(page: Page, shown: Site, name: str) -> None:
    visit(page, shown)
    value = getattr(rows(shown)[5], "exchange" if name == "exchange" else "oi")
    page.select_option(f"select[name={name}]", value)
    first_ids([row for row in rows(shown) if getattr(row, "exchange" if name == "exchange" else "oi") == value], page)


def test_a_click_on_a_head_sorts_and_another_turns_it_round(page: Page, shown: Site) -> None:
    visit(page, shown)
    head = page.locator("th[data-sort=price]")
    head.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    first_ids(sorted(rows(shown), key=lambda row: -row.price), page)
    head.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    first_ids(sorted(rows(shown), key=lambda row: row.price), page)
    assert page.url.endswith("/?sort=price&dir=asc")
    head.click()
    expect(head).not_to_have_attribute("aria-sort", re.compile(".*"))
    first_ids(rows(shown), page)


@pytest.mark.parametrize("sort", ["oi", "ls", "entry", "funding", "change"])
def test_unknown_is_last_in_either_direction_and_never_0(page: Page, shown: Site, sort: str) -> None:
    key = SORT_FIELDS.get(sort, sort)
    cell = {"oi": "oi_value"}.get(sort, sort)
    assert any(getattr(row, key) is None for row in rows(shown))
    for direction in ("asc", "desc"):
        expected = ordered(rows(shown), sort, direction)
        visit(page, shown, f"/?sort={sort}&dir={direction}")
        first_ids(expected, page)
        page.keyboard.press("End")
        last = page.locator(f'tr[data-id="{expected[-1].id}"]')
        expect(last).to_be_visible()
        there = ids(page)
        assert there == [row.id for row in expected][-len(there) :]
        assert last.locator(f'[data-c="{cell}"]').text_content() == ("unknown" if sort != "entry" else "–")


def test_the_search_finds_words_anywhere_and_says_how_many(page: Page, shown: Site) -> None:
    visit(page, shown)
    page.keyboard.press("/")
    page.keyboard.type("btc legacy")
    chosen = [row for row in rows(shown) if "BTC" in row.market and row.strategy == "Legacy"]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(shown))}")
    first_ids(chosen, page)
    page.keyboard.type(" no such thing")
    expect(page.get_by_text("No signal passes these filters.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(shown))} of {len(rows(shown))}")


def test_an_older_window_is_chosen_and_said(page: Page, shown: Site) -> None:
    visit(page, shown)
    older = shown.get("/api/windows").json()["windows"][1]["window"]
    page.select_option("select[name=window]", older)
    page.wait_for_url(f"**/?window={older.replace(':', '%3A')}")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".badge")).to_have_text("older window")
    assert older in (page.locator("select[name=window]").input_value())
    first_ids(rows_of(shown.get("/api/results", params={"window": older}).json()["signals"]), page)


def test_the_page_is_used_by_keyboard_alone(page: Page, shown: Site) -> None:
    visit(page, shown)
    names = [row.id for row in rows(shown)]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == names[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    assert focused(page) == names[1]
    page.keyboard.press("Enter")
    opened(page, names[1])
    assert page.evaluate("document.activeElement.id") == "detail-title"
    page.keyboard.press("j")
    opened(page, names[2])
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    assert focused(page) == names[2]
    page.keyboard.press("End")
    assert focused(page) == names[-1]
    assert page.locator(f'tr[data-id="{names[-1]}"]').is_visible()
    page.keyboard.press("Home")
    assert focused(page) == names[0]
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("usdt")
    page.keyboard.press("ArrowDown")
    assert focused(page) == next(row.id for row in rows(shown) if "USDT" in row.market)


def test_tab_reaches_filters_heads_and_one_row(page: Page, shown: Site) -> None:
    visit(page, shown)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.name || e.dataset.do || e.closest('[data-sort]')?.dataset.sort || e.closest('tr')?.dataset.id"
                " || e.id || e.tagName)(document.activeElement)"
            )
        )
        if reached[-1] == rows(shown)[0].id:
            break
    assert {"window", "theme", "help", "q", "action", "strategy", "min_score", "score", rows(shown)[0].id} <= set(
        reached
    )
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('footer') !== null"), "the other rows are reached by arrows"


def test_light_and_dark_follow_the_system_and_a_button(page: Page, shown: Site) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    visit(page, shown)
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {colour} !== '{light}'")
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"() => {colour} === '{light}'")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(colour) != light
    page.reload()
    assert page.evaluate(colour) != light


def test_on_a_phone_nothing_is_cut_off(browser: Browser, shown: Site) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as context:
        page = visit(context.new_page(), shown)
        width = "document.documentElement.scrollWidth"
        assert page.evaluate(width) == 390
        assert page.evaluate("document.querySelector('main table').offsetWidth") <= 390
        page.get_by_role("button", name="Filters").tap()
        page.select_option("select[name=strategy]", "Breakout")
        page.get_by_role("button", name="Filters").tap()
        page.locator("main tbody tr[data-id]").first.tap()
        opened(page, ids(page)[0])
        assert page.evaluate(width) == 390
        assert page.evaluate("document.querySelector('#detail').offsetWidth") == 390
