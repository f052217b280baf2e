"""Derivative tables become columns of the features."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from quant_assets.signals import DerivativeInputs, Features, LookAheadError, features_table, market_features
from quant_assets.signals.features.derivative_inputs import merge_inputs
from quant_assets.signals.features.table import features_of
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, candles, market, walk

HOUR_MS = 3_600_000
MARKET = market(walk(1, 60), walk(2, 60, "4h"))
SYMBOL_MAP = pd.DataFrame(
    {
        "exchange": ["HYPERLIQUID"],
        "symbol": ["BTCUSDT"],
        "canonical_symbol": ["BTC"],
        "display_symbol": ["BTCUSDT"],
        "status": ["aggregated"],
        "open_interest_symbol": ["BTCUSDT_PERP.A"],
        "open_interest_exchange": ["Binance"],
        "open_interest_unit": ["BASE_ASSET"],
    }
)


def table(**values: Any) -> pd.DataFrame:
    known = {"exchange": "HYPERLIQUID", "symbol": "BTCUSDT", "closed_at_ms": float(WINDOW.end_ms)} | values
    return pd.DataFrame({name: [value] for name, value in known.items()})


def open_interest(**values: Any) -> pd.DataFrame:
    named = {"status": "resolved", "coinalyze_symbol": "BTC.H", "source_exchange": "Hyperliquid", "unit": "BASE_ASSET"}
    numbers = {"value": 5.0, "z_score": 2.0, "points": 97, "average": 4.0, "slope": 0.1}
    return table(**(named | numbers | values))


def funding(**values: Any) -> pd.DataFrame:
    return table(**({"source_exchange": "Hyperliquid", "funding_rate_pct": 0.01, "interval_hours": 1.0} | values))


def merged(symbol_map: pd.DataFrame = SYMBOL_MAP, **tables: pd.DataFrame) -> Features:
    (found,) = features_of(features_table(candles(MARKET), symbol_map, tables, WINDOW))
    return found


def known(**values: Any) -> Features:
    inputs = {"oi_status": "resolved", "oi_z_score": 2.0, "oi_closed_at_ms": float(WINDOW.end_ms)} | values
    return market_features(MARKET, WINDOW, DerivativeInputs(**inputs))


def test_names_and_status_come_from_the_symbol_map() -> None:
    found = merged()
    assert (found.canonical_symbol, found.oi_status, found.oi_symbol, found.oi_exchange) == (
        "BTC",
        "aggregated",
        "BTCUSDT_PERP.A",
        "Binance",
    )


def test_open_interest_table_overrides_status_and_symbol_of_the_map() -> None:
    found = merged(open_interest=open_interest())
    assert (found.oi_status, found.oi_symbol, found.oi_exchange) == ("resolved", "BTC.H", "Hyperliquid")
    assert (found.oi_value, found.oi_z, found.oi_points, found.oi_age_seconds) == (5.0, 2.0, 97, 0.0)


def test_open_interest_change_is_unknown_in_an_older_table() -> None:
    assert merged(open_interest=open_interest(change_24h_pct=1.5)).oi_change_24h_pct == 1.5
    found = merged(open_interest=open_interest())
    assert (found.oi_value, found.oi_change_24h_pct) == (5.0, None)


def test_unmapped_market_is_neutral_and_named_by_its_symbol() -> None:
    found = merged(NO_TABLE)
    assert (found.canonical_symbol, found.display_symbol, found.oi_status) == ("BTCUSDT", "BTCUSDT", "neutral")
    assert (found.oi_z, found.funding_rate_pct, found.oi_age_seconds, found.oi_points) == (None, None, None, 0)


def test_table_that_is_empty_or_lacks_the_market_leaves_values_unknown() -> None:
    elsewhere = open_interest().assign(symbol="ETHUSDT")
    for tables in ({"open_interest": NO_TABLE}, {"open_interest": elsewhere}, {}):
        found = merged(**tables)
        assert (found.oi_value, found.oi_status) == (None, "aggregated")


def test_missing_number_in_a_row_stays_unknown() -> None:
    found = merged(open_interest=open_interest(z_score=float("nan"), closed_at_ms=float("nan")))
    assert (found.oi_z, found.oi_age_seconds) == (None, None)


def test_each_dataset_has_its_own_age() -> None:
    found = merged(
        funding_rate=funding(closed_at_ms=WINDOW.end_ms - HOUR_MS),
        long_short_ratio=table(long_short_ratio=1.5, longs_pct=60.0, shorts_pct=40.0),
        liquidations=table(
            unit="QUOTE_ASSET", longs_1h=1.0, shorts_1h=2.0, longs_24h=3.0, shorts_24h=4.0, closed_at_ms=0.0
        ),
    )
    assert (found.funding_rate_pct, found.funding_age_seconds) == (0.01, 3600.0)
    assert (found.long_short_ratio, found.longs_pct, found.long_short_age_seconds) == (1.5, 60.0, 0.0)
    assert (found.liquidated_longs_1h, found.liquidated_shorts_24h, found.liquidations_unit) == (1, 4, "QUOTE_ASSET")
    assert found.liquidations_age_seconds == WINDOW.end_ms / 1000


@pytest.mark.parametrize(("age_ms", "z"), [(2 * HOUR_MS, 2.0), (2 * HOUR_MS + 1, None)])
def test_z_score_older_than_two_hours_is_ignored(age_ms: int, z: float | None) -> None:
    assert known(oi_closed_at_ms=WINDOW.end_ms - age_ms).oi_z == z


def test_z_score_of_unknown_age_is_ignored() -> None:
    assert known(oi_closed_at_ms=None).oi_z is None


def test_z_score_of_a_neutral_market_is_ignored() -> None:
    assert known(oi_status="neutral").oi_z is None
    assert known(oi_status="aggregated").oi_z == 2.0


def test_value_that_closed_after_the_window_is_an_error() -> None:
    late = WINDOW.end_ms + 1.0
    for name in ("oi", "funding", "long_short", "liquidations"):
        with pytest.raises(LookAheadError, match=name):
            known(**{f"{name}_closed_at_ms": late})
    with pytest.raises(ValueError, match="after the end of window 2026-01-19-16:45"):
        merged(funding_rate=funding(closed_at_ms=late))


@pytest.mark.parametrize(
    ("exchange", "stored", "hours", "rate_for_8_hours"),
    [
        ("Hyperliquid", 1.0, 1.0, 0.08),
        ("Binance", math.nan, None, 0.01),
        ("Gate.io", 4.0, 4.0, 0.02),
        ("Hyperliquid", None, 1.0, 0.08),
        ("Binance", None, None, 0.01),
    ],
    ids=["hourly", "unknown interval", "every 4 hours", "table of version 0.1, hourly", "table of version 0.1"],
)
def test_funding_is_scaled_to_8_hours(
    exchange: str, stored: float | None, hours: float | None, rate_for_8_hours: float
) -> None:
    rates = funding(source_exchange=exchange, interval_hours=stored)
    found = merged(funding_rate=rates.drop(columns="interval_hours") if stored is None else rates)
    assert (found.funding_rate_pct, found.funding_interval_hours) == (0.01, hours)
    assert found.funding_8h_pct == pytest.approx(rate_for_8_hours)


def test_unknown_table_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="funding"):
        merged(funding=table(funding_rate_pct=0.01))


def test_simulated_row_marks_its_own_market_only() -> None:
    markets = pd.DataFrame({"exchange": ["A", "A"], "symbol": ["X", "Y"]})
    symbol_map = markets.assign(
        canonical_symbol=["X", "Y"],
        display_symbol=["X", "Y"],
        status="resolved",
        open_interest_symbol="",
        open_interest_exchange="",
        open_interest_unit="",
        simulated=False,
    )
    unknown = {"closed_at_ms": math.nan, "funding_rate_pct": math.nan, "interval_hours": math.nan}
    funding = markets.assign(**unknown, simulated=[True, False])
    merged = merge_inputs([("A", "Y"), ("A", "X"), ("B", "X")], symbol_map, {"funding_rate": funding})
    assert merged["simulated"].tolist() == [False, True, False]
    assert merged["display_symbol"].tolist() == ["Y", "X", ""]
