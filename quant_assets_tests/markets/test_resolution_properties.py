"""Test properties of resolution for any markets and market list, and its speed."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.markets import resolve_markets
from quant_assets_tests.markets.sample_list import EXCHANGES, NOW, markets, row, table
from quant_assets_tests.speed import assert_within

BASES = ["BTC", "XBT", "1000BTC", "kBTC", "PEPE", "1000PEPE", "龙虾"]
QUOTES = ["USDT", "USDC", "USD", "EUR", "U"]
CODES = [code for code, _ in EXCHANGES]

rows = st.builds(
    lambda base, quote, code, coin, ratio, perpetual: row(
        f"{base}{quote}{'_COIN' if coin else ''}.{code}",
        f"{base}{quote}",
        base,
        quote,
        "COIN" if coin else "STABLE",
        ratio,
        is_perpetual=perpetual,
    ),
    *(st.sampled_from(BASES), st.sampled_from(QUOTES), st.sampled_from(CODES)),
    *(st.booleans(), st.booleans(), st.booleans()),
)
lists = st.lists(rows, unique_by=lambda entry: entry["symbol"], max_size=30)
pairs = st.lists(
    st.tuples(
        st.sampled_from(["BINANCE", "GATE", "MEXC", "KUCOIN", "HYPERLIQUID", "HTX", "?"]),
        st.builds(str.__add__, st.sampled_from(BASES), st.sampled_from(QUOTES)) | st.text(max_size=8),
    ),
    max_size=8,
)


@settings(max_examples=30)
@given(pairs, lists, st.randoms(use_true_random=False))
def test_order_of_markets_and_list_rows_changes_nothing(
    wanted: list[tuple[str, str]], given_rows: list[dict[str, Any]], shuffle: random.Random
) -> None:
    first = resolve_markets(markets(*wanted), table(given_rows), datasets=ENTRIES, now=NOW)
    shuffled = table(given_rows).sample(frac=1, random_state=shuffle.randrange(1000))
    again = resolve_markets(markets(*shuffle.sample(wanted, len(wanted))), shuffled, datasets=ENTRIES, now=NOW)
    pd.testing.assert_frame_equal(first, again)


@settings(max_examples=30)
@given(pairs, lists)
def test_every_market_has_one_consistent_row(wanted: list[tuple[str, str]], given_rows: list[dict[str, Any]]) -> None:
    found = resolve_markets(markets(*wanted), table(given_rows), datasets=ENTRIES, now=NOW)
    assert len(found) == len(set(zip(found["exchange"], found["symbol"], strict=True)))
    assert len(found) <= len(set(wanted))
    perpetuals = {entry["symbol"]: entry for entry in given_rows if entry["is_perpetual"]}
    for market in found.to_dict("records"):
        assert (market["status"] == "neutral") == (market["open_interest_symbol"] == "")
        assert (market["status"] == "resolved") == (market["reason"] == "")
        for dataset in DATASETS:
            symbol = market[f"{dataset}_symbol"]
            assert symbol in {"", *perpetuals}
            assert (symbol == "") == (market[f"{dataset}_multiplier"] == 0) == (market[f"{dataset}_exchange"] == "")
        if ratio := market["long_short_ratio_symbol"]:
            assert perpetuals[ratio]["has_long_short_ratio_data"]
        assert market["liquidations_exchange"] != "Hyperliquid"


@settings(max_examples=15)
@given(pairs, lists)
def test_each_market_is_resolved_independently(wanted: list[tuple[str, str]], given_rows: list[dict[str, Any]]) -> None:
    together = resolve_markets(markets(*wanted), table(given_rows), datasets=ENTRIES, now=NOW)
    alone = [
        resolve_markets(markets(pair), table(given_rows), datasets=ENTRIES, now=NOW) for pair in sorted(set(wanted))
    ]
    if alone:
        pieces = pd.concat(alone, ignore_index=True).drop_duplicates(["exchange", "symbol"], ignore_index=True)
        pd.testing.assert_frame_equal(together, pieces.sort_values(["exchange", "symbol"], ignore_index=True))


@pytest.mark.speed
@pytest.mark.parametrize(("count", "seconds"), [(1_100, 0.25), (5_000, 1.0)])
def test_resolving_many_markets_against_a_full_list_is_fast(count: int, seconds: float) -> None:
    chosen = random.Random(1)
    assets = [f"COIN{number}" for number in range(700)]
    listed = [
        row(f"{asset}{quote}_PERP.{code}", f"{asset}{quote}", asset, quote, long_short=chosen.random() < 0.5)
        for asset in assets
        for code in CODES[:4]
        for quote in ("USDT", "USDC")
    ][:5_100]
    market_list = table(listed)
    wanted = markets(*((f"EXCHANGE{number % 7}", f"{chosen.choice(assets)}USDT{number}") for number in range(count)))
    wanted.loc[::2, "symbol"] = [f"{chosen.choice(assets)}USDT" for _ in wanted.index[::2]]
    assert_within(seconds, lambda: resolve_markets(wanted, market_list, datasets=ENTRIES, now=NOW))
