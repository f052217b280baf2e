"""The watchlist: setups, markets near one, volume, and the order."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest

from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import Batch, build_items, pack_batches, rank_due_items
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.signals import (
    CANDLE_DTYPES,
    Features,
    Strategy,
    Verdict,
    build_watchlist,
    candle_features_table,
    discover_strategies,
    features_table,
    table_of,
)
from quant_assets.signals.features.derivative_inputs import NEUTRAL
from quant_assets_tests.signals.factories import NO_TABLE, WINDOW, as_bytes, breakout_features, random_candles

QUIET = Features(
    exchange="A",
    symbol="X",
    canonical_symbol="X",
    display_symbol="X",
    window_end_ms=WINDOW.end_ms,
    price=100.0,
    vol24h=7.0,
    htf_rsi=50.0,
)
NEAR = QUIET._replace(resistance_at_last_bar=52.5)


def watchlist_of(*markets: Features) -> pd.DataFrame:
    return build_watchlist(table_of(markets)[list(CANDLE_DTYPES)], WINDOW)


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        ({}, False),
        ({"unusable": "stale_candles", "resistance_at_last_bar": 50.0}, False),
        ({"resistance_at_last_bar": 52.5}, True),
        ({"resistance_at_last_bar": 54.0}, False),
        ({"support_at_last_bar": 48.0}, True),
        ({"trend_bias": "LONG", "is_pullback": True, "htf_adx": 30.0}, True),
        ({"trend_bias": "LONG"}, False),
    ],
    ids=["quiet", "unusable", "near resistance", "far", "near support", "near the threshold", "trend alone"],
)
def test_a_market_within_reach_of_a_setup_is_near(changes: dict[str, object], near: bool) -> None:
    watchlist = watchlist_of(QUIET._replace(**changes))  # type: ignore[arg-type]
    assert watchlist["near"].tolist() == [near]
    assert watchlist["volume"].tolist() == [7.0]


@pytest.mark.parametrize(
    ("features", "setup", "near"),
    [
        (breakout_features(), True, True),
        (breakout_features(unusable="stale_candles"), False, False),
        (NEAR, False, True),
        (QUIET, False, False),
    ],
    ids=["setup", "unusable", "near a setup", "quiet"],
)
def test_market_has_a_setup_if_a_strategy_has_one(features: Features, setup: bool, near: bool) -> None:
    watchlist = watchlist_of(features)
    assert watchlist["setup"].tolist() == [setup]
    assert watchlist["near"].tolist() == [near]


def test_rank_is_by_setup_then_near_then_volume_then_row() -> None:
    markets = [
        QUIET._replace(vol24h=9.0),
        NEAR._replace(vol24h=1.0),
        QUIET._replace(vol24h=None),
        breakout_features(vol24h=0.5),
        NEAR._replace(vol24h=2.0),
        QUIET._replace(vol24h=0.0),
    ]
    assert watchlist_of(*markets)["rank"].tolist() == [3, 2, 4, 0, 1, 5]


def test_unknown_volume_counts_as_none() -> None:
    assert watchlist_of(QUIET._replace(vol24h=None))["volume"].tolist() == [0.0]


def test_no_markets_give_an_empty_watchlist_with_the_same_dtypes() -> None:
    empty, full = watchlist_of(), watchlist_of(QUIET)
    assert empty.empty
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_strategies_see_neutral_derivatives() -> None:
    seen: list[Features] = []

    @dataclass(frozen=True)
    class Recorder(Strategy):
        key, name, parts, filters = "recorder", "Recorder", (), ()

        def judge(self, features: Features) -> Verdict:
            seen.append(features)
            raise ValueError("nothing to say")

    build_watchlist(candle_features_table(random_candles(3), WINDOW), WINDOW, [Recorder()])
    assert [market.symbol for market in seen] == ["M000USDT", "M001USDT", "M002USDT"]
    assert {(market.oi_status, market.oi_z, market.funding_rate_pct) for market in seen} == {(NEUTRAL, None, None)}


def test_watchlist_follows_from_candle_columns_alone() -> None:
    bars = random_candles(20)
    features = features_table(bars, NO_TABLE, {}, WINDOW).assign(oi_z=9.0, oi_status="resolved")
    assert as_bytes(build_watchlist(features, WINDOW)) == as_bytes(
        build_watchlist(candle_features_table(bars, WINDOW), WINDOW, discover_strategies().strategies)
    )


def test_refresh_order_of_thirty_markets_stays_as_it_was() -> None:
    """Recorded when the refresh itself computed features and ran the strategies to find its order."""
    watchlist = build_watchlist(candle_features_table(random_candles(30), WINDOW), WINDOW)
    names = [symbol[1:4] for symbol in watchlist["symbol"]]
    symbol_map = watchlist[["exchange", "symbol"]].assign(**{f"{dataset}_symbol": names for dataset in DATASETS})
    known = {name: WINDOW.end_seconds - 900 * (1 + number % 8) for number, name in enumerate(names) if number % 3 == 0}
    items = build_items(symbol_map, {"open_interest": known}, watchlist)
    batches = pack_batches(rank_due_items(items, WINDOW.end_seconds, RefreshPolicy()), 20)
    later = DATASETS[1:]
    setups, first, second = (
        "019 018 021",
        "011 009 003 025 013 000 016 024 001 020 004 014 012 006 015 026 027 022 029 028",
        "023 008 002 005 017 007 010",
    )
    expected = [
        ("open_interest", "011 025 019 013 016 001 020"),
        *((dataset, setups) for dataset in later),
        ("open_interest", "004 014 026 022 029 028 023 008 002 005 017 007 010"),
        *((dataset, symbols) for symbols in (first, second) for dataset in later),
        ("open_interest", "015 006 021 003 018 009 000 024 012 027"),
    ]
    assert batches == [Batch(dataset, tuple(symbols.split())) for dataset, symbols in expected]
