"""The page as the server gives it, before any script: rows, their order, what is unknown, hostile names."""

from __future__ import annotations

import re
from urllib.parse import quote

import orjson
import pytest

from quant_assets.dashboard.query import Filters
from quant_assets.dashboard.rows import SORTS, Row, rows_of, summary
from quant_assets.dashboard.words import REASONS, explained, most_points, reason_words
from quant_assets.feed.signal import SUMS
from quant_assets.signals import discover_strategies
from quant_assets_tests.dashboard.serving import HOSTILE_STRATEGY, HOSTILE_SYMBOL, Site, renamed


def rows_in(html: str) -> list[str]:
    return re.findall(r'<tr data-id="([^"]+)"', body_of(html))


def body_of(html: str) -> str:
    return html.partition("<tbody>")[2].partition("</tbody>")[0]


def test_the_first_rows_come_with_the_page_in_the_feeds_order(site: Site) -> None:
    expected = [row.id for row in rows_of(site.feed["signals"])]
    assert rows_in(site.get("/").text) == expected[:60]


def test_an_address_with_filters_search_and_order_is_served_so(site: Site) -> None:
    html = site.get("/?strategy=Legacy&sort=price&dir=asc&q=usd").text
    rows = [row for row in rows_of(site.feed["signals"]) if row.strategy == "Legacy" and "usd" in row.market.lower()]
    assert rows_in(html) == [row.id for row in sorted(rows, key=lambda row: row.price)]
    assert 'data-sort="price" data-first="desc" aria-sort="ascending"' in html
    assert '<option value="Legacy" selected>' in html


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_unknown_comes_last_whichever_way_it_is_sorted(shown: Site, sort: str, direction: str) -> None:
    by_id = {row.id: row for row in rows_of(shown.feed["signals"])}
    html = shown.get(f"/?sort={sort}&dir={direction}").text
    values = [getattr(by_id[name], {"oi": "oi_age"}.get(sort, sort)) for name in rows_in(html)]
    known = [value for value in values if value is not None]
    assert values[: len(known)] == known
    assert known == sorted(known, reverse=direction == "desc")


def test_what_is_unknown_is_none_in_a_row_and_a_word_on_the_page(site: Site) -> None:
    signal = next(s for s in site.feed["signals"] if s["oi_metadata"]["value"] is None and s["setup"] is None)
    (row,) = rows_of(
        [{**signal, "derivatives": {"funding_rate": None, "long_short_ratio": None, "liquidations": None}}]
    )
    assert (row.oi_age, row.oi_text, row.funding, row.funding_text, row.ls, row.ls_text) == (None,) * 6
    assert (row.rr, row.entry, row.stop, row.target) == (None,) * 4
    html = site.get(f"/?q={signal['symbol']}&exchange={signal['exchange']}").text
    assert '<span class="unknown">unknown</span>' in body_of(html)


def test_what_is_stale_is_marked(shown: Site) -> None:
    stale = [row for row in rows_of(shown.feed["signals"]) if row.oi_stale]
    assert {row.oi_text for row in stale} == {"5 h"}
    assert '<span class="age stale" data-c="oi_age">5 h</span>' in shown.get(f"/?q={stale[0].symbol}").text


def test_figures_above_the_table_are_the_feeds(site: Site) -> None:
    texts, stats = summary(site.feed)["texts"], site.feed["stats"]
    assert texts["resolved"] == str(stats["resolution"]["resolved"])
    assert texts["calls"] == f"{stats['api']['calls']:,}"
    html = site.get("/").text
    for name in ("resolved", "aggregated", "neutral", "calls", "LONG"):
        assert f'<b data-figure="{name}">{texts[name]}</b>' in html


def test_funding_has_its_unit_in_the_head_of_its_column(site: Site) -> None:
    assert ">Funding %</a></th>" in site.get("/").text


def test_simulated_data_say_so(own_site: Site) -> None:
    assert "data-simulated>" in own_site.get("/").text
    own_site.write(orjson.dumps({**own_site.feed, "simulated": False}))
    assert "data-simulated hidden>" in own_site.get("/").text


