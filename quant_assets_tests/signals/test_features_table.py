"""The features table: rows, dtypes, and conversion back to `Features`."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.signals import (
    CANDLE_DTYPES,
    COLUMNS,
    DTYPES,
    candle_features_table,
    features_of,
    features_table,
    join_features,
    table_of,
)
from quant_assets.signals.features.bars import market_bars
from quant_assets.signals.features.candle_features import candle_features
from quant_assets.signals.features.derivative_inputs import DERIVATIVE_FEATURES, derivative_features, merge_inputs
from quant_assets_tests.signals import reference_comparison as reference
from quant_assets_tests.signals.factories import (
    NO_TABLE,
    WINDOW,
    as_bytes,
    breakout_features,
    candles,
    features,
    market,
    random_candles,
    real_candles,
    walk,
)
from quant_assets_tests.signals.random_markets import market as random_market

NAMES = ("canonical_symbol", "display_symbol")


def test_table_has_one_row_per_market_sorted_by_exchange_and_symbol() -> None:
    table = features_table(random_candles(5), NO_TABLE, {}, WINDOW)
    assert table["symbol"].tolist() == [f"M{seed:03d}USDT" for seed in range(5)]
    assert list(table) == list(COLUMNS)


def test_columns_have_plain_dtypes() -> None:
    table = features_table(random_candles(2), NO_TABLE, {}, WINDOW)
    assert {str(dtype) for dtype in table.dtypes} == {"float64", "int64", "str", "bool"}
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES


def test_no_markets_give_an_empty_table_with_the_same_dtypes() -> None:
    empty = features_table(NO_TABLE, NO_TABLE, {}, WINDOW)
    assert empty.empty
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == DTYPES


def test_features_round_trip_through_the_table() -> None:
    rows = [
        features(),
        breakout_features(),
        breakout_features("SHORT", trigger_after_low=None, oi_points=97),
        features(price=1 / 3),
    ]
    assert features_of(table_of(rows)) == rows


@pytest.mark.parametrize("source", [random_candles, real_candles])
def test_features_round_trip_through_parquet(source: Any) -> None:
    table = features_table(source(), NO_TABLE, {}, WINDOW)
    file = io.BytesIO()
    table.to_parquet(file)
    back = pd.read_parquet(file)
    assert as_bytes(back) == as_bytes(table)
    assert features_of(back) == features_of(table)


def test_unknown_time_is_nan_in_the_table_and_none_in_the_features() -> None:
    table = table_of([features(), breakout_features()])
    assert np.isnan(table["trigger_time_ms"][0])
    first, second = features_of(table)
    assert first.trigger_time_ms is None
    assert type(second.trigger_time_ms) is int


def test_no_feature_is_nan() -> None:
    for row in features_of(features_table(random_candles(5, 30, 10), NO_TABLE, {}, WINDOW)):
        assert all(value == value for value in (getattr(row, name) for name in COLUMNS))


def test_progress_ends_with_all_markets_done() -> None:
    calls: list[tuple[Any, ...]] = []
    features_table(random_candles(3), NO_TABLE, {}, WINDOW, lambda *call: calls.append(call))
    assert calls[-1] == ("features", 3, 3)


def test_text_columns_give_the_same_table_as_categories() -> None:
    table = candles(market(walk(1, 60), walk(2, 60, "4h")))
    plain = table.astype({"exchange": "str", "symbol": "str", "timeframe": "str"})
    assert as_bytes(features_table(plain, NO_TABLE, {}, WINDOW)) == as_bytes(
        features_table(table, NO_TABLE, {}, WINDOW)
    )


def test_missing_column_without_a_default_is_an_error() -> None:
    with pytest.raises(KeyError, match="price"):
        features_of(table_of([features()]).drop(columns="price"))


def test_column_missing_in_an_older_table_takes_its_default() -> None:
    table = table_of([features(funding_rate_pct=0.01, funding_interval_hours=1.0)])
    (found,) = features_of(table.drop(columns="funding_interval_hours"))
    assert (found.funding_rate_pct, found.funding_interval_hours) == (0.01, None)


def test_joined_features_are_those_of_one_step_to_the_last_bit() -> None:
    """Random markets with derivatives, of which some are missing, and of which only some are in the symbol map."""
    drawn = sorted((random_market(seed, WINDOW.end_ms) for seed in range(300)), key=lambda market: market.symbol)
    bars, symbol_map = reference.candles(drawn), reference.symbol_map(drawn[::2])
    tables = reference.derivatives(drawn[::3], WINDOW)
    markets = market_bars(bars, WINDOW)
    inputs = merge_inputs([(market.exchange, market.symbol) for market in markets], symbol_map, tables)
    symbols = np.array([market.symbol for market in markets], dtype=object)
    columns = {
        "exchange": [market.exchange for market in markets],
        "symbol": symbols,
        **{name: np.where(inputs[name] == "", symbols, inputs[name]) for name in NAMES},
        "window_end_ms": np.full(len(markets), WINDOW.end_ms),
        **candle_features(markets, WINDOW),
        **derivative_features(inputs, WINDOW),
    }
    at_once = pd.DataFrame({name: pd.Series(columns[name], dtype=dtype) for name, dtype in DTYPES.items()})
    file = io.BytesIO()
    candle_features_table(bars, WINDOW).to_parquet(file)
    assert as_bytes(join_features(pd.read_parquet(file), symbol_map, tables, WINDOW)) == as_bytes(at_once)
    assert as_bytes(features_table(bars, symbol_map, tables, WINDOW)) == as_bytes(at_once)


def test_candle_features_have_every_column_that_no_join_adds() -> None:
    table = candle_features_table(random_candles(2), WINDOW)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == CANDLE_DTYPES
    assert set(CANDLE_DTYPES) | set(DERIVATIVE_FEATURES) | set(NAMES) == set(DTYPES)
    assert not set(CANDLE_DTYPES) & set(DERIVATIVE_FEATURES)
