"""The JSON API: the feed, filters, one market, windows, health, and conditional requests."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import subprocess
from datetime import timedelta
from urllib.parse import quote

import orjson
import pytest
import requests

from quant_assets.common.settings import Settings
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.signals.features.bars import bars_of
from quant_assets.signals.features.indicators import rsi
from quant_assets.storage.lake import Lake
from quant_assets_tests.dashboard.serving import Json, Site, serving, sort_and_count, with_setups


def test_results_are_the_bytes_of_the_feed_file(site: Site) -> None:
    answer = site.get("/api/results")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == site.settings.feed_path.read_bytes()


def test_documented_jq_command_works_on_results(site: Site) -> None:
    expected = {"timestamp": site.feed["last_updated"], "signals": len(site.feed["signals"])}
    content = site.get("/api/results").content
    data = json.loads(content)
    assert {"timestamp": data["last_updated"], "signals": len(data["signals"])} == expected
    jq = shutil.which("jq")
    if jq is not None:
        line = "{timestamp: .last_updated, signals: (.signals|length)}"
        done = subprocess.run([jq, "-c", line], input=content, capture_output=True, check=True)
        assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("strategy=legacy", lambda s: s["strategy_name"] == "Legacy"),
        ("strategy=Legacy,BREAKOUT", lambda s: s["strategy_name"] in ("Legacy", "Breakout")),
        ("strategy=Legacy&strategy=Breakout", lambda s: s["strategy_name"] in ("Legacy", "Breakout")),
        ("exchange=binance", lambda s: s["exchange"] == "BINANCE"),
        ("action=wait", lambda s: s["action"] == "WAIT"),
        ("action=LONG,SHORT", lambda s: s["action"] != "WAIT"),
        ("status=neutral", lambda s: s["oi_metadata"]["status"] == "neutral"),
        ("min_score=40.5", lambda s: s["score"] >= 40.5),
        ("symbol=btc", lambda s: "BTC" in s["symbol"] or "BTC" in s["display_symbol"]),
        ("exchange=NOWHERE", lambda s: False),
        ("strategy=", lambda s: True),
        (
            "action=WAIT&min_score=20&strategy=Breakout",
            lambda s: (s["action"], s["strategy_name"]) == ("WAIT", "Breakout") and s["score"] >= 20,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_filter_keeps_matching_signals_in_the_feeds_order(site: Site, query: str, keeps: object) -> None:
    feed = site.feed
    expected = [s for s in feed["signals"] if keeps(s)]  # type: ignore[operator]
    data = site.get(f"/api/results?{query}").json()
    assert data["signals"] == expected
    if query != "strategy=":
        assert data["selection"] == {"matched": len(expected), "given": len(expected)}
        assert data["stats"]["signals"] == len(expected)
        assert sum(data["stats"]["actions"].values()) == len(expected)
        assert sum(data["stats"]["resolution"].values()) == data["stats"]["markets"]
    assert data["stats"]["api"] == feed["stats"]["api"]


def test_limit_returns_the_best_signals_and_the_number_of_matches(site: Site) -> None:
    data = site.get("/api/results?limit=5").json()
    assert data["signals"] == site.feed["signals"][:5]
    assert data["selection"] == {"matched": len(site.feed["signals"]), "given": 5}


def test_fields_returns_only_the_given_keys(site: Site) -> None:
    data = site.get("/api/results?fields=symbol,score,oi_metadata&limit=3").json()
    assert [set(signal) for signal in data["signals"]] == [{"symbol", "score", "oi_metadata"}] * 3


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("frobnicate=1", "expected window, strategy"),
        ("action=BUY", "action"),
        ("status=unknown", "status"),
        ("min_score=much", "min_score"),
        ("min_score=nan", "min_score"),
        ("min_score=101", "min_score"),
        ("limit=0", "limit"),
        ("limit=2.5", "limit"),
        ("limit=1&limit=2", "twice"),
        ("fields=symbol,frobnicate", "frobnicate"),
        ("symbol=" + "x" * 300, "longer"),
    ],
)
def test_invalid_parameter_is_a_400_that_names_it(site: Site, query: str, says: str) -> None:
    answer = site.get(f"/api/results?{query}")
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_window_parameter_returns_an_older_feed(site: Site) -> None:
    listed = [entry["window"] for entry in site.get("/api/windows").json()["windows"]]
    assert len(listed) == 2
    assert listed == sorted(listed, reverse=True)
    older = listed[1]
    data = site.get("/api/results", params={"window": older}).json()
    assert data["window"] == older != site.feed["window"]
    assert site.get("/api/windows").json()["windows"][1]["results"] == f"/api/results?window={older}"


@pytest.mark.parametrize("window", ["2019-01-01-00:00", "2026-1-19-16:45", "yesterday", "2026-01-19-16:46", "*"])
def test_unknown_window_is_a_404(site: Site, window: str) -> None:
    for path in ("/api/results", "/", "/rows"):
        assert site.get(path, params={"window": window}).status_code == 404


def test_matching_etag_is_answered_with_304(site: Site) -> None:
    for path in ("/api/results", "/api/results?limit=10", "/", "/rows", "/api/windows", "/api/openapi.json"):
        first = site.get(path)
        assert first.headers["etag"].startswith('W/"')
        again = site.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]
        assert site.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_changed_feed_has_a_new_etag(own_site: Site) -> None:
    first = own_site.get("/api/results").headers["etag"]
    own_site.write(orjson.dumps({**own_site.feed, "last_updated": own_site.feed["last_updated"] + 1}))
    answer = own_site.get("/api/results", headers={"If-None-Match": first})
    assert answer.status_code == 200
    assert answer.json() == own_site.feed


def test_responses_are_gzipped_if_the_client_accepts_it(site: Site) -> None:
    plain = site.get("/api/results", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    refused = site.get("/api/results", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    raw = requests.get(f"{site.url}/api/results", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=10)
    packed = raw.raw.read(decode_content=False)
    assert raw.headers["content-encoding"] == "gzip"
    assert raw.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(packed) == plain.content
    assert len(packed) < len(plain.content) / 5


@pytest.mark.parametrize(
    "path", ["/", "/api/results", "/api/windows", "/api/health", "/api/openapi.json", "/api/events"]
)
def test_head_returns_no_body(site: Site, path: str) -> None:
    answer = requests.head(site.url + path, timeout=10)
    assert answer.status_code == 200
    assert answer.content == b""


def test_market_series_are_cut_at_the_end_of_the_window(site: Site) -> None:
    window = Window.of_key(site.feed["window"])
    signal = next(s for s in site.feed["signals"] if s["observability"]["rsi_visuals"])
    data = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()
    market = (signal["exchange"], signal["symbol"])
    assert data["signals"] == [s for s in site.feed["signals"] if (s["exchange"], s["symbol"]) == market]
    for timeframe, step in (("4h", 14_400_000), ("15m", 900_000)):
        candles = data["candles"][timeframe]
        assert len({len(values) for values in candles.values()}) == 1
        assert candles["time"] == sorted(candles["time"])
        assert window.end_ms - 2 * step < candles["time"][-1] + step <= window.end_ms
        bars = zip(*(candles[name] for name in ("low", "open", "close", "high")), strict=True)
        assert all(low <= min(first, last) and max(first, last) <= high for low, first, last, high in bars)
    table = Lake(site.settings.lake_dir).read(["candles"])
    assert table is not None
    mine = table[(table["exchange"] == signal["exchange"]) & (table["symbol"] == signal["symbol"])]
    bars = bars_of(mine[mine["timeframe"] == "4h"], "4h", window)
    shown = rsi(bars.close)[-len(data["rsi"]["value"]) :].tolist()
    # A market with little history has bars without RSI.
    assert data["rsi"]["value"] == pytest.approx([None if math.isnan(value) else value for value in shown])
    assert data["rsi"]["value"][-1] == pytest.approx(signal["observability"]["score_composition"]["rsi"])


def closed_by(site: Site, signal: Json, timeframe: str, end_ms: int) -> list[Json]:
    """Return the bars of a market in the lake that had closed by `end_ms`, oldest first."""
    table = Lake(site.settings.lake_dir).read(["candles"])
    assert table is not None
    step = {"4h": 14_400_000, "15m": 900_000}[timeframe]
    mine = table[(table["exchange"] == signal["exchange"]) & (table["symbol"] == signal["symbol"])]
    bars: list[Json] = mine[mine["timeframe"] == timeframe].to_dict("records")
    return [bar for bar in bars if bar["time_ms"] + step <= end_ms]


def test_forming_4h_bar_is_built_from_its_closed_15m_bars(site: Site) -> None:
    signals = [s for s in site.feed["signals"] if s["strategy_name"] == "Legacy" and not s["details"]["reason_bound"]]
    made = 0
    for key in [data["window"] for data in site.get("/api/windows").json()["windows"]]:
        end_ms = Window.of_key(key).end_ms
        opens = end_ms // 14_400_000 * 14_400_000
        for signal in signals[:6]:
            address = f"/api/signals/{signal['exchange']}/{signal['symbol']}"
            data = site.get(address, params={"window": key}).json()
            bars = [bar for bar in closed_by(site, signal, "15m", end_ms) if bar["time_ms"] >= opens]
            assert data["candles"]["4h"]["time"][-1] < opens
            if not bars:
                assert data["forming"] is None
                continue
            made += 1
            assert data["forming"] == {
                "timeframe": "4h",
                "time": opens,
                "through": bars[-1]["time_ms"] + 900_000,
                "bars": len(bars),
                "open": bars[0]["open"],
                "high": max(bar["high"] for bar in bars),
                "low": min(bar["low"] for bar in bars),
                "close": bars[-1]["close"],
                "volume": pytest.approx(sum(bar["volume"] for bar in bars)),
            }
            assert data["forming"]["through"] <= end_ms
            if key == site.feed["window"]:
                assert data["forming"]["close"] == signal["price"]
    assert made, "at least one of two consecutive windows ends between two 4h closes"


def test_moving_averages_match_the_features(site: Site) -> None:
    signal = next(s for s in site.feed["signals"] if "ema200" in s["observability"]["score_composition"])
    data = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()
    assert data["averages"]["time"] == data["candles"]["4h"]["time"]
    for name in ("ema50", "ema200"):
        assert data["averages"][name][-1] == signal["observability"]["score_composition"][name]


def test_trendlines_run_through_the_feeds_pivots_to_the_forming_bar(site: Site) -> None:
    found = 0
    for signal in site.feed["signals"]:
        visuals = signal["observability"]["rsi_visuals"]
        if signal["strategy_name"] != "Legacy" or not visuals:
            continue
        data = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()
        lines = {line["kind"]: line for line in data["lines"]}
        for kind, line in visuals.items():
            drawn = lines[kind]
            pivots = [{"time": line[p]["time"], "value": line[p]["value"]} for p in ("pivot_1", "pivot_2")]
            assert drawn["pivots"] == pivots
            assert [drawn["solid"]["time"][0], drawn["solid"]["time"][-1]] == [p["time"] for p in pivots]
            assert [drawn["solid"]["value"][0], drawn["solid"]["value"][-1]] == pytest.approx(
                [p["value"] for p in pivots]
            )
            bars = signal["observability"]["candle_index"] + 1
            assert drawn["projected"]["time"][-1] == data["candles"]["4h"]["time"][-1] + 14_400_000
            assert drawn["projected"]["value"][-1] == pytest.approx(line["intercept"] + line["slope"] * bars)
            assert drawn["projected"]["value"][-1] - line["slope"] == pytest.approx(line["current_value"])
            found += 1
    assert found > 5


def test_broken_line_lists_the_strategy_that_used_the_breakout(own_site: Site) -> None:
    own_site.write(orjson.dumps(with_setups(own_site.feed)))
    signal = next(s for s in own_site.feed["signals"] if s["setup"] and "trendline" in s["setup"])
    data = own_site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()
    line = next(line for line in data["lines"] if line["kind"] == "broken")
    broken = signal["setup"]["trendline"]
    assert signal["strategy_name"] in line["strategies"]
    assert line["pivots"][0] == {"time": broken["start_time"], "value": broken["start_rsi"]}
    assert line["pivots"][1] == {"time": broken["end_time"], "value": broken["end_rsi"]}
    assert line["projected"]["value"][-1] - broken["m"] == pytest.approx(broken["current_projected_rsi"])


def test_open_interest_and_liquidation_series_match_the_feed(site: Site) -> None:
    window = Window.of_key(site.feed["window"])
    signal = next(
        s
        for s in site.feed["signals"]
        if s["oi_metadata"]["value"] is not None and s["derivatives"]["liquidations"] is not None
    )
    data = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()
    interest, liquidations = data["open_interest"], data["liquidations"]
    assert interest["coinalyze_symbol"] == signal["oi_metadata"]["coinalyze_symbol"]
    assert interest["value"][-1] == signal["oi_metadata"]["value"]
    assert interest["time"][-1] + 900_000 <= window.end_ms
    assert interest["age_seconds"] == signal["oi_metadata"]["age_seconds"]
    known = signal["derivatives"]["liquidations"]
    day = [i for i, t in enumerate(liquidations["time"]) if t >= window.end_ms - 86_400_000]
    assert sum(liquidations["longs"][i] for i in day) == pytest.approx(known["longs_24h"])
    assert liquidations["known_through"] == window.end_ms


def test_unknown_series_are_empty_and_unknown_numbers_null(site: Site) -> None:
    signal = next(s for s in site.feed["signals"] if s["oi_metadata"]["value"] is None)
    interest = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}").json()["open_interest"]
    assert interest["time"] == interest["value"] == []
    assert interest["age_seconds"] is None


def test_unknown_market_is_a_404(site: Site) -> None:
    answer = site.get("/api/signals/BINANCE/NOSUCHUSDT")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "no_such_market"


def test_symbol_with_special_characters_is_found(own_site: Site) -> None:
    feed = own_site.feed
    exchange, symbol = feed["signals"][0]["exchange"], feed["signals"][0]["symbol"]
    for signal in feed["signals"]:
        if (signal["exchange"], signal["symbol"]) == (exchange, symbol):
            signal["symbol"] = "A/B:C?d=e#f%2e&é"
    own_site.write(orjson.dumps(sort_and_count(feed)))
    data = own_site.get(f"/api/signals/{exchange}/{quote('A/B:C?d=e#f%2e&é', safe='')}")
    assert data.json()["symbol"] == "A/B:C?d=e#f%2e&é"


def test_windows_stored_later_are_listed(own_site: Site) -> None:
    assert len(own_site.get("/api/windows").json()["windows"]) == 2
    folder = own_site.settings.lake_dir / "master_feed"
    (folder / "2026-01-19-1645.json.gz").write_bytes(b"{}")
    (folder / "notes.json.gz").write_bytes(b"{}")
    (folder / "2026-01-19-1646.json.gz").write_bytes(b"{}")
    assert [entry["window"] for entry in own_site.get("/api/windows").json()["windows"]][2:] == ["2026-01-19-16:45"]


def test_market_of_an_older_window_is_cut_at_its_end(site: Site) -> None:
    older = site.get("/api/windows").json()["windows"][1]["window"]
    signal = site.feed["signals"][0]
    data = site.get(f"/api/signals/{signal['exchange']}/{signal['symbol']}", params={"window": older}).json()
    assert data["window"] == older
    assert data["candles"]["15m"]["time"][-1] + 900_000 <= Window.of_key(older).end_ms


def test_health_has_age_coverage_and_the_last_run(site: Site) -> None:
    answer = site.get("/api/health")
    data, stats = answer.json(), site.feed["stats"]
    assert answer.status_code == 200
    assert data["status"] == "ok"
    assert data["feed"]["age_seconds"] == 60
    assert data["coverage"]["resolution"] == stats["resolution"]
    assert data["last_run"]["api"] == stats["api"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("late", "status"), [(timedelta(0), 200), (timedelta(seconds=1), 503)])
def test_health_is_503_if_the_feed_is_older_than_two_windows(scanned: Settings, late: timedelta, status: int) -> None:
    end = Window.of_key(orjson.loads(scanned.feed_path.read_bytes())["window"]).end
    with serving(scanned, clock=lambda: end + 2 * WINDOW_LENGTH + late) as late_site:
        answer = late_site.get("/api/health")
    assert answer.status_code == status
    assert answer.json()["status"] == ("ok" if status == 200 else "stale")
