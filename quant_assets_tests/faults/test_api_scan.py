"""Scans with altered responses always write a feed, the same one where the valid data arrive."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pandas as pd
import pytest
import requests

from quant_assets.feed import feed_problems
from quant_assets_tests.faults.conftest import MARKETS, Scanned, Stored, Sweep, stored_in
from quant_assets_tests.faults.faulty_responses import FAULTY_RESPONSES
from quant_assets_tests.faults.proxy import FaultyProxy, ProxiedRequest
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.test_api_answers import EXTRA_DATA, changing
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.world import World

WAITING = {"insufficient_history", "stale_candles"}
#: The other kinds need markets whose bars are all in one year.
OF_ANY_MARKET = [kind for kind in EXTRA_DATA if kind not in {"each symbol twice", "points in the future"}]


def without_moment(feed: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(feed), "last_updated": 0, "published_at_ms": 0})


def feed_of(scanned: Scanned, name: str) -> bytes:
    return (scanned.world.folder / name / "master_feed.json").read_bytes()


@pytest.mark.parametrize("number", range(rounds(2, 20)))
def test_batches_and_answers_in_any_order_give_the_same_store(sweep: Sweep, clean: Stored, number: int) -> None:
    random = seeded_random(f"order {number}")
    watchlist = sweep.provider.markets.assign(
        setup=[random.random() < 0.2 for _ in range(MARKETS)],
        near=[random.random() < 0.5 for _ in range(MARKETS)],
        volume=[random.random() for _ in range(MARKETS)],
    )
    assert isinstance(watchlist, pd.DataFrame)
    sweep.proxy.alter = changing(EXTRA_DATA["another order"], [], random)
    sweep.refresh(watchlist=watchlist)
    assert sweep.proxy.requests[0].symbols != tuple(sorted(sweep.proxy.requests[0].symbols))
    assert sweep.stored() == clean


def test_invalid_extra_data_in_any_order_gives_the_same_feed_bytes(scanned: Scanned) -> None:
    random = seeded_random("dirt in a scan")
    counted: list[int] = []

    def dirty(request: ProxiedRequest, answer: Canned) -> Canned:
        if not request.symbols:
            rows = orjson.loads(answer.body)
            random.shuffle(rows)
            return replace(answer, body=orjson.dumps(rows))
        if answer.body == b"[]":
            return answer  # invalid data alone would be an invalid response
        for kind in ("another order", random.choice(OF_ANY_MARKET)):
            answer = changing(EXTRA_DATA[kind], counted, random)(request, answer)
        return answer

    with FaultyProxy(scanned.world.emulator, dirty) as proxy:
        result = replace(scanned.world, emulator=proxy).scan("faults_dirt", window=scanned.world.window)  # type: ignore[arg-type]
    assert sum(counted) > 0
    assert result.notes == scanned.result.notes
    scanned.copied("faults_copy")
    assert without_moment(feed_of(scanned, "faults_dirt")) == without_moment(feed_of(scanned, "faults_copy"))
    folders = [scanned.world.folder / name / "store" / "loopback" for name in ("faults_dirt", "faults_copy")]
    dirt, clean = (stored_in(folder)["open_interest"] for folder in folders)
    end = scanned.world.window.end_seconds
    assert [row for row in dirt if row[1] < end] == [row for row in clean if row[1] < end]


def test_invalid_values_alone_give_a_feed_without_derivative_scores(scanned: Scanned) -> None:
    random = seeded_random("wrong values in a scan")
    values = [None, "n/a", True, [], {}, -1e30, 1e300, "Infinity"]

    def wrong(request: ProxiedRequest, answer: Canned) -> Canned:
        if not request.symbols:
            return answer
        rows = orjson.loads(answer.body)
        for row in rows:
            row["history"] = [
                {**dict.fromkeys(point, random.choice(values)), "t": point["t"]} for point in row["history"]
            ]
        # One history is empty, so that the response is not wholly invalid and retried.
        for row in rows[:1]:
            row["history"] = []
        return replace(answer, body=orjson.dumps(rows))

    with FaultyProxy(scanned.world.emulator, wrong) as proxy:
        world = replace(scanned.world, emulator=proxy)  # type: ignore[arg-type]
        result = world.scan("faults_wrong", window=scanned.world.window)
    assert feed_problems(feed_of(scanned, "faults_wrong")) == []
    assert result.feed["stats"]["signals"] == scanned.result.feed["stats"]["signals"]
    usable = [entry for entry in result.feed["signals"] if entry["details"]["reason"] not in WAITING]
    assert usable
    assert {entry["details"]["score_breakdown"]["oi_flow"] for entry in usable} == {10.0}
    assert {entry["oi_metadata"]["value"] for entry in usable} == {None}
    assert {entry["derivatives"]["funding_rate"] for entry in usable} == {None}
    freshness = result.feed["stats"]["freshness"]
    assert {freshness[name]["fresh"] for name in ("open_interest", "funding_rate", "long_short_ratio")} == {0}


@pytest.mark.parametrize("number", range(rounds(1, 12)))
def test_scan_writes_a_feed_whatever_happens_to_its_requests(scanned: Scanned, number: int) -> None:
    random = seeded_random(f"scan {number}")
    share = random.choice([0.2, 0.5, 1.0])
    kinds = [kind for kind in FAULTY_RESPONSES if kind != "no answer in time"]

    def spoil(request: ProxiedRequest, answer: Canned) -> Canned:
        return FAULTY_RESPONSES[random.choice(kinds)](answer) if random.random() < share else answer

    name = f"faults_scan{number}"
    with FaultyProxy(scanned.world.emulator, spoil) as proxy:
        replace(scanned.world, emulator=proxy).scan(name, window=scanned.world.window)  # type: ignore[arg-type]
    feed = feed_of(scanned, name)
    assert feed_problems(feed) == []
    shown = {
        (interest["coinalyze_symbol"], scanned.world.window.end_seconds - round(interest["age_seconds"])): interest
        for entry in orjson.loads(feed)["signals"]
        if (interest := entry["oi_metadata"])["value"] is not None
    }
    for (symbol, closed), interest in shown.items():
        assert interest["value"] == true_interest(scanned.world, symbol, closed)


def true_interest(world: World, symbol: str, closed: int) -> float:
    """Return a symbol's open interest from the emulator itself, for a bar's closing time in UNIX seconds."""
    (row,) = requests.get(
        f"{world.emulator.url}/open-interest-history",
        params={"symbols": symbol, "interval": "15min", "from": str(closed - 900), "to": str(closed - 900)},
        headers={"api_key": world.emulator.key},
        timeout=30,
    ).json()
    (point,) = row["history"]
    return float(point["c"])


def test_symbol_listed_for_two_markets_is_used_for_neither(scanned: Scanned) -> None:
    """The order of the rows does not matter, since it is unknown which of the two the symbol is."""
    feeds: list[bytes] = []

    def lie(request: ProxiedRequest, answer: Canned) -> Canned:
        if request.endpoint != "future-markets":
            return answer
        rows = FAULTY_RESPONSES["symbols of somebody else"](answer)
        assert rows != answer
        return replace(rows, body=orjson.dumps(orjson.loads(rows.body)[:: -1 if feeds else 1]))

    for name in ("faults_lie", "faults_lie_backwards"):
        with FaultyProxy(scanned.world.emulator, lie) as proxy:
            replace(scanned.world, emulator=proxy).scan(name, window=scanned.world.window)  # type: ignore[arg-type]
        feeds.append(feed_of(scanned, name))
    assert without_moment(feeds[0]) == without_moment(feeds[1])
    served = {
        (entry["exchange"], entry["symbol"]): entry["oi_metadata"]["coinalyze_symbol"]
        for entry in orjson.loads(feeds[0])["signals"]
    }
    assert served["BINANCE", "BTCUSDT"] != "BTCUSDC_PERP.A"
