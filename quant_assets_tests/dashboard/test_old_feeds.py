"""Feeds of schema version 1.0, which stay in the data folder after an upgrade, are shown."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from quant_assets.feed import feed_problems
from quant_assets.feed.contract import feed_schema
from quant_assets_tests.dashboard.serving import Site

Json = dict[str, Any]


def as_version_1(feed: Json) -> Json:
    """Convert a feed to schema version 1.0, as version 0.1 of the program wrote it."""
    old = copy.deepcopy(feed)
    old["schema_version"] = "1.0"
    del old["published_at_ms"], old["stats"]["candles"]
    schema = feed_schema("1.0")["$defs"]
    for signal in old["signals"]:
        for name in ("price_age_seconds", "conflict", "track_record"):
            del signal[name]
        signal["source"] = signal["exchange"]
        signal["htf"]["bias"] = signal["htf"].pop("ema_bias")
        for name in ("provider", "z_score_provider", "change_24h_pct"):
            del signal["oi_metadata"][name]
        for known in signal["derivatives"].values():
            if known is not None:
                del known["provider"]
                known.pop("interval_hours", None)
        details = signal["details"]
        del details["reason_value"], details["reason_bound"], details["score_breakdown"]["base"]
        del details["change_24h_pct"]
        composition = signal["observability"]["score_composition"]
        gates = {"oi_zscore": None, "obv_slope": None} | composition["filters_passed"]
        known_names = schema["score_composition"]["properties"]
        signal["observability"]["score_composition"] = {
            name: gates if name == "filters_passed" else composition.get(name) for name in known_names
        }
    return old


@pytest.fixture
def version_1_site(own_site: Site) -> Site:
    content = orjson.dumps(as_version_1(own_site.feed))
    assert feed_problems(content) == []
    own_site.write(content)
    return own_site


def test_page_rows_and_details_of_a_version_1_feed_are_shown(version_1_site: Site) -> None:
    assert version_1_site.get("/").status_code == 200
    rows = version_1_site.get("/rows").json()["rows"]
    assert len(rows) == len(version_1_site.feed["signals"])
    for signal in version_1_site.feed["signals"][:: len(rows) // 12]:
        opened = version_1_site.get(
            f"/detail/{signal['exchange']}/{signal['symbol']}?strategy={signal['strategy_name']}"
        )
        assert opened.status_code == 200
        assert signal["display_symbol"] in opened.text
        assert version_1_site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").status_code == 200


def test_fields_missing_in_a_version_1_feed_are_unknown(version_1_site: Site) -> None:
    for row in version_1_site.get("/rows").json()["rows"]:
        assert (row["conflict"], row["change_text"], row["price_age"]) == (None, None, None)
        assert row["oi_change"] in ("–", "")
        assert row["funding_text"] is None or "h" not in row["funding_text"]


def test_api_returns_a_version_1_feed_unchanged(version_1_site: Site) -> None:
    assert version_1_site.get("/api/results").json() == version_1_site.feed
    filtered = version_1_site.get("/api/results?strategy=Legacy").json()
    assert filtered["schema_version"] == "1.0"
    assert filtered["signals"] == [s for s in version_1_site.feed["signals"] if s["strategy_name"] == "Legacy"]
    assert version_1_site.get("/api/health").json()["feed"]["window"] == version_1_site.feed["window"]


def test_source_is_an_alias_of_exchange(own_site: Site) -> None:
    by_source = own_site.get("/api/results?source=MEXC").json()
    assert by_source == own_site.get("/api/results?exchange=MEXC").json()
    assert {signal["exchange"] for signal in by_source["signals"]} == {"MEXC"}
    both = own_site.get("/api/results?source=mexc&exchange=okx").json()
    assert {signal["exchange"] for signal in both["signals"]} == {"MEXC", "OKX"}
    assert own_site.get("/api/results?source=../x").status_code == 404
