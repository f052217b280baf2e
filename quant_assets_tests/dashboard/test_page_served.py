"""The page as the server renders it, without script: rows, sorting, unknown values, hostile names."""

from __future__ import annotations

import gzip
import re
from urllib.parse import quote

import orjson
import pytest

from quant_assets.dashboard.columns import SORT_FIELDS, SORTS
from quant_assets.dashboard.query import Filters
from quant_assets.dashboard.rows import Row, rows_of
from quant_assets.dashboard.summary import summary
from quant_assets_tests.dashboard.serving import GATES, HOSTILE_STRATEGY, HOSTILE_SYMBOL, Json, Site, with_hostile_names


def rows_in(html: str) -> list[str]:
    return re.findall(r'<tr data-id="([^"]+)"', body_of(html))


def body_of(html: str) -> str:
    return html.partition("<tbody>")[2].partition("</tbody>")[0]


def test_first_rows_are_in_the_html_in_the_feeds_order(site: Site) -> None:
    expected = [row.id for row in rows_of(site.feed["signals"], GATES)]
    assert rows_in(site.get("/").text) == expected[:60]


def test_server_applies_filters_search_and_sort_of_the_address(site: Site) -> None:
    html = site.get("/?strategy=Legacy&sort=price&dir=asc&q=usd").text
    rows = [
        row for row in rows_of(site.feed["signals"], GATES) if row.strategy == "Legacy" and "usd" in row.market.lower()
    ]
    assert rows_in(html) == [row.id for row in sorted(rows, key=lambda row: row.price)]
    assert 'data-sort="price" data-first="desc" aria-sort="ascending"' in html
    assert '<option value="Legacy" selected>' in html


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_server_sorts_unknown_values_last(setups_site: Site, sort: str, direction: str) -> None:
    by_id = {row.id: row for row in rows_of(setups_site.feed["signals"], GATES)}
    html = setups_site.get(f"/?sort={sort}&dir={direction}").text
    values = [getattr(by_id[name], SORT_FIELDS.get(sort, sort)) for name in rows_in(html)]
    known = [value for value in values if value is not None]
    assert values[: len(known)] == known
    assert known == sorted(known, reverse=direction == "desc")


def test_unknown_is_none_in_a_row_and_a_word_on_the_page(site: Site) -> None:
    signal = next(s for s in site.feed["signals"] if s["oi_metadata"]["value"] is None and s["setup"] is None)
    (row,) = rows_of(
        [{**signal, "derivatives": {"funding_rate": None, "long_short_ratio": None, "liquidations": None}}],
        GATES,
    )
    assert (row.oi_age, row.oi_value, row.funding_size, row.funding_text, row.ls, row.ls_text) == (None,) * 6
    assert (row.rr, row.entry, row.stop, row.target) == (None,) * 4
    html = site.get(f"/?q={signal['symbol']}&exchange={signal['exchange']}").text
    assert '<span class="unknown">unknown</span>' in body_of(html)


def test_stale_open_interest_is_marked(setups_site: Site) -> None:
    stale = [row for row in rows_of(setups_site.feed["signals"], GATES) if row.oi_stale]
    assert {row.oi_age_text for row in stale} == {"5 h"}
    assert '<span class="age stale" data-c="oi_age">5 h</span>' in setups_site.get(f"/?q={stale[0].symbol}").text


def test_statistics_above_the_table_match_the_feed(site: Site) -> None:
    texts, stats = summary(site.feed)["texts"], site.feed["stats"]
    assert texts["resolved"] == str(stats["resolution"]["resolved"])
    assert texts["calls"] == f"{stats['api']['calls']:,}"
    html = site.get("/").text
    for name in ("resolved", "aggregated", "neutral", "calls", "LONG"):
        assert f'<b data-figure="{name}">{texts[name]}</b>' in html


def changed_row(signal: Json, **blocks: Json) -> Row:
    """Return the row of a signal after changing keys of its blocks."""
    (row,) = rows_of([{**signal, **{name: {**signal[name], **keys} for name, keys in blocks.items()}}], GATES)
    return row


@pytest.mark.parametrize(
    ("funding", "text", "size", "title"),
    [
        ({"value": 0.0044, "interval_hours": 8.0}, "+0.0044 % / 8h", 0.0044, ""),
        ({"value": -0.0044, "interval_hours": 1.0}, "−0.0044 % / 1h", 0.0352, "−0.0352 % for 8 hours"),
        ({"value": 0.0044, "interval_hours": None}, "+0.0044 %", 0.0044, ""),
        ({"value": 0.0044}, "+0.0044 %", 0.0044, ""),
        (None, None, None, ""),
    ],
)
def test_funding_shows_its_interval_and_sorts_by_size_for_8_hours(
    site: Site, funding: Json | None, text: str | None, size: float | None, title: str
) -> None:
    known = None if funding is None else {**funding, "age_seconds": 0.0}
    row = changed_row(site.feed["signals"][0], derivatives={"funding_rate": known})
    assert (row.funding_text, row.funding_title) == (text, title)
    assert row.funding_size == pytest.approx(size)


def test_open_interest_cell_has_value_change_z_score_and_age(site: Site) -> None:
    known = {"status": "aggregated", "value": 4_600_000.0, "unit": "BASE_ASSET", "age_seconds": 720.0}
    row = changed_row(site.feed["signals"][0], oi_metadata={**known, "change_24h_pct": -1.234, "z_score": 0.31})
    assert (row.oi_status, row.oi_value, row.oi_change, row.oi_z, row.oi_age_text) == (
        *("aggregated", "4.60M", "−1.23 %", "z +0.31", "12 min"),
    )
    assert "4.60M of the base asset, −1.23 % in 24 hours, z-score +0.31, 12 min old" in row.oi_title
    row = changed_row(site.feed["signals"][0], oi_metadata={**known, "change_24h_pct": None, "z_score": None})
    assert (row.oi_change, row.oi_z) == ("–", "z –")
    row = changed_row(site.feed["signals"][0], oi_metadata={**known, "value": None})
    assert (row.oi_value, row.oi_change, row.oi_z, row.oi_age, row.oi_age_text) == (None, "", "", None, "")


