"""Interest in markets: setup, watchlist and volume."""

from __future__ import annotations

import pytest

from quant_assets.signals import Features, market_interest, table_of
from quant_assets_tests.signals.factories import breakout_features

QUIET = Features(
    exchange="A",
    symbol="X",
    canonical_symbol="X",
    display_symbol="X",
    window_end_ms=0,
    price=100.0,
    vol24h=7.0,
    htf_rsi=50.0,
)


@pytest.mark.parametrize(
    ("changes", "focus"),
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
def test_a_market_close_to_a_setup_is_in_focus(changes: dict[str, object], focus: bool) -> None:
    interest = market_interest(table_of([QUIET._replace(**changes)]))  # type: ignore[arg-type]
    assert interest["focus"].tolist() == [focus]
    assert interest["volume"].tolist() == [7.0]


@pytest.mark.parametrize(
    ("features", "setup", "focus"),
    [
        (breakout_features(), True, True),
        (breakout_features(unusable="stale_candles"), False, False),
        (QUIET._replace(resistance_at_last_bar=52.5), False, True),
        (QUIET, False, False),
    ],
    ids=["setup", "unusable", "near a setup", "quiet"],
)
def test_market_has_a_setup_if_a_strategy_has_one(features: Features, setup: bool, focus: bool) -> None:
    interest = market_interest(table_of([features]))
    assert interest["setup"].tolist() == [setup]
    assert interest["focus"].tolist() == [focus]
