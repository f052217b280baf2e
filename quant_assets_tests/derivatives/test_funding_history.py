"""The funding rates of markets over time: whose they are, and for which interval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.derivatives.funding_history import funding_history
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot, Fetched
from quant_assets.markets import ResolutionRules

HOUR = 3_600_000
START = 1_767_225_600_000  # 2026-01-01T00:00Z
RULES = ResolutionRules()
MARKETS = [("BINANCE", "BTCUSDT"), ("HYPERLIQUID", "BTC")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DerivativesStore]:
    with closing(DerivativesStore(tmp_path / "derivatives.sqlite")) as opened:
        bars = {
            "BTCUSDT_PERP.A": [(START // 1000 + 3_600 * hour, 0.0, 0.0, 0.0, 0.01 * hour) for hour in range(6)],
        }
        opened.add(Fetched("funding_rate", tuple(bars), bars, START // 1000, START // 1000 + 21_600, START, False))
        yield opened


def symbol_map(status: str) -> pd.DataFrame:
    """Both markets have Binance's rates: its own, and as a stand-in."""
    return pd.DataFrame(
        {
            "exchange": [exchange for exchange, _ in MARKETS],
            "symbol": [symbol for _, symbol in MARKETS],
            "funding_rate_symbol": "BTCUSDT_PERP.A",
            "funding_rate_exchange": "Binance",
            "funding_rate_status": ["resolved", status],
        }
    )


def history(store: DerivativesStore, since_ms: int = START - HOUR, status: str = "aggregated") -> pd.DataFrame:
    return funding_history(store, symbol_map(status), MARKETS, MARKETS, RULES, since_ms, START + 4 * HOUR)


def of(table: pd.DataFrame, exchange: str) -> list[tuple[float, float]]:
    rows = table[table["exchange"] == exchange]
    return list(zip(rows["closed_at_ms"], rows["value"], strict=True))


def test_rates_are_known_when_their_bar_has_closed(store: DerivativesStore) -> None:
    closes = [START + hour * HOUR + HOUR // 4 for hour in range(4)]
    times, rates = zip(*of(history(store), "BINANCE"), strict=True)
    assert list(times) == closes
    assert list(rates) == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert [time for time, _ in of(history(store, since_ms=closes[2]), "BINANCE")] == closes[3:]


def test_rates_of_another_interval_are_converted(store: DerivativesStore) -> None:
    binance, hyperliquid = (of(history(store), exchange) for exchange in ("BINANCE", "HYPERLIQUID"))
    assert [rate for _, rate in hyperliquid] == pytest.approx([rate / 8 for _, rate in binance])


def test_the_exchanges_own_rates_go_first(store: DerivativesStore) -> None:
    own = ExchangeSnapshot(
        exchange="HYPERLIQUID",
        symbol="BTC",
        closed_at_ms=START + HOUR,
        observed_at_ms=START + HOUR,
        open_interest=None,
        funding_rate_pct=0.004,
        interval_hours=1.0,
        simulated=False,
    )
    store.add_snapshots([own])
    assert of(history(store), "HYPERLIQUID") == [(START + HOUR, 0.004)]
    both = of(history(store, status="resolved"), "HYPERLIQUID")
    assert (START + HOUR, 0.004) in both
    assert len(both) == 5


def test_nothing_is_known_without_a_symbol_map(store: DerivativesStore) -> None:
    assert funding_history(store, pd.DataFrame(), [], MARKETS, RULES, START - HOUR, START + HOUR).empty