def test_volume_and_change_are_shown_or_unknown(site: Site) -> None:
    row = changed_row(site.feed["signals"][0], details={"vol24h": 12_345_678.0, "change_24h_pct": 12.345})
    assert (row.volume_text, row.change_text) == ("12.3M", "+12.3 %")
    row = changed_row(site.feed["signals"][0], details={"vol24h": 0.0, "change_24h_pct": None})
    assert (row.volume, row.volume_text, row.change, row.change_text) == (None,) * 4


def test_price_tooltip_has_the_age_from_16_minutes_on(own_site: Site) -> None:
    feed = own_site.feed
    first, second = feed["signals"][:2]
    first["price_age_seconds"], second["price_age_seconds"] = 960.0, 900.0
    own_site.write(orjson.dumps(feed))
    rows = rows_of(feed["signals"], GATES)
    assert (rows[0].price_age, rows[1].price_age) == ("16 min old at the window's end", None)
    assert f'title="{rows[0].full.get("price", rows[0].price_text)}, 16 min old at the window' in body_of(
        own_site.get("/").text
    ).replace("&#39;", "'")


def test_simulated_data_show_a_banner(own_site: Site) -> None:
    assert "data-simulated>" in own_site.get("/").text
    own_site.write(orjson.dumps({**own_site.feed, "simulated": False}))
    assert "data-simulated hidden>" in own_site.get("/").text


def test_coinalyze_is_credited_with_a_link(site: Site) -> None:
    signal = site.feed["signals"][0]
    for path in ("/", f"/detail/{signal['exchange']}/{signal['symbol']}"):
        assert '<a href="https://coinalyze.net/" rel="noopener">Coinalyze</a>' in site.get(path).text


def test_hostile_names_are_escaped(own_site: Site) -> None:
    own_site.write(orjson.dumps(with_hostile_names(own_site.feed)))
    market = next(s for s in own_site.feed["signals"] if s["symbol"] == HOSTILE_SYMBOL)
    opened = own_site.get(f"/detail/{market['exchange']}/{quote(HOSTILE_SYMBOL, safe='')}")
    for html in (own_site.get("/").text, own_site.get("/?q=img").text, opened.text):
        assert "<img" not in html
        assert "<b>Bob" not in html
        assert "</script><b>" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;USDT" in opened.text
    data = own_site.get("/api/results", params={"strategy": HOSTILE_STRATEGY}).json()
    assert {signal["strategy_name"] for signal in data["signals"]} == {HOSTILE_STRATEGY}
    assert data["selection"]["matched"] == own_site.feed["stats"]["markets"]


def test_open_parameter_opens_a_row(site: Site) -> None:
    row = rows_of(site.feed["signals"], GATES)[0]
    html = site.get("/", params={"open": row.id}).text
    assert 'id="detail-title"' in html
    assert f'data-id="{row.id}"' in html.split("<aside")[1]
    assert "<aside" in site.get("/?open=no/such/row").text


def test_links_of_the_panel_keep_the_window(own_site: Site) -> None:
    feed = own_site.feed
    first, second = feed["signals"][:2]
    other = {name: second[name] for name in ("exchange", "symbol", "strategy_name")}
    first["conflict"] = [{**other, "side": "SHORT"}]
    content = orjson.dumps(feed)
    own_site.write(content)
    stored = max((own_site.settings.lake_dir / "master_feed").glob("*.json.gz"))
    stored.write_bytes(gzip.compress(content))
    address = f"/detail/{first['exchange']}/{first['symbol']}?strategy={first['strategy_name']}"
    window = f"window={quote(feed['window'])}"
    opened = quote(rows_of([first], GATES)[0].id)
    for base, path in (
        ("/?", address),
        (f"/?{window}&amp;", f"{address}&{window}"),
        (f"/?{window}&amp;", f"/?{window}&open={opened}"),
    ):
        panel = own_site.get(path).text.rpartition("<aside")[2].partition("</aside>")[0]
        links = re.findall(r'href="([^"]*open=[^"]*)"', panel)
        assert len(links) > 1
        assert all(link.startswith(f"{base}open=") for link in links)


def test_penalty_covers_the_end_of_the_bar(site: Site) -> None:
    signal = site.feed["signals"][0]
    parts = {"trend": 25.0, "structure": 20.0, "penalty": 10.0, "total": 35.0}
    (row,) = rows_of([{**signal, "details": {**signal["details"], "score_breakdown": parts}}], GATES)
    assert row.bar == (("p0", 0.0, 25.0), ("p1", 25.0, 20.0), ("penalty", 35.0, 10.0))


def test_row_has_a_text_for_each_number(site: Site) -> None:
    for row in rows_of(site.feed["signals"], GATES):
        assert isinstance(row, Row)
        for name in ("rr", "entry", "stop", "target", "ls", "volume", "change", "price"):
            assert (getattr(row, name) is None) == (getattr(row, f"{name}_text") is None)
        assert (row.funding_size is None) == (row.funding_text is None)


def test_empty_filters_are_inactive() -> None:
    assert not Filters().has_filters
    assert not Filters(window="2026-01-19-16:45").has_filters
    assert Filters(limit=1).has_filters
