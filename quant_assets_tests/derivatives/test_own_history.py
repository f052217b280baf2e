"""Open interest of exchanges' own history: which markets are filled, and what follows for their z-scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_assets.common.windows import Window
from quant_assets.derivatives.exchange_values import read_own_snapshots, without_known
from quant_assets.derivatives.own_history import DAY_MS, RETRY_MS, fill_history
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot
from quant_assets.markets import ResolutionRules
from quant_assets.providers.exchanges.errors import UnknownMarket
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets_tests.candles.exchanges.markets import market

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END_MS = WINDOW.end_ms
NOW_MS = END_MS + 60_000
#: Open interest by how many windows ago it was; no straight line.
TRUTH = [100.0 + number % 7 + number * number / 400 for number in range(96)]


MARKETS = [market("BTCUSDT"), market("ETHUSDT")]


class History:
    """A client whose history is the truth times a factor, except for a symbol that it does not know."""

    def __init__(self, factor: float = 1.0, unknown: str = "", points: int = 96) -> None:
        self.factor, self.unknown, self.points = factor, unknown, points
        self.asked: list[str] = []

    def open_interest_history(
        self, market: ExchangeMarket, start_ms: int, end_ms: int, *, deadline: float | None = None
    ) -> dict[int, float]:
        assert deadline is None
        assert start_ms == end_ms - DAY_MS + 900_000
        self.asked.append(market.symbol)
        if market.symbol == self.unknown:
            raise UnknownMarket("no such symbol")
        return {END_MS - back * 900_000: TRUTH[back] * self.factor for back in range(self.points)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DerivativesStore]:
    with closing(DerivativesStore(tmp_path / "store.sqlite")) as opened:
        yield opened


def observe(store: DerivativesStore, windows: int, symbol: str = "BTCUSDT", late_ms: int = 0) -> None:
    """Store snapshots of the newest windows, or of moments after their ends."""
    store.add_snapshots(
        ExchangeSnapshot(
            exchange="BINANCE",
            symbol=symbol,
            closed_at_ms=END_MS - back * 900_000 + late_ms,
            observed_at_ms=END_MS - back * 900_000 + 3000,
            open_interest=TRUTH[back],
            funding_rate_pct=0.01,
            interval_hours=8.0,
            simulated=False,
        )
        for back in range(windows)
    )


def fill(store: DerivativesStore, client: History, now_ms: int = NOW_MS, markets: int = 1) -> int:
    return fill_history("BINANCE", client, MARKETS[:markets], store, now_ms, simulated=False)


def row(store: DerivativesStore) -> pd.Series:
    symbols = pd.DataFrame(
        {
            "exchange": ["BINANCE"],
            "symbol": ["BTCUSDT"],
            "open_interest_symbol": [""],
            "open_interest_exchange": [""],
            "open_interest_status": ["neutral"],
            "open_interest_unit": [""],
        }
    )
    own = read_own_snapshots(store, WINDOW, ResolutionRules())
    return snapshot(store, symbols, "open_interest", WINDOW, own=own).iloc[0]


def test_z_score_after_one_snapshot_is_that_of_the_exchanges_own_thirty_windows(store: DerivativesStore) -> None:
    observe(store, 1)
    assert np.isnan(row(store)["z_score"])
    assert fill(store, History()) == 1
    recent = np.array(TRUTH[:30])
    found = row(store)
    assert found["z_score"] == pytest.approx((recent[0] - recent.mean()) / recent.std(), abs=1e-12)
    assert (found["provider"], found["z_score_provider"], found["points"]) == ("exchange", "", 96)
    assert found["change_24h_pct"] == pytest.approx((TRUTH[0] / TRUTH[95] - 1) * 100)


def test_stored_snapshots_are_kept_with_when_they_were_seen_and_their_funding(store: DerivativesStore) -> None:
    observe(store, 3)
    before = store.snapshots(0, 2**62)
    fill(store, History(1.001))
    after = store.snapshots(0, 2**62)
    assert after[-3:] == before
    assert {each.observed_at_ms for each in after[:-3]} == {NOW_MS}
    assert {each.funding_rate_pct for each in after[:-3]} == {None}


@pytest.mark.parametrize("factor", [0.5, 2.0, 1000.0])
def test_history_of_another_quantity_is_not_stored(store: DerivativesStore, factor: float) -> None:
    observe(store, 2)
    assert fill(store, History(factor)) == 0
    assert len(store.snapshots(0, 2**62)) == 2


def test_exchange_whose_first_histories_are_of_another_quantity_is_not_asked_for_more(store: DerivativesStore) -> None:
    markets = [market(f"S{number}USDT") for number in range(8)]
    for each in markets:
        observe(store, 1, each.symbol)
    client = History(2.0)
    fill_history("BINANCE", client, markets, store, NOW_MS, simulated=False)
    assert len(client.asked) == 3


def test_history_follows_a_snapshot_that_was_too_late_for_its_window(store: DerivativesStore) -> None:
    observe(store, 1, late_ms=300_000)
    assert fill(store, History(), END_MS + 400_000) == 1
    found = row(store)
    assert (found["value"], found["closed_at_ms"], found["points"]) == (TRUTH[0], END_MS, 96)


@pytest.mark.parametrize(("windows", "asked"), [(0, []), (1, ["BTCUSDT"]), (29, ["BTCUSDT"]), (30, [])])
def test_history_is_asked_for_while_there_are_one_to_29_windows(
    store: DerivativesStore, windows: int, asked: list[str]
) -> None:
    observe(store, windows)
    client = History()
    fill(store, client)
    assert client.asked == asked


def test_short_history_is_asked_for_again_after_an_hour(store: DerivativesStore) -> None:
    observe(store, 1)
    client = History(points=10)
    fill(store, client)
    fill(store, client, NOW_MS + RETRY_MS - 1)
    assert client.asked == ["BTCUSDT"]
    fill(store, client, NOW_MS + RETRY_MS)
    assert client.asked == ["BTCUSDT"] * 2


def test_markets_are_filled_in_their_order_and_an_unknown_one_costs_only_itself(store: DerivativesStore) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        observe(store, 1, symbol)
    client = History(unknown="BTCUSDT")
    assert fill(store, client, markets=2) == 1
    assert client.asked == ["BTCUSDT", "ETHUSDT"]


def test_provider_is_not_asked_for_history_that_the_exchange_gave(store: DerivativesStore) -> None:
    symbols = pd.DataFrame({"exchange": ["BINANCE"], "symbol": ["BTCUSDT"], "open_interest_symbol": ["A"]})
    asked = []
    for _ in range(2):
        own = read_own_snapshots(store, WINDOW, ResolutionRules())
        asked.append(without_known(symbols, own, WINDOW)["open_interest_symbol"][0])
        observe(store, 1)
        fill(store, History())
    assert asked == ["A", ""]
