"""The report of an evaluation in a real browser."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from quant_assets.common.windows import Window
from quant_assets.evaluation import Costs, Prices, evaluate, price_bars
from quant_assets.evaluation.report import render_report
from quant_assets.markets.rules import ResolutionRules
from quant_assets.signals import discover_strategies, with_values
from quant_assets_tests.signals.factories import WINDOW, random_candles


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    candles = random_candles(6, ltf_bars=310, htf_bars=220)
    candles["symbol"] = candles["symbol"].cat.rename_categories({"M000USDT": "<b>M000</b>"})
    prices = Prices(price_bars(candles))
    strategies = with_values(discover_strategies().strategies, {"legacy": {"threshold": 60.0}}, Path("test"))
    legacy = [strategy for strategy in strategies if strategy.name == "Legacy"]
    first, last = (Window(WINDOW.end - timedelta(hours=hours)) for hours in (60, 5))
    found = evaluate(candles, prices, legacy, first, last, ResolutionRules())
    assert found.records["Legacy"]["n"] > 0
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(found, prices.bars, Costs()), encoding="utf-8")
    return path


def test_report_shows_its_plots_without_a_network(report: Path, browser: Browser) -> None:
    page = browser.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(report.as_uri())
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.get_by_role("heading", name="The worst trades")).to_be_visible()
        assert page.locator(".js-plotly-plot").count() >= 7
        assert page.locator("td", has_text="too few to say").count() > 0
        assert page.locator("b", has_text="M000").count() == 0  # a symbol is text, not HTML
    finally:
        page.close()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
