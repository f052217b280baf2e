"""Test that each dataset has its own source, and its fallbacks."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.markets import ResolutionRules, resolve_markets
from quant_assets_tests.markets.sample_list import NOW, ROWS, markets, row, table


def resolve(exchange: str, symbol: str, rows: Any = ROWS, **options: Any) -> pd.Series[Any]:
    return resolve_markets(markets((exchange, symbol)), table(rows), datasets=ENTRIES, now=NOW, **options).iloc[0]


def test_datasets_have_a_fixed_order() -> None:
    assert DATASETS == ("open_interest", "funding_rate", "long_short_ratio", "liquidations")


def test_each_dataset_names_its_own_source_exchange() -> None:
    found = resolve("HYPERLIQUID", "BTCUSDT")
    assert [found[f"{dataset}_symbol"] for dataset in DATASETS] == ["BTC.H", "BTC.H", *["BTCUSDT_PERP.A"] * 2]
    assert [found[f"{dataset}_exchange"] for dataset in DATASETS] == [*["Hyperliquid"] * 2, *["Binance"] * 2]


def test_missing_long_short_flag_means_false() -> None:
    rows = [row("BTCUSDT.6", "BTCUSDT", "BTC", "USDT", long_short=None)]
    assert resolve("BYBIT", "BTCUSDT", rows)["long_short_ratio_symbol"] == ""


def test_long_short_ratio_prefers_the_same_exchange_even_coin_margined() -> None:
    rows = [
        row("chosen.6", "BTCUSDT", "BTC", "USDT"),
        row("neighbour.6", "BTCUSD", "BTC", "USD", "COIN", long_short=True),
        row("reference.A", "BTCUSDT", "BTC", "USDT", long_short=True),
    ]
    assert resolve("BYBIT", "BTCUSDT", rows)["long_short_ratio_symbol"] == "neighbour.6"
    assert resolve("BYBIT", "BTCUSDT", [rows[0], rows[2]])["long_short_ratio_symbol"] == "reference.A"


def test_aggregated_market_looks_for_datasets_on_its_source_exchange_first() -> None:
    rows = [
        row("chosen.6", "", "BTC", "USDT"),
        row("neighbour.6", "", "BTC", "USDC", long_short=True),
        row("other.3", "", "BTC", "USDT", long_short=True),
    ]
    found = resolve("MEXC", "BTCUSDT", rows)
    assert (found["open_interest_symbol"], found["long_short_ratio_symbol"]) == ("chosen.6", "neighbour.6")


def test_liquidations_come_from_elsewhere_if_the_exchange_publishes_none() -> None:
    found = resolve("HYPERLIQUID", "kPEPEUSDT")
    assert found["liquidations_symbol"] == "1000PEPEUSDT_PERP.A"
    assert resolve("OKX", "PEPE-USDT-SWAP")["liquidations_symbol"] == "PEPEUSDT_PERP.3"


def test_dataset_without_any_source_stays_empty_and_status_is_unchanged() -> None:
    found = resolve("HYPERLIQUID", "KAITO")
    for part, nothing in (("symbol", ""), ("exchange", ""), ("multiplier", 0), ("unit", "")):
        assert found[f"long_short_ratio_{part}"] == nothing
        assert found[f"liquidations_{part}"] == nothing
    assert (found["status"], found["open_interest_symbol"]) == ("resolved", "KAITO.H")


def test_exchanges_without_liquidations_are_configurable() -> None:
    rules = ResolutionRules(without_liquidations=("okx",))
    assert resolve("HYPERLIQUID", "BTCUSDT", rules=rules)["liquidations_symbol"] == "BTC.H"
    assert resolve("OKX", "BTC-USDT-SWAP", rules=rules)["liquidations_symbol"] == "BTCUSDT_PERP.A"


@pytest.mark.parametrize("dataset", ["funding_rate", "long_short_ratio", "liquidations"])
def test_empty_dataset_is_taken_from_the_next_best_market_without_changing_status(dataset: str) -> None:
    found = resolve("BINANCE", "BTCUSDT", empty={dataset: {"BTCUSDT_PERP.A"}})
    others = [name for name in DATASETS if name != dataset]
    assert found[f"{dataset}_symbol"] == "BTCUSDC_PERP.A"
    assert {found[f"{name}_symbol"] for name in others} == {"BTCUSDT_PERP.A"}
    assert (found["status"], found["reason"]) == ("resolved", "")


def test_empty_open_interest_makes_the_market_aggregated_with_a_reason() -> None:
    found = resolve("HYPERLIQUID", "BTCUSDT", empty={"open_interest": ["BTC.H"]})
    assert (found["open_interest_symbol"], found["status"]) == ("BTCUSDT_PERP.A", "aggregated")
    assert found["funding_rate_symbol"] == "BTC.H"
    assert "BTC.H" in found["reason"]
    assert "BTCUSDT_PERP.A" in found["reason"]


def test_open_interest_from_another_market_of_the_same_exchange_is_aggregated() -> None:
    found = resolve("BYBIT", "BTCPERP", empty={"open_interest": ["BTCPERP.6"]})
    assert (found["open_interest_symbol"], found["status"]) == ("BTCUSDT.6", "aggregated")


def test_empty_stand_ins_are_skipped_too() -> None:
    empty = {"open_interest": ["kPEPE.H", "1000PEPEUSDT_PERP.A"]}
    assert resolve("HYPERLIQUID", "kPEPEUSDT", empty=empty)["open_interest_symbol"] == "PEPEUSDT_PERP.3"


def test_open_interest_empty_everywhere_is_neutral_and_other_datasets_stay() -> None:
    found = resolve("HYPERLIQUID", "KAITO", empty={"open_interest": ["KAITO.H"]})
    assert (found["open_interest_symbol"], found["status"]) == ("", "neutral")
    assert "KAITO.H came back empty" in found["reason"]
    assert (found["funding_rate_symbol"], found["canonical_symbol"]) == ("KAITO.H", "KAITO")
