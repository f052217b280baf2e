"""An open row in Chromium: its charts, trendlines and score explanation, and hostile names."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from quant_assets.common.windows import Window
from quant_assets.signals import SUMS
from quant_assets.storage.lake import Lake
from quant_assets_tests.dashboard.browsing import ids, rows, visit, wait_for_row
from quant_assets_tests.dashboard.serving import (
    HOSTILE_STRATEGY,
    HOSTILE_SYMBOL,
    TIMEOUT_SECONDS,
    Site,
    with_hostile_names,
)

#: What the price charts show besides, if trades of the strategy in this market ended.
PAST_TRADES = {"past trades", "entries", "exits"}


def traces(page: Page, plot: str) -> dict[str, dict[str, Any]]:
    """Return the traces of a visible chart, by name."""
    assert page.locator(f'[data-plot="{plot}"] svg.main-svg').first.is_visible()
    found = page.evaluate(
        'plot => document.querySelector(`[data-plot="${plot}"]`).data.map(t => ({name: t.name, x: t.x, y: t.y}))', plot
    )
    return {trace["name"]: trace for trace in found}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp() * 1000)


def test_trendlines_on_the_chart_match_the_feed(page: Page, setups_site: Site) -> None:
    signal = next(s for s in setups_site.feed["signals"] if s["observability"]["rsi_visuals"])
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    visit(page, setups_site, f"/?q={quote(signal['symbol'])}")
    page.locator(f'tr[data-id="{name}"]').click()
    wait_for_row(page, name)
    drawn = traces(page, "rsi")
    for kind, line in signal["observability"]["rsi_visuals"].items():
        solid, projected, pivots = (drawn[f"{kind}{part}"] for part in ("", ", projected", ", pivots"))
        times, values = [[line[p][key] for p in ("pivot_1", "pivot_2")] for key in ("time", "value")]
        assert [ms(solid["x"][0]), ms(solid["x"][-1])] == times == [ms(x) for x in pivots["x"]]
        assert [solid["y"][0], solid["y"][-1]] == pytest.approx(values)
        assert pivots["y"] == pytest.approx(values)
        assert ms(projected["x"][0]) == times[1]
        assert ms(projected["x"][-1]) == ms(drawn["RSI"]["x"][-1]) + 14_400_000
        assert projected["y"][-1] == pytest.approx(line["current_value"] + line["slope"])
        # The ends are points of the RSI.
        by_time = dict(zip(map(ms, drawn["RSI"]["x"]), drawn["RSI"]["y"], strict=True))
        assert [by_time[time] for time in times] == pytest.approx(values)
        data = page.locator(f'tr[data-line="{kind}"]').text_content() or ""
        assert datetime.fromtimestamp(times[0] / 1000, UTC).strftime("%Y-%m-%d %H:%M") in data
        assert f"{values[0]:.1f}" in data


def test_setup_chart_has_its_levels_and_the_broken_line(page: Page, setups_site: Site) -> None:
    signal = next(s for s in setups_site.feed["signals"] if s["setup"] and "trendline" in s["setup"])
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    visit(page, setups_site)
    page.locator(f'tr[data-id="{name}"]').click()
    wait_for_row(page, name)
    assert ms(traces(page, "rsi")["broken"]["x"][0]) == signal["setup"]["trendline"]["start_time"]
    page.get_by_role("button", name="4h").click()  # close levels open on 15m
    page.wait_for_function("() => document.querySelector('[data-plot=price]').data[0].name === '4h'")
    assert set(traces(page, "price")) - PAST_TRADES <= {"4h", "forming", "forming, named", "EMA 50", "EMA 200"}
    assert {"open interest", "longs liquidated"} & set(traces(page, "derivatives")) or page.locator(
        ".plot.empty"
    ).count()
    shapes = page.evaluate("document.querySelector('[data-plot=price]').layout.shapes.map(s => [s.name, s.y0])")
    assert shapes == [["entry", signal["entry"]], ["stop", signal["stop_loss"]], ["target", signal["take_profit"]]]


def between_4h_closes(site: Site) -> str:
    """Return a window that ends between two 4h closes; one of two consecutive windows does."""
    keys = [data["window"] for data in site.get("/api/windows").json()["windows"]]
    return next(key for key in keys if Window.of_key(key).end_ms % 14_400_000)


def test_4h_chart_ends_with_the_hollow_forming_bar(page: Page, setups_site: Site) -> None:
    window = between_4h_closes(setups_site)
    signals = setups_site.get("/api/results", params={"window": window}).json()["signals"]
    signal = next(s for s in signals if s["price_age_seconds"] == 0 and s["htf"]["ema200"])
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    visit(page, setups_site, f"/?window={quote(window)}&open={quote(name)}")
    wait_for_row(page, name)
    page.get_by_role("button", name="4h").click()
    page.wait_for_function("() => document.querySelector('[data-plot=price]').data[0].name === '4h'")
    closed, forming = page.evaluate("document.querySelector('[data-plot=price]').data.slice(0, 2)")
    assert forming["name"] == "forming"
    assert forming["close"] == [signal["price"]]
    assert ms(forming["x"][0]) == ms(closed["x"][-1]) + 14_400_000 < Window.of_key(window).end_ms
    assert forming["increasing"]["fillcolor"] == forming["decreasing"]["fillcolor"] == "rgba(0, 0, 0, 0)"
    plot = page.locator("[data-plot=price]")
    x = plot.evaluate(
        "(node, at) => node._fullLayout.xaxis.d2p(at) + node._fullLayout._size.l + node.getBoundingClientRect().x",
        forming["x"][0],
    )
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(x, box["y"] + box["height"] / 2)
    expect(plot.locator(".hoverlayer")).to_contain_text("forming")
    drawn = traces(page, "price")
    assert {"EMA 50", "EMA 200"} <= set(drawn)
    assert drawn["EMA 200"]["y"][-1] == pytest.approx(signal["htf"]["ema200"])
    expect(plot.locator(".legend").first).to_contain_text("EMA 200")
    page.get_by_role("button", name="15m").click()
    page.wait_for_function("() => document.querySelector('[data-plot=price]').data[0].name === '15m'")
    expect(page.get_by_role("button", name="15m")).to_have_attribute("aria-pressed", "true")
    assert set(traces(page, "price")) - PAST_TRADES == {"15m"}


OVERLAPS = """() => {
  const plot = document.querySelector("[data-plot=derivatives]"), found = [];
  const others = [...plot.querySelectorAll(".xtick text, .ytick text, .y2tick text, .xlines-above, .y2lines-above")];
  const boxes = others.map((node) => node.getBoundingClientRect()).filter((box) => box.width || box.height);
  for (const note of plot.querySelectorAll(".annotation")) {
    const a = note.getBoundingClientRect();
    const meets = (b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    if (boxes.some(meets)) found.push(note.textContent);
  }
  return found;
}"""


@pytest.mark.parametrize("missing", ["", "open_interest", "liquidations"])
def test_derivatives_chart_notes_do_not_overlap_the_axes(page: Page, own_site: Site, missing: str) -> None:
    feed = own_site.feed
    signal = next(
        s
        for s in feed["signals"]
        if s["oi_metadata"]["value"] is not None and (s["derivatives"]["liquidations"] or {}).get("longs_24h")
    )
    if missing:
        Path(Lake(own_site.settings.lake_dir).describe([missing], feed["window"])).unlink()
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    visit(page, own_site, f"/?open={quote(name)}")
    wait_for_row(page, name)
    if missing:
        expect(page.locator("[data-plot=derivatives]")).to_contain_text(f"{missing.replace('_', ' ')}: unknown")
    assert page.evaluate(OVERLAPS) == []


def test_open_row_explains_each_part_of_its_score(page: Page, setups_site: Site) -> None:
    signal = next(s for s in setups_site.feed["signals"] if s["action"] == "WAIT" and s["strategy_name"] == "Legacy")
    name = f"{signal['exchange']}/{signal['symbol']}/Legacy"
    visit(page, setups_site, f"/?open={quote(name)}")
    wait_for_row(page, name)
    for part, points in signal["details"]["score_breakdown"].items():
        if part not in SUMS:
            line = page.locator(f'tr[data-part="{part}"]')
            expect(line.locator(".points b")).to_have_text(re.compile(rf"^−?{points:.1f}$"))
            assert line.locator("td").last.text_content()
    expect(page.locator(".reason")).to_contain_text((signal["details"]["reason"] or "").replace("_", " "))
    assert len(page.locator(".reason").text_content() or "") > 50
    expect(page.locator("table.data:not(.past)")).to_contain_text(signal["oi_metadata"]["status"])


def test_plotly_is_loaded_when_the_first_row_is_opened(page: Page, setups_site: Site) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    visit(page, setups_site)
    assert not [url for url in asked if "plotly.min.js" in url]
    page.locator("main tbody tr[data-id]").first.click()
    wait_for_row(page, rows(setups_site)[0].id)
    assert len([url for url in asked if "plotly.min.js" in url]) == 1
    page.remove_listener("request", note)
    assert all(url.startswith((setups_site.url, "data:", "blob:")) for url in asked), "a request went to another server"


def test_shared_address_shows_the_same_page(page: Page, setups_site: Site, browser: Browser) -> None:
    visit(page, setups_site)
    page.select_option("select[name=strategy]", "Breakout")
    page.locator("th[data-sort=market]").click()
    page.locator("main tbody tr[data-id]").nth(2).click()
    name = ids(page)[2]
    wait_for_row(page, name)
    with browser.new_context() as elsewhere:
        other = elsewhere.new_page()
        visit(other, setups_site, page.url.removeprefix(setups_site.url))
        wait_for_row(other, name)
        assert ids(other)[:10] == ids(page)[:10]
        assert other.locator("#detail-title").text_content() == page.locator("#detail-title").text_content()
        expect(other.locator("select[name=strategy]")).to_have_value("Breakout")


def test_back_button_closes_the_open_row(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    page.locator("main tbody tr[data-id]").first.click()
    expect(page.locator("#detail")).to_be_visible()
    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#detail")).to_be_visible()


def test_panel_says_that_the_server_does_not_answer(page: Page, setups_site: Site, allowed_errors: list[str]) -> None:
    allowed_errors.append("net::ERR_FAILED")
    first, second = rows(setups_site)[:2]
    visit(page, setups_site)
    page.route("**/detail/**", lambda route: route.abort())
    page.locator(f'tr[data-id="{first.id}"]').click()
    expect(page.locator("#detail-title")).to_have_text("This row cannot be shown")
    expect(page.locator("#detail .body")).to_contain_text("The server does not answer")
    page.unroute_all()
    page.keyboard.press("j")
    wait_for_row(page, second.id)


def test_panel_says_that_a_row_is_not_in_this_feed(page: Page, setups_site: Site) -> None:
    visit(page, setups_site, "/?open=NOWHERE/BTCUSDT/Legacy")
    expect(page.locator("#detail-title")).to_have_text("Not in this feed")


def test_row_that_is_chosen_before_the_rows_are_loaded_is_shown(page: Page, setups_site: Site) -> None:
    first, second = rows(setups_site)[:2]
    held: list[Route] = []
    page.route("**/rows", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it is given
    with page.expect_request("**/rows"):
        page.goto(f"{setups_site.url}/?open={quote(first.id)}")
    page.locator(f'tr[data-id="{second.id}"] a').click()
    held[0].continue_()
    wait_for_row(page, second.id)
    expect(page.locator("#detail .body")).to_have_attribute("data-id", second.id)
    page.unroute_all()


def test_charts_of_a_row_are_not_drawn_into_the_next_row(browser: Browser, setups_site: Site) -> None:
    first, second = rows(setups_site)[:2]
    held: dict[str, Route] = {}
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        page = visit(context.new_page(), setups_site)
        page.route("**/plotly.min.js", lambda route: held.update(plotly=route))
        page.evaluate(
            """() => {
              const panel = document.querySelector("#detail");
              window.drawn = [];
              new MutationObserver(() => window.drawn.push(panel.dataset.drawn ?? ""))
                .observe(panel, { attributes: true, attributeFilter: ["data-drawn"] });
            }"""
        )
        with page.expect_request("**/plotly.min.js"):
            page.locator(f'tr[data-id="{first.id}"]').click()
        page.route("**/api/signals/**", lambda route: held.update(series=route))
        with page.expect_request("**/api/signals/**"):
            page.keyboard.press("j")
        held["plotly"].continue_()
        page.wait_for_function("() => window.Plotly")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        held["series"].continue_()
        wait_for_row(page, second.id)
        assert page.evaluate("window.drawn") == [second.id]


def test_hostile_names_appear_as_text(page: Page, own_site: Site) -> None:
    own_site.write(orjson.dumps(with_hostile_names(own_site.feed)))
    visit(page, own_site)
    page.fill("input[name=q]", "<img")
    link = page.locator("main tbody tr[data-id] a").first
    expect(link).to_have_text(HOSTILE_SYMBOL)
    page.select_option("select[name=strategy]", HOSTILE_STRATEGY)
    line = page.locator("main tbody tr[data-id]")
    expect(line).to_have_count(1)
    expect(line.locator("td.strategy")).to_have_text(HOSTILE_STRATEGY)
    name = ids(page)[0]
    line.click()
    wait_for_row(page, name)
    expect(page.locator("#detail-title .name")).to_have_text(HOSTILE_SYMBOL)
    expect(page.locator(".strategies a[aria-current]")).to_contain_text(HOSTILE_STRATEGY)
    assert page.locator("img").count() == 0
    page.reload()
    page.wait_for_selector("html[data-ready]")
    wait_for_row(page, name)
    assert page.locator("img").count() == 0


def test_stale_and_simulated_data_are_marked(page: Page, setups_site: Site) -> None:
    row = next(row for row in rows(setups_site) if row.oi_stale)
    visit(page, setups_site, f"/?q={row.symbol}&exchange={row.exchange}")
    expect(page.locator(".age.stale").first).to_have_text("5 h")
    expect(page.get_by_role("note")).to_contain_text("Simulated data")
    page.locator("main tbody tr[data-id]").first.click()
    expect(page.locator("table.data:not(.past) td.stale")).to_contain_text("5 h")
