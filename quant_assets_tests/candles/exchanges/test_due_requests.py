"""Which bars of an exchange are asked for, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.due_requests import BarRequest, RequestKind, due_requests, new_bars_first
from quant_assets.candles.exchanges.refresh import record_missing
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.storage.lake import Lake
from quant_assets_tests.candles.exchanges.markets import BTC, market

STEP = 900_000
NEW, FIRST, HISTORY, GAP = RequestKind.NEW, RequestKind.FIRST, RequestKind.HISTORY, RequestKind.GAP
NOW = 2_000_000 * STEP
API = replace(EXCHANGE_APIS["BYBIT"], max_bars={"15m": 100, "4h": 100})


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(Lake(tmp_path / "lake"), tmp_path / "locks")


def put(store: BarStore, *spans: tuple[int, int], symbol: str = "BTCUSDT") -> None:
    """Store bars of spans [first, last) in bars before NOW."""
    times = [NOW + at * STEP for first, last in spans for at in range(first, last)]
    values = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
    store.merge("BYBIT", "15m", pd.DataFrame({"symbol": symbol, "time_ms": times, **values}))


def due(
    store: BarStore, bars_back: int, markets: Sequence[ExchangeMarket] = (BTC,), *, now_ms: int = NOW
) -> list[BarRequest]:
    history_from_ms = NOW - bars_back * STEP
    return new_bars_first(
        due_requests(store, API, markets, "15m", history_from_ms=history_from_ms, closed_by_ms=now_ms)
    )


def spans(requests: list[BarRequest]) -> list[tuple[float, float, RequestKind]]:
    return [((each.start_ms - NOW) / STEP, (each.end_ms - NOW) / STEP, each.kind) for each in requests]


def test_new_market_is_asked_for_its_newest_bars_first(store: BarStore) -> None:
    assert spans(due(store, 250)) == [(-100, 0, FIRST), (-200, -100, FIRST), (-250, -200, FIRST)]


def test_open_bar_is_never_asked_for(store: BarStore) -> None:
    assert spans(due(store, 2, now_ms=NOW + STEP - 1)) == [(-2, 0, FIRST)]


def test_newest_two_stored_bars_are_asked_for_again_with_a_new_one(store: BarStore) -> None:
    put(store, (-50, -1))
    assert spans(due(store, 50)) == [(-3, 0, NEW)]


def test_nothing_is_asked_if_all_is_stored(store: BarStore) -> None:
    put(store, (-50, 0))
    assert due(store, 50) == []


def test_bars_after_a_long_pause_come_oldest_first_and_leave_no_hole(store: BarStore) -> None:
    put(store, (-300, -250))
    assert spans(due(store, 300)) == [(-252, -152, NEW), (-152, -52, NEW), (-52, 0, NEW)]


def test_longer_history_is_asked_before_the_stored_bars(store: BarStore) -> None:
    put(store, (-50, 0))
    assert spans(due(store, 120)) == [(-120, -50, HISTORY)]


def test_gap_is_asked_for_once_more_and_then_never(store: BarStore) -> None:
    put(store, (-50, -30), (-28, 0))
    requests = due(store, 50)
    assert spans(requests) == [(-30, -28, GAP)]
    put(store, (-29, -28))
    record_missing(store, "BYBIT", requests, NOW)
    assert due(store, 50) == []


def test_gap_is_asked_for_again_until_it_is_an_hour_old(store: BarStore) -> None:
    put(store, (-50, -6), (-1, 0))
    requests = due(store, 50)
    record_missing(store, "BYBIT", requests, NOW)
    assert spans(due(store, 50)) == [(-4, -1, GAP)]
    record_missing(store, "BYBIT", requests, NOW + 3 * STEP)
    assert due(store, 50) == []


def test_history_that_the_exchange_does_not_have_is_asked_for_once(store: BarStore) -> None:
    put(store, (-50, 0))
    record_missing(store, "BYBIT", due(store, 120), NOW)
    assert due(store, 120) == []
    assert spans(due(store, 130)) == [(-130, -120, HISTORY)]


def test_history_begins_when_the_market_was_listed(store: BarStore) -> None:
    listed = market("NEWUSDT", listed_ms=NOW - 10 * STEP - 1)
    assert spans(due(store, 5000, [listed])) == [(-10, 0, FIRST)]


def test_new_bars_of_all_markets_come_before_any_history_in_the_order_of_markets(store: BarStore) -> None:
    put(store, (-50, -1), symbol="BUSDT")
    put(store, (-50, -1), symbol="AUSDT")
    found = due(store, 60, [market("NEWUSDT"), market("BUSDT"), market("AUSDT")])
    assert [(each.market.symbol, each.kind) for each in found] == [
        *(("BUSDT", NEW), ("AUSDT", NEW)),
        *(("NEWUSDT", FIRST), ("BUSDT", HISTORY), ("AUSDT", HISTORY)),
    ]