def test_coinalyze_is_named_and_linked(site: Site) -> None:
    signal = site.feed["signals"][0]
    for path in ("/", f"/detail/{signal['exchange']}/{signal['symbol']}"):
        assert '<a href="https://coinalyze.net/" rel="noopener">Coinalyze</a>' in site.get(path).text


def test_names_that_would_do_harm_are_text(own_site: Site) -> None:
    own_site.write(orjson.dumps(renamed(own_site.feed)))
    market = next(s for s in own_site.feed["signals"] if s["symbol"] == HOSTILE_SYMBOL)
    opened = own_site.get(f"/detail/{market['exchange']}/{quote(HOSTILE_SYMBOL, safe='')}")
    for html in (own_site.get("/").text, own_site.get("/?q=img").text, opened.text):
        assert "<img" not in html
        assert "<b>Bob" not in html
        assert "</script><b>" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;USDT" in opened.text
    told = own_site.get("/api/results", params={"strategy": HOSTILE_STRATEGY}).json()
    assert {signal["strategy_name"] for signal in told["signals"]} == {HOSTILE_STRATEGY}
    assert told["selection"]["matched"] == own_site.feed["stats"]["markets"]


def test_a_row_opens_from_its_address(site: Site) -> None:
    row = rows_of(site.feed["signals"])[0]
    html = site.get("/", params={"open": row.id}).text
    assert 'id="detail-title"' in html
    assert f'data-id="{row.id}"' in html.split("<aside")[1]
    assert "<aside" in site.get("/?open=no/such/row").text


def test_every_part_and_reason_of_our_strategies_has_words(site: Site) -> None:
    for strategy in discover_strategies().strategies:
        assert all(most_points(part) for part in strategy.parts)
    for signal in site.feed["signals"]:
        parts = explained(signal)
        assert [part.name for part in parts] == [n for n in signal["details"]["score_breakdown"] if n not in SUMS]
        assert all(part.words and part.most is not None and part.points <= part.most for part in parts)
        reason = signal["details"]["reason"]
        assert reason is None or reason in REASONS


def test_a_foreign_strategys_parts_and_reasons_are_shown_by_name(site: Site) -> None:
    signal = site.feed["signals"][0]
    foreign = {**signal, "details": {**signal["details"], "score_breakdown": {"moon_phase": 12.0, "total": 12.0}}}
    (part,) = explained(foreign)
    assert (part.title, part.most, part.words) == ("moon phase", None, "")
    assert reason_words({"reason": "new_moon"}) == "new moon"
    bounded = {"reason": "new_moon", "reason_value": 0.25, "reason_bound": 0.5}
    assert reason_words(bounded) == "new moon: 0.25 < 0.5"
    (row,) = rows_of([foreign])
    assert row.bar == ((part.colour, 0.0, 12.0),) == (("p0", 0.0, 12.0),)


def test_a_penalty_lies_over_the_end_of_the_bar(site: Site) -> None:
    signal = site.feed["signals"][0]
    parts = {"trend": 25.0, "structure": 20.0, "penalty": 10.0, "total": 35.0}
    (row,) = rows_of([{**signal, "details": {**signal["details"], "score_breakdown": parts}}])
    assert row.bar == (("trend", 0.0, 25.0), ("structure", 25.0, 20.0), ("penalty", 35.0, 10.0))


def test_a_row_has_a_text_for_each_number(site: Site) -> None:
    for row in rows_of(site.feed["signals"]):
        assert isinstance(row, Row)
        for name in ("rr", "entry", "stop", "target", "funding", "ls", "price"):
            assert (getattr(row, name) is None) == (getattr(row, f"{name}_text") is None)


def test_filters_let_everything_through_by_themselves() -> None:
    assert not Filters().narrows
    assert not Filters(window="2026-01-19-16:45").narrows
    assert Filters(limit=1).narrows
