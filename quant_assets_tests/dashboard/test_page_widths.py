"""The page in Chromium at common widths: nothing important is cut off."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Page, expect

from quant_assets.common.settings import Settings
from quant_assets_tests.dashboard.browsing import focused_id, ids, rows, visit, wait_for_row
from quant_assets_tests.dashboard.serving import (
    Json,
    Site,
    copy_data,
    serving,
    sort_and_count,
    with_setups,
)

WIDTHS = (390, 768, 900, 1024, 1280, 1440, 1560, 1760)
#: Prices of every size, down to those with many leading zeros.
PRICES = (118_402.5, 93_985.1, 4.5678, 0.019284, 0.00084027, 0.00012345, 0.000071664, 0.0000071664, 0.00000000012345)

CUT = """() => {
  const cells = "td.action, td.price, td.entry, td.stop, td.target, td.rr, td.funding, td.ls, td.volume, td.change, "
    + "td.record, td.oi span:not(.hidden), tbody th.market, abbr, .phone-note";
  const cut = [];
  for (const cell of document.querySelectorAll("main tbody tr[data-id]")) {
    for (const node of cell.querySelectorAll(cells)) {
      const box = node.getBoundingClientRect(), room = (node.closest("td, th") ?? node).getBoundingClientRect();
      if (!box.width || (node.matches(".phone-note") && cell.dataset.action === "WAIT")) continue;
      const style = getComputedStyle(node);
      if (node.scrollWidth > node.clientWidth && style.display !== "inline") cut.push(node.outerHTML);
      if (box.right > room.right + 0.5 || box.left < room.left - 0.5) cut.push(node.outerHTML);
      if (node.matches("td") && style.textOverflow === "ellipsis") cut.push("an ellipsis: " + node.outerHTML);
    }
  }
  return cut;
}"""


def priced(feed: Json) -> Json:
    """Return a feed with setups at prices of every size, on the markets with the longest names."""
    changed = copy.deepcopy(feed)
    names = sorted({(s["exchange"], s["symbol"]) for s in changed["signals"]}, key=lambda name: (-len(name[1]), name))
    for (exchange, symbol), price in zip(names, PRICES, strict=False):
        for signal in changed["signals"]:
            if (signal["exchange"], signal["symbol"]) == (exchange, symbol):
                stop, target = price * 0.9312345, price * 1.7123456
                signal.update(action="LONG", bias="LONG", price=price, entry=price, stop_loss=stop, take_profit=target)
                signal.update(rr=12.34, setup={"side": "LONG", "entry": price, "sl": stop, "tp": target, "rr": 12.34})
                signal["details"].update(reason=None, vol24h=123e6, change_24h_pct=-99.9)
                # The widest other cells: hourly stale funding, a conflict, a large change of open interest.
                old = {"age_seconds": 47 * 3600.0, "provider": "coinalyze"}
                signal["oi_metadata"].update(
                    old, status="aggregated", value=123e9, change_24h_pct=1234.5, z_score=-12.34
                )
                signal["derivatives"]["funding_rate"] = {"value": -0.4321, "interval_hours": 1.0, **old}
                signal["derivatives"]["long_short_ratio"] = {"value": 12.34, **old}
                other = {"exchange": exchange, "symbol": symbol, "strategy_name": "Other", "side": "SHORT"}
                signal["conflict"] = [other]
                signal["track_record"] = {
                    "n": 12_345,
                    "days": 90,
                    "too_few": price < 0.0001,
                    "mean_r": -12.345,
                    "edge_r": -0.1,
                    "mean_r_interval": [-13.5, -10.5],
                    "win_share": 0.4,
                }
    return sort_and_count(changed)


@pytest.fixture(scope="module")
def price_range_site(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(copy_data(scanned, tmp_path_factory.mktemp("prices") / "data")) as site:
        site.write(orjson.dumps(priced(site.feed)))
        yield site


@pytest.fixture
def sized_page(page: Page, request: pytest.FixtureRequest) -> Page:
    page.set_viewport_size({"width": request.param, "height": 900})
    return page


@pytest.mark.parametrize("sized_page", WIDTHS, indirect=True)
def test_no_price_or_exchange_is_cut_off(sized_page: Page, price_range_site: Site) -> None:
    visit(sized_page, price_range_site)
    seen: set[str] = set()
    sized_page.keyboard.press("Home")
    while True:
        assert sized_page.evaluate(CUT) == []
        seen.update(ids(sized_page))
        if focused_id(sized_page) == rows(price_range_site)[-1].id:
            break
        sized_page.keyboard.press("PageDown")
    assert len(seen) == len(rows(price_range_site))
    assert sized_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sized_page.evaluate("(s => s.scrollWidth <= s.clientWidth)(document.querySelector('main'))")


def test_tiny_price_is_short_in_the_table_and_full_in_the_tooltip(page: Page, price_range_site: Site) -> None:
    row = next(row for row in rows(price_range_site) if row.price == 0.0000071664)
    visit(page, price_range_site)
    for _ in range(3):
        cell = page.locator(f'tr[data-id="{row.id}"] td.price')
        expect(cell).to_have_text("0.0₅71664")
        expect(cell).to_have_attribute("title", "0.0000071664")
        expect(cell).to_have_attribute("aria-label", "0.0000071664")
        page.locator("th[data-sort=price]").click()  # cheapest last, then first; now the script fills the rows
        page.keyboard.press("End" if "desc" in page.url else "Home")
    page.locator(f'tr[data-id="{row.id}"]').click()
    wait_for_row(page, row.id)
    expect(page.locator(".facts.trade dd").first).to_have_text("0.0000071664")


@pytest.mark.parametrize("sized_page", [390], indirect=True)
def test_window_and_its_selector_are_visible_on_a_phone(sized_page: Page, setups_site: Site) -> None:
    visit(sized_page, setups_site)
    end = sized_page.locator("[data-as-of]")
    expect(end).to_be_visible()
    assert end.evaluate("node => node.getBoundingClientRect().right <= innerWidth")
    older = setups_site.get("/api/windows").json()["windows"][1]["window"]
    sized_page.select_option("select[name=window]", older)
    sized_page.wait_for_url(f"**/?window={quote(older)}")


@pytest.mark.parametrize("sized_page", [390, 1280, 1760], indirect=True)
def test_screen_reader_hears_strategy_and_setup_once(sized_page: Page, setups_site: Site) -> None:
    shown = [row for row in rows(setups_site) if row.strategy == "Legacy"]
    trade = next(row for row in shown if row.action == "LONG")
    waiting = next(row for row in shown if row.reason and row.rr_text is None)
    for row, column, text in (
        (trade, "strategy", "Legacy"),
        (trade, "rr", trade.rr_text),
        (waiting, "strategy", "Legacy"),
        (waiting, "why", waiting.reason),
    ):
        visit(sized_page, setups_site, f"/?strategy=Legacy&q={quote(row.symbol)}")
        cells = sized_page.locator(f'tr[data-id="{row.id}"]').locator(f"td.{column}, th.market")
        spoken = " ".join(cell.aria_snapshot().partition("\n")[0] for cell in cells.all())
        assert spoken.count(str(text)) == 1, spoken


PLACEHOLDER = """width => {
  if (innerWidth !== width) throw new Error(`the page is ${innerWidth} wide`);
  const field = document.querySelector("[name=q]"), style = getComputedStyle(field);
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${style.fontSize} ${style.fontFamily}`;
  return [pen.measureText(field.placeholder).width,
          field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 20];
}"""


def test_search_placeholder_is_not_cut_off(page: Page, setups_site: Site) -> None:
    visit(page, setups_site)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        taken, room = page.evaluate(PLACEHOLDER, width)
        assert taken <= room, f"at {width} the button that clears the field covers the text"


def levels(feed: Json, risk: float) -> tuple[Json, str]:
    """Give a Legacy signal a setup with this risk, as a share of the price, and an R:R of 2.5."""
    changed = with_setups(feed)
    signal = next(s for s in changed["signals"] if s["strategy_name"] == "Legacy" and s["action"] == "LONG")
    stop, target = signal["price"] * (1 - risk), signal["price"] * (1 + 2.5 * risk)
    signal.update(stop_loss=stop, take_profit=target, rr=2.5)
    signal["setup"].update(sl=stop, tp=target, rr=2.5)
    return sort_and_count(changed), f"{signal['exchange']}/{signal['symbol']}/Legacy"


@pytest.mark.parametrize("sized_page", [390, 1280], indirect=True)
def test_close_levels_open_on_15m_with_separate_labels(sized_page: Page, own_site: Site) -> None:
    feed, name = levels(own_site.feed, 0.0008)
    own_site.write(orjson.dumps(feed))
    visit(sized_page, own_site, f"/?open={quote(name)}")
    wait_for_row(sized_page, name)
    expect(sized_page.get_by_role("button", name="15m")).to_have_attribute("aria-pressed", "true")
    for frame in ("15m", "4h"):  # also on 4h the labels must not overlap
        sized_page.get_by_role("button", name=frame).click()
        sized_page.wait_for_function(f"() => document.querySelector('[data-plot=price]').data[0].name === '{frame}'")
        boxes = sized_page.evaluate(
            """() => [...document.querySelectorAll("[data-plot=price] .annotation")]
                 .map(node => node.getBoundingClientRect())
                 .map(box => [box.top, box.bottom]).sort((a, b) => a[0] - b[0])"""
        )
        assert len(boxes) == 3
        for upper, lower in pairwise(boxes):
            assert upper[1] <= lower[0], frame
        plot = sized_page.locator("[data-plot=price]").bounding_box()
        assert plot is not None
        assert boxes[0][0] >= plot["y"]
        assert boxes[-1][1] <= plot["y"] + plot["height"]


def test_distant_levels_open_on_4h(page: Page, own_site: Site) -> None:
    feed, name = levels(own_site.feed, 0.2)
    own_site.write(orjson.dumps(feed))
    visit(page, own_site, f"/?open={quote(name)}")
    wait_for_row(page, name)
    expect(page.get_by_role("button", name="4h")).to_have_attribute("aria-pressed", "true")
