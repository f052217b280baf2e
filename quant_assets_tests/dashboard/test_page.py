"""The page in Chromium: filters, sorting, search, keyboard, themes and phones."""

from __future__ import annotations

import re
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from quant_assets.dashboard.rows import SORT_FIELDS, row_id, rows_of, sort_rows
from quant_assets_tests.dashboard.browsing import assert_first_ids, focused_id, ids, rows, visit, wait_for_row
from quant_assets_tests.dashboard.serving import GATES, Site, with_setups


def test_page_shows_all_columns_in_the_feeds_order(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    assert_first_ids(rows(setups_site), page)
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(setups_site))} of {len(rows(setups_site))}")
    expect(page.locator("[data-live]")).to_have_attribute("data-live", "on")
    row = rows(setups_site)[0]
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
        ("oi_status", row.oi_status),
        ("oi_value", row.oi_value or "unknown"),
        ("oi_change", row.oi_change),
        ("oi_z", row.oi_z),
        ("oi_age", row.oi_age_text),
        ("funding", row.funding_text or "unknown"),
        ("ls", row.ls_text or "unknown"),
        ("volume", row.volume_text or "unknown"),
        ("change", row.change_text or "unknown"),
        ("price", row.price_text),
    ):
        expect(line.locator(f'[data-c="{name}"]')).to_have_text(text or "")
    assert line.locator(".bar rect").count() == len(row.bar)


def test_waiting_row_shows_bias_and_reason(page: Page, setups_site: Site) -> None:
    biased = [row for row in rows(setups_site) if row.action == "WAIT" and row.bias != "NONE"]
    without = [row for row in rows(setups_site) if row.action == "WAIT" and row.bias == "NONE"]
    for row in (biased[0], without[0]):
        # As the server renders it, and as the script fills it after sorting.
        for address in (f"/?q={row.symbol}", f"/?q={row.symbol}&sort=price&dir=desc"):
            visit(page, setups_site, address)
            cell = page.locator(f'tr[data-id="{row.id}"] td.why')
            expect(cell).to_have_text(f"{row.bias} {row.reason}")
            expect(cell.locator(f'[data-bias="{row.bias}"]')).to_be_visible()
            side = page.locator(f'tr[data-id="{row.id}"] .side')
            expect(side).to_be_hidden()
            page.set_viewport_size({"width": 390, "height": 800})
            expect(side).to_be_visible()
            expect(side).to_have_text(row.bias)
            page.set_viewport_size({"width": 1280, "height": 800})


def test_opened_waiting_row_shows_its_bias(page: Page, setups_site: Site) -> None:
    row = next(row for row in rows(setups_site) if row.action == "WAIT" and row.bias != "NONE")
    visit(page, setups_site, f"/?open={quote(row.id)}")
    expect(page.locator(".reason strong")).to_contain_text(f"Waiting, bias {row.bias}: ")


def test_conflict_is_marked_and_linked(page: Page, own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    for signal in feed["signals"]:
        signal["conflict"] = None
    long, short = (next(s for s in feed["signals"] if s["action"] == side) for side in ("LONG", "SHORT"))
    for signal, other in ((long, short), (short, long)):
        named = {name: other[name] for name in ("exchange", "symbol", "strategy_name")}
        signal["conflict"] = [{**named, "side": other["action"]}]
    own_site.write(orjson.dumps(feed))
    marked = [row for row in rows(own_site) if row.conflict]
    assert {row.id for row in marked} == {row_id(long), row_id(short)}
    visit(page, own_site)
    sign = page.locator(f'tr[data-id="{row_id(long)}"]').get_by_role("img", name="Opposite setups")
    expect(sign).to_have_attribute("title", re.compile(f"SHORT {re.escape(short['symbol'])} on {short['exchange']}"))
    expect(page.locator("main .conflict:visible")).to_have_count(2)
    page.locator(f'tr[data-id="{row_id(long)}"]').click()
    wait_for_row(page, row_id(long))
    page.locator(".against a").click()
    wait_for_row(page, row_id(short))
    expect(page.locator(".against a")).to_have_attribute("data-open", row_id(long))


def test_filters_are_kept_in_the_address(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    page.locator("label.toggle", has_text="LONG").click()
    chosen = [row for row in rows(setups_site) if row.action == "LONG"]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(setups_site))}")
    page.select_option("select[name=strategy]", "Legacy")
    page.fill("input[name=min_score]", "10")
    chosen = [row for row in chosen if row.strategy == "Legacy" and row.score >= 10]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(setups_site))}")
    assert ids(page) == [row.id for row in chosen]
    assert page.url == f"{setups_site.url}/?action=LONG&strategy=Legacy&min_score=10"
    page.go_back()
    expect(page.locator("select[name=strategy]")).to_have_value("")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("label.toggle", has_text="LONG").locator("input").is_checked()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(setups_site))} of {len(rows(setups_site))}")


