"""The page in Chromium at the widths that people have: what may not be cut off is whole, what moved is there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import quote

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from quant_assets.common.settings import Settings
from quant_assets_tests.dashboard.browsing import focused, ids, opened, rows, visit
from quant_assets_tests.dashboard.serving import PATIENCE, Json, Site, copied, serving, sound, with_setups

WIDTHS = (390, 768, 900, 1024, 1280, 1440, 1560)
#: Prices of one market after the other, from the dearest to those of which only the zeros are many.
PRICES = (118_402.5, 93_985.1, 4.5678, 0.019284, 0.00084027, 0.00012345, 0.000071664, 0.0000071664, 0.00000000012345)

CUT = """() => {
  const cells = "td.action, td.price, td.entry, td.stop, td.target, td.rr, td.funding, td.ls, td.volume, td.change, "
    + "td.oi span:not(.hidden), tbody th.market, abbr, .say";
  const cut = [];
  for (const cell of document.querySelectorAll("main tbody tr[data-id]")) {
    for (const node of cell.querySelectorAll(cells)) {
      const box = node.getBoundingClientRect(), room = (node.closest("td, th") ?? node).getBoundingClientRect();
      if (!box.width || (node.matches(".say") && cell.dataset.action === "WAIT")) continue;
      const style = getComputedStyle(node);
      if (node.scrollWidth > node.clientWidth && style.display !== "inline") cut.push(node.outerHTML);
      if (box.right > room.right + 0.5 || box.left < room.left - 0.5) cut.push(node.outerHTML);
      if (node.matches("td") && style.textOverflow === "ellipsis") cut.push("an ellipsis: " + node.outerHTML);
    }
  }
  return cut;
}"""


def priced(feed: Json) -> Json:
    """Give a feed a setup of each strategy at prices of every size, on the markets with the longest names first."""
    changed = copy.deepcopy(feed)
    names = sorted({(s["exchange"], s["symbol"]) for s in changed["signals"]}, key=lambda name: (-len(name[1]), name))
    for (exchange, symbol), price in zip(names, PRICES, strict=False):
        for signal in changed["signals"]:
            if (signal["exchange"], signal["symbol"]) == (exchange, symbol):
                stop, target = price * 0.9312345, price * 1.7123456
                signal.update(action="LONG", bias="LONG", price=price, entry=price, stop_loss=stop, take_profit=target)
                signal.update(rr=12.34, setup={"side": "LONG", "entry": price, "sl": stop, "tp": target, "rr": 12.34})
                signal["details"].update(reason=None, vol24h=123e6, change_24h_pct=-99.9)
                # What takes the most room beside it: hourly and stale funding, a conflict, an interest that moved far.
                old = {"age_seconds": 47 * 3600.0, "provider": "coinalyze"}
                signal["oi_metadata"].update(
                    old, status="aggregated", value=123e9, change_24h_pct=1234.5, z_score=-12.34
                )
                signal["derivatives"]["funding_rate"] = {"value": -0.4321, "interval_hours": 1.0, **old}
                signal["derivatives"]["long_short_ratio"] = {"value": 12.34, **old}
                other = {"exchange": exchange, "symbol": symbol, "strategy_name": "Other", "side": "SHORT"}
                signal["conflict"] = [other]
    return sound(changed)


@pytest.fixture(scope="module")
def dear_and_cheap(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(copied(scanned, tmp_path_factory.mktemp("prices") / "data")) as site:
        site.write(orjson.dumps(priced(site.feed)))
        yield site


@pytest.fixture
def sized(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with browser.new_context(viewport={"width": request.param, "height": 900}) as context:
        context.set_default_timeout(PATIENCE * 1000)
        yield context.new_page()


@pytest.mark.parametrize("sized", WIDTHS, indirect=True)
def test_no_price_and_no_exchange_is_cut_off(sized: Page, dear_and_cheap: Site) -> None:
    visit(sized, dear_and_cheap)
    seen: set[str] = set()
    sized.keyboard.press("Home")
    while True:
        assert sized.evaluate(CUT) == []
        seen.update(ids(sized))
        if focused(sized) == rows(dear_and_cheap)[-1].id:
            break
        sized.keyboard.press("PageDown")
    assert len(seen) == len(rows(dear_and_cheap))
    assert sized.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sized.evaluate("(s => s.scrollWidth <= s.clientWidth)(document.querySelector('main'))")


def test_a_tiny_price_is_short_in_the_table_and_whole_in_its_title_and_in_the_open_row(
    page: Page, dear_and_cheap: Site
) -> None:
    row = next(row for row in rows(dear_and_cheap) if row.price == 0.0000071664)
    visit(page, dear_and_cheap)
    for _ in range(3):
        cell = page.locator(f'tr[data-id="{row.id}"] td.price')
        expect(cell).to_have_text("0.0₅71664")
        expect(cell).to_have_attribute("title", "0.0000071664")
        expect(cell).to_have_attribute("aria-label", "0.0000071664")
        page.locator("th[data-sort=price]").click()  # cheapest last, then first; the script fills rows of its own
        page.keyboard.press("End" if "desc" in page.url else "Home")
    page.locator(f'tr[data-id="{row.id}"]').click()
    opened(page, row.id)
    expect(page.locator(".facts.trade dd").first).to_have_text("0.0000071664")


@pytest.mark.parametrize("sized", [390], indirect=True)
def test_on_a_phone_the_window_and_its_choice_are_there(sized: Page, shown: Site) -> None:
    visit(sized, shown)
    end = sized.locator("[data-as-of]")
    expect(end).to_be_visible()
    assert end.evaluate("node => node.getBoundingClientRect().right <= innerWidth")
    older = shown.get("/api/windows").json()["windows"][1]["window"]
    sized.select_option("select[name=window]", older)
    sized.wait_for_url(f"**/?window={quote(older)}")


@pytest.mark.parametrize("sized", WIDTHS, indirect=True)
def test_the_search_says_in_full_what_it_searches(sized: Page, shown: Site) -> None:
    visit(sized, shown)
    taken, room = sized.evaluate(
        """() => {
          const field = document.querySelector("[name=q]"), style = getComputedStyle(field);
          const pen = document.createElement("canvas").getContext("2d");
          pen.font = `${style.fontSize} ${style.fontFamily}`;
          return [pen.measureText(field.placeholder).width,
                  field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 20];
        }"""
    )
    assert taken <= room, "the text reaches below the button that clears it"


def levels(feed: Json, risk: float) -> tuple[Json, str]:
    """Give a Legacy signal a setup that risks this share of its price for 2.5 times as much."""
    changed = with_setups(feed)
    signal = next(s for s in changed["signals"] if s["strategy_name"] == "Legacy" and s["action"] == "LONG")
    stop, target = signal["price"] * (1 - risk), signal["price"] * (1 + 2.5 * risk)
    signal.update(stop_loss=stop, take_profit=target, rr=2.5)
    signal["setup"].update(sl=stop, tp=target, rr=2.5)
    return sound(changed), f"{signal['exchange']}/{signal['symbol']}/Legacy"


@pytest.mark.parametrize("sized", [390, 1280], indirect=True)
def test_levels_that_lie_close_are_told_apart_on_the_chart_that_a_row_begins_with(sized: Page, own_site: Site) -> None:
    feed, name = levels(own_site.feed, 0.0008)
    own_site.write(orjson.dumps(feed))
    visit(sized, own_site, f"/?open={quote(name)}")
    opened(sized, name)
    expect(sized.get_by_role("button", name="15m")).to_have_attribute("aria-pressed", "true")
    for frame in ("15m", "4h"):  # on 4h, a click away, the levels are near, and the labels still do not touch
        sized.get_by_role("button", name=frame).click()
        sized.wait_for_function(f"() => document.querySelector('[data-plot=price]').data[0].name === '{frame}'")
        boxes = sized.evaluate(
            """() => [...document.querySelectorAll("[data-plot=price] .annotation")]
                 .map(node => node.getBoundingClientRect())
                 .map(box => [box.top, box.bottom]).sort((a, b) => a[0] - b[0])"""
        )
        assert len(boxes) == 3
        for upper, lower in pairwise(boxes):
            assert upper[1] <= lower[0], frame
        plot = sized.locator("[data-plot=price]").bounding_box()
        assert plot is not None
        assert boxes[0][0] >= plot["y"]
        assert boxes[-1][1] <= plot["y"] + plot["height"]


def test_levels_that_lie_far_apart_are_shown_on_4h(page: Page, own_site: Site) -> None:
    feed, name = levels(own_site.feed, 0.2)
    own_site.write(orjson.dumps(feed))
    visit(page, own_site, f"/?open={quote(name)}")
    opened(page, name)
    expect(page.get_by_role("button", name="4h")).to_have_attribute("aria-pressed", "true")
