"""A whole scan of spoiled answers: always a feed, the same one where the truth is known, no signal where it is not."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pandas as pd
import pytest
import requests

from quant_assets.feed import feed_problems
from quant_assets_tests.faults.chance import dice, rounds
from quant_assets_tests.faults.conftest import MARKETS, Scanned, Stored, Sweep, stored_in
from quant_assets_tests.faults.gate import Asked, Gate
from quant_assets_tests.faults.test_api_answers import BESIDE, changing
from quant_assets_tests.faults.troubles import TROUBLES
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.world import World

WAITING = {"insufficient_history", "stale_candles"}
#: Those of plain markets alone have their bars in one year.
OF_ANY_MARKET = [kind for kind in BESIDE if kind not in {"each symbol twice", "points in the future"}]


def without_moment(feed: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(feed), "last_updated": 0, "published_at_ms": 0})


def feed_of(scanned: Scanned, name: str) -> bytes:
    return (scanned.world.folder / name / "master_feed.json").read_bytes()


@pytest.mark.parametrize("number", range(rounds(2, 20)))
def test_batches_and_answers_in_any_order_give_the_same_store(sweep: Sweep, clean: Stored, number: int) -> None:
    random = dice(f"order {number}")
    interest = sweep.provider.markets.assign(
        setup=[random.random() < 0.2 for _ in range(MARKETS)],
        focus=[random.random() < 0.5 for _ in range(MARKETS)],
        volume=[random.random() for _ in range(MARKETS)],
    )
    assert isinstance(interest, pd.DataFrame)
    sweep.gate.spoil = changing(BESIDE["another order"], [], random)
    sweep.refresh(interest=lambda: interest)
    assert sweep.gate.asked[0].symbols != tuple(sorted(sweep.gate.asked[0].symbols))
    assert sweep.stored() == clean


def test_invalid_extra_data_in_any_order_gives_the_same_feed_bytes(scanned: Scanned) -> None:
    random = dice("dirt in a scan")
    counted: list[int] = []

    def dirty(asked: Asked, answer: Canned) -> Canned:
        if not asked.symbols:
            rows = orjson.loads(answer.body)
            random.shuffle(rows)
            return replace(answer, body=orjson.dumps(rows))
        if answer.body == b"[]":
            return answer  # an answer of nothing but dirt is none
        for kind in ("another order", random.choice(OF_ANY_MARKET)):
            answer = changing(BESIDE[kind], counted, random)(asked, answer)
        return answer

    with Gate(scanned.world.emulator, dirty) as gate:
        result = replace(scanned.world, emulator=gate).scan("faults_dirt", window=scanned.world.window)  # type: ignore[arg-type]
    assert sum(counted) > 0
    assert result.notes == scanned.result.notes
    assert without_moment(feed_of(scanned, "faults_dirt")) == without_moment(feed_of(scanned, "faults_clean"))
    folders = [scanned.world.folder / name / "store" / "loopback" for name in ("faults_dirt", "faults_clean")]
    dirt, clean = (stored_in(folder)["open_interest"] for folder in folders)
    end = scanned.world.window.end_seconds
    assert [row for row in dirt if row[1] < end] == [row for row in clean if row[1] < end]


def test_invalid_values_alone_give_a_feed_without_derivative_scores(scanned: Scanned) -> None:
    random = dice("wrong values in a scan")
    values = [None, "n/a", True, [], {}, -1e30, 1e300, "Infinity"]

    def wrong(asked: Asked, answer: Canned) -> Canned:
        if not asked.symbols:
            return answer
        rows = orjson.loads(answer.body)
        for row in rows:
            row["history"] = [
                {**dict.fromkeys(point, random.choice(values)), "t": point["t"]} for point in row["history"]
            ]
        # One is empty, so that the answer is not broken whole and asked for again.
        for row in rows[:1]:
            row["history"] = []
        return replace(answer, body=orjson.dumps(rows))

    with Gate(scanned.world.emulator, wrong) as gate:
        world = replace(scanned.world, emulator=gate)  # type: ignore[arg-type]
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
    random = dice(f"scan {number}")
    share = random.choice([0.2, 0.5, 1.0])
    kinds = [kind for kind in TROUBLES if kind != "no answer in time"]

    def spoil(asked: Asked, answer: Canned) -> Canned:
        return TROUBLES[random.choice(kinds)](answer) if random.random() < share else answer

    name = f"faults_scan{number}"
    with Gate(scanned.world.emulator, spoil) as gate:
        replace(scanned.world, emulator=gate).scan(name, window=scanned.world.window)  # type: ignore[arg-type]
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
    """Ask the emulator itself for a symbol's open interest when a bar closed (UNIX seconds)."""
    (row,) = requests.get(
        f"{world.emulator.url}/open-interest-history",
        params={"symbols": symbol, "interval": "15min", "from": str(closed - 900), "to": str(closed - 900)},
        headers={"api_key": world.emulator.key},
        timeout=30,
    ).json()
    (point,) = row["history"]
    return float(point["c"])


def test_symbol_listed_for_two_markets_is_used_for_neither(scanned: Scanned) -> None:
    """Whatever its order: nobody knows which of the two the symbol is."""
    feeds: list[bytes] = []

    def lie(asked: Asked, answer: Canned) -> Canned:
        if asked.endpoint != "future-markets":
            return answer
        rows = TROUBLES["symbols of somebody else"](answer)
        assert rows != answer
        return replace(rows, body=orjson.dumps(orjson.loads(rows.body)[:: -1 if feeds else 1]))

    for name in ("faults_lie", "faults_lie_backwards"):
        with Gate(scanned.world.emulator, lie) as gate:
            replace(scanned.world, emulator=gate).scan(name, window=scanned.world.window)  # type: ignore[arg-type]
        feeds.append(feed_of(scanned, name))
    assert without_moment(feeds[0]) == without_moment(feeds[1])
    served = {
        (entry["exchange"], entry["symbol"]): entry["oi_metadata"]["coinalyze_symbol"]
        for entry in orjson.loads(feeds[0])["signals"]
    }
    assert served["BINANCE", "BTCUSDT"] != "BTCUSDC_PERP.A"