def test_back_resets_the_control_that_has_the_focus(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    strategy = page.locator("select[name=strategy]")
    strategy.focus()
    page.keyboard.type("Leg")
    expect(page).to_have_url(f"{setups_site.url}/?strategy=Legacy")
    page.go_back()
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(setups_site))} of {len(rows(setups_site))}")
    assert page.evaluate("document.activeElement.name") == "strategy"
    expect(strategy).to_have_value("")


@pytest.mark.parametrize("name", ["exchange", "status"])
def test_exchange_and_status_filter_rows(page: Page, setups_site: Site, name: str) -> None:
    visit(page, setups_site)
    value = getattr(rows(setups_site)[5], "exchange" if name == "exchange" else "oi_status")
    page.select_option(f"select[name={name}]", value)
    assert_first_ids(
        [row for row in rows(setups_site) if getattr(row, "exchange" if name == "exchange" else "oi_status") == value],
        page,
    )


def test_click_on_a_column_head_sorts_and_reverses(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    head = page.locator("th[data-sort=price]")
    head.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert_first_ids(sorted(rows(setups_site), key=lambda row: -row.price), page)
    head.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert_first_ids(sorted(rows(setups_site), key=lambda row: row.price), page)
    assert page.url.endswith("/?sort=price&dir=asc")
    head.click()
    expect(head).not_to_have_attribute("aria-sort", re.compile(".*"))
    assert_first_ids(rows(setups_site), page)


@pytest.mark.parametrize("sort", ["oi", "entry"])
def test_unknown_values_come_last_in_either_direction(page: Page, setups_site: Site, sort: str) -> None:
    key = SORT_FIELDS.get(sort, sort)
    cell = {"oi": "oi_value"}.get(sort, sort)
    assert any(getattr(row, key) is None for row in rows(setups_site))
    for direction in ("asc", "desc"):
        expected = sort_rows(rows(setups_site), sort, direction)
        visit(page, setups_site, f"/?sort={sort}&dir={direction}")
        assert_first_ids(expected, page)
        page.keyboard.press("End")
        last = page.locator(f'tr[data-id="{expected[-1].id}"]')
        expect(last).to_be_visible()
        there = ids(page)
        assert there == [row.id for row in expected][-len(there) :]
        assert last.locator(f'[data-c="{cell}"]').text_content() == ("unknown" if sort != "entry" else "–")


def test_search_finds_words_and_shows_the_count(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    page.keyboard.press("/")
    page.keyboard.type("btc legacy")
    chosen = [row for row in rows(setups_site) if "BTC" in row.market and row.strategy == "Legacy"]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(setups_site))}")
    assert_first_ids(chosen, page)
    page.keyboard.type(" no such thing")
    expect(page.get_by_text("No signal passes these filters.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("[data-count]")).to_have_text(f"{len(rows(setups_site))} of {len(rows(setups_site))}")


def test_older_window_can_be_chosen(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    older = setups_site.get("/api/windows").json()["windows"][1]["window"]
    page.select_option("select[name=window]", older)
    page.wait_for_url(f"**/?window={older.replace(':', '%3A')}")
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".badge")).to_have_text("fixed window")
    assert older in (page.locator("select[name=window]").input_value())
    assert_first_ids(rows_of(setups_site.get("/api/results", params={"window": older}).json()["signals"], GATES), page)


def test_window_chosen_by_key_is_fixed_and_promises_no_new_feeds(page: Page, setups_site: Site) -> None:
    newest = setups_site.get("/api/windows").json()["windows"][0]["window"]
    visit(page, setups_site, f"/?window={newest}")
    expect(page.locator(".badge")).to_have_text("fixed window")
    expect(page.locator(".badge")).to_have_attribute("title", re.compile("choose newest"))
    expect(page.locator("[data-live]")).to_have_count(0)


def test_page_works_by_keyboard_alone(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    names = [row.id for row in rows(setups_site)]
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused_id(page) == names[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    assert focused_id(page) == names[1]
    page.keyboard.press("Enter")
    wait_for_row(page, names[1])
    assert page.evaluate("document.activeElement.id") == "detail-title"
    page.keyboard.press("j")
    wait_for_row(page, names[2])
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    assert focused_id(page) == names[2]
    page.keyboard.press("End")
    assert focused_id(page) == names[-1]
    assert page.locator(f'tr[data-id="{names[-1]}"]').is_visible()
    page.keyboard.press("Home")
    assert focused_id(page) == names[0]
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("usdt")
    page.keyboard.press("ArrowDown")
    assert focused_id(page) == next(row.id for row in rows(setups_site) if "USDT" in row.market)


def test_keys_of_a_single_character_can_be_turned_off(site: Site, own_page: Page) -> None:
    """WCAG 2.1.4; the choice is kept, on the page of the record too."""
    page = own_page

    def theme() -> str | None:
        return page.locator("html").get_attribute("data-theme")

    visit(page, site)
    page.locator("[data-do=help]").click()
    page.get_by_label("keys of a single character").uncheck()
    page.keyboard.press("Escape")
    for path in ("/", "/record"):
        visit(page, site, path)
        before = theme()
        for key in ("t", "/", "?"):
            page.keyboard.press(key)
        assert theme() == before
        assert page.evaluate("document.activeElement === document.body")
    visit(page, site)
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("ArrowDown")
    assert focused_id(page) == rows(site)[0].id
    page.locator("[data-do=help]").click()
    page.get_by_label("keys of a single character").check()
    page.keyboard.press("Escape")
    before = theme()
    page.keyboard.press("t")
    assert theme() != before


def test_tab_reaches_filters_column_heads_and_one_row(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.name || e.dataset.do || e.closest('[data-sort]')?.dataset.sort || e.closest('tr')?.dataset.id"
                " || e.id || e.tagName)(document.activeElement)"
            )
        )
        if reached[-1] == rows(setups_site)[0].id:
            break
    assert {"window", "theme", "help", "q", "action", "strategy", "min_score", "score", rows(setups_site)[0].id} <= set(
        reached
    )
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('footer') !== null"), "arrow keys reach the other rows"


def test_tab_reaches_a_visible_row_after_scrolling(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    page.keyboard.press("j")
    page.locator("th[data-sort=price] a").focus()
    page.evaluate("document.querySelector('[data-scroller]').scrollTop = 1e6")
    page.wait_for_function("id => !document.querySelector(`tr[data-id='${id}']`)", arg=rows(setups_site)[0].id)
    page.keyboard.press("Tab")
    assert focused_id(page) in ids(page)
    expect(page.locator(":focus")).to_be_in_viewport()


def test_link_of_a_row_has_the_filters_in_force(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    row = next(row for row in rows(setups_site) if row.strategy == "Legacy")
    page.select_option("select[name=strategy]", "Legacy")
    link = page.locator(f'tr[data-id="{row.id}"] a')
    expect(link).to_have_attribute("href", f"/?strategy=Legacy&open={row.id}")


def test_address_is_read_as_the_server_reads_it(page: Page, setups_site: Site) -> None:
    visit(page, setups_site, "/?action=long&strategy=Legacy,%20breakout%20,")
    chosen = [row for row in rows(setups_site) if row.action == "LONG" and row.strategy in ("Legacy", "Breakout")]
    expect(page.locator("[data-count]")).to_have_text(f"{len(chosen)} of {len(rows(setups_site))}")
    drawn = ids(page)
    assert drawn == [row.id for row in chosen][: len(drawn)]
    expect(page.get_by_label("LONG")).to_be_checked()


def test_theme_follows_the_system_and_the_button(page: Page, setups_site: Site) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    visit(page, setups_site)
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {colour} !== '{light}'")
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"() => {colour} === '{light}'")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(colour) != light
    page.reload()
    assert page.evaluate(colour) != light


def test_page_fits_on_a_phone(browser: Browser, setups_site: Site) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as context:
        page = visit(context.new_page(), setups_site)
        width = "document.documentElement.scrollWidth"
        assert page.evaluate(width) == 390
        assert page.evaluate("document.querySelector('main table').offsetWidth") <= 390
        page.get_by_role("button", name="Filters").tap()
        page.select_option("select[name=strategy]", "Breakout")
        page.get_by_role("button", name="Filters").tap()
        page.locator("main tbody tr[data-id]").first.tap()
        wait_for_row(page, ids(page)[0])
        assert page.evaluate(width) == 390
        assert page.evaluate("document.querySelector('#detail').offsetWidth") == 390
