"""Test the tiers of symbol resolution on the twenty real rows and on small lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quant_assets.derivatives.datasets import DATASETS, ENTRIES
from quant_assets.markets import ResolutionRules, resolve_markets
from quant_assets_tests.markets.sample_list import NOW, ROWS, markets, row, table

EXAMPLES = [
    ("BINANCE", "BTCUSDT", "BTCUSDT_PERP.A", "BTCUSDT_PERP.A", "resolved"),
    ("BYBIT", "BTCUSDT", "BTCUSDT.6", "BTCUSDT.6", "resolved"),
    ("BYBIT", "BTCPERP", "BTCPERP.6", "BTCUSDT.6", "resolved"),
    ("BYBIT", "BTCUSD", "BTCUSD.6", "BTCUSD.6", "resolved"),
    ("OKX", "BTC-USDT-SWAP", "BTCUSDT_PERP.3", "BTCUSDT_PERP.A", "resolved"),
    ("HYPERLIQUID", "BTCUSDT", "BTC.H", "BTCUSDT_PERP.A", "resolved"),
    ("KUCOIN", "XBTUSDTM", "BTCUSDT_PERP.A", "BTCUSDT_PERP.A", "aggregated"),
    ("BYBIT", "PUMPFUNUSDT", "PUMPFUNUSDT.6", "PUMPFUNUSDT.6", "resolved"),
    ("MEXC", "PUMPUSDT", "PUMPFUNUSDT.6", "PUMPFUNUSDT.6", "aggregated"),
    ("HYPERLIQUID", "kPEPEUSDT", "kPEPE.H", "1000PEPEUSDT_PERP.A", "resolved"),
    ("GATE", "PUMP_USDT", "PUMP_USDT.Y", "PUMPFUNUSDT.6", "resolved"),
    ("MEXC", "龙虾USDT", "龙虾USDT_PERP.A", "龙虾USDT_PERP.A", "aggregated"),
    ("HYPERLIQUID", "AITOUSDT", "", "", "neutral"),
    ("BINANCE", "BTCUSD", "BTCUSDT_PERP.A", "BTCUSDT_PERP.A", "resolved"),
]


def resolve(exchange: str, symbol: str, rows: Any = ROWS, **options: Any) -> pd.Series[Any]:
    """Return the one row of the map for one market."""
    result = resolve_markets(markets((exchange, symbol)), table(rows), datasets=ENTRIES, **{"now": NOW, **options})
    assert len(result) == 1
    return result.iloc[0]


@pytest.mark.parametrize(("exchange", "symbol", "open_interest", "long_short", "status"), EXAMPLES)
def test_every_example_resolves_as_documented(
    exchange: str, symbol: str, open_interest: str, long_short: str, status: str
) -> None:
    found = resolve(exchange, symbol)
    assert found["open_interest_symbol"] == open_interest
    assert found["long_short_ratio_symbol"] == long_short
    assert found["status"] == status
    assert (found["reason"] == "") == (status == "resolved")


def test_all_examples_together_give_the_same_rows_sorted() -> None:
    together = resolve_markets(markets(*[example[:2] for example in EXAMPLES]), table(), datasets=ENTRIES, now=NOW)
    keys = list(zip(together["exchange"], together["symbol"], strict=True))
    assert keys == sorted(example[:2] for example in EXAMPLES)
    for place, (exchange, symbol) in enumerate(keys):
        assert together.iloc[place].to_dict() == resolve(exchange, symbol).to_dict()


def test_symbol_map_has_the_documented_columns_and_types() -> None:
    found = resolve_markets(markets(("OKX", "BTC-USDT-SWAP")), table(), datasets=ENTRIES, now=NOW)
    assert list(found.columns[:9]) == [
        *("exchange", "symbol", "base", "quote", "multiplier", "canonical_symbol", "display_symbol", "status"),
        "reason",
    ]
    for dataset in DATASETS:
        kinds = [str(found[f"{dataset}_{part}"].dtype) for part in ("symbol", "exchange", "multiplier", "unit")]
        assert kinds == ["str", "str", "int64", "str"]
    assert found["multiplier"].dtype == "int64"
    assert found["market_list_at_ms"].tolist() == [NOW.timestamp() * 1000]


def test_no_markets_give_an_empty_map_with_all_columns() -> None:
    found = resolve_markets(markets(), table(), datasets=ENTRIES, now=NOW)
    assert len(found) == 0
    assert "liquidations_unit" in found.columns


@pytest.mark.parametrize("market_list", [None, table([])])
def test_without_a_market_list_every_market_is_neutral_with_a_reason(market_list: pd.DataFrame | None) -> None:
    found = resolve_markets(markets(("BINANCE", "BTCUSDT")), market_list, datasets=ENTRIES, now=NOW).iloc[0]
    assert (found["status"], found["open_interest_symbol"]) == ("neutral", "")
    assert "no market list" in found["reason"]
    assert np.isnan(found["market_list_at_ms"])


def test_reason_of_a_neutral_market_names_the_missing_asset() -> None:
    assert "AITO" in resolve("HYPERLIQUID", "AITOUSDT")["reason"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *(("GATE", "Y"), ("GATEIO", "Y"), ("gate.io", "Y"), ("Gate Io", "Y"), ("HTX", "4"), ("huobi", "4")),
        *(("OKEX", "3"), ("okx", "3"), ("WOO", "W"), ("WOOX", "W"), ("Woo X", "W"), ("hyper-liquid", "H")),
    ],
)
def test_exchange_names_ignore_case_spaces_punctuation_and_follow_synonyms(name: str, source: str) -> None:
    rows = [row(f"BTC_{code}.{code}", "x", "BTC", "USDT") for code in ("A", "Y", "4", "3", "W", "H")]
    found = resolve(name, "BTCUSDT", rows)
    assert (found["open_interest_symbol"], found["status"]) == (f"BTC_{source}.{source}", "resolved")


def test_exact_name_on_exchange_beats_name_without_separators_and_case() -> None:
    rows = [row("one.6", "pump_usdt", "ONE", "USDT"), row("two.6", "PUMPUSDT", "TWO", "USDT")]
    assert resolve("BYBIT", "PUMPUSDT", rows)["open_interest_symbol"] == "two.6"
    assert resolve("BYBIT", "PUMP-USDT", rows[:1])["open_interest_symbol"] == "one.6"


def test_name_is_matched_only_on_its_own_exchange() -> None:
    assert resolve("MEXC", "PUMPFUNUSDT")["status"] == "neutral"


def test_market_matched_by_name_gets_the_asset_of_the_list() -> None:
    found = resolve("BYBIT", "PUMPFUNUSDT")
    assert (found["base"], found["canonical_symbol"], found["display_symbol"]) == ("PUMPFUN", "PUMP", "PUMPFUNUSDT")


@pytest.mark.parametrize(
    "gone",
    [
        {"is_perpetual": False},
        {"is_perpetual": None},
        {"expire_at": NOW.timestamp() * 1000},
        {"expire_at": (NOW - timedelta(days=1)).timestamp() * 1000},
    ],
)
def test_dated_and_delisted_markets_are_not_matched_even_by_name(gone: dict[str, Any]) -> None:
    rows = [row("BTCUSDT.6", "BTCUSDT", "BTC", "USDT", **gone)]
    assert resolve("BYBIT", "BTCUSDT", rows)["status"] == "neutral"


def test_market_that_expires_in_the_future_is_matched() -> None:
    later = (NOW + timedelta(seconds=1)).timestamp() * 1000
    rows = [row("BTCUSDT.6", "BTCUSDT", "BTC", "USDT", expire_at=later)]
    assert resolve("BYBIT", "BTCUSDT", rows)["status"] == "resolved"
    assert resolve("BYBIT", "BTCUSDT", rows, now=NOW + timedelta(seconds=1))["status"] == "neutral"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (row("z.A", "", "BTC", "EUR", "STABLE"), row("a.A", "", "BTC", "USDC", "COIN")),
        (row("z.A", "", "BTC", "EUR"), row("a.A", "", "BTC", "USDT")),
        (row("z.A", "", "BTC", "USDT"), row("a.A", "", "BTC", "USDC")),
        (row("z.A", "", "BTC", "USDC"), row("a.A", "", "BTC", "USD")),
        (row("z.A", "", "BTC", "USD"), row("a.A", "", "BTC", "DAI")),
        (row("z.A", "", "BTC", "USDT"), row("a.A", "", "1000BTC", "USDT")),
        (row("B.A", "", "BTC", "USDT"), row("a.A", "", "BTC", "USDT")),
        (row("\uffee.A", "", "BTC", "USDT"), row("😀.A", "", "BTC", "USDT")),
    ],
    ids=["margin", "own quote", "USDT", "USDC", "USD", "multiplier", "byte order", "byte order beyond the plane"],
)
def test_better_of_two_candidates_on_one_exchange_is_chosen(better: dict[str, Any], worse: dict[str, Any]) -> None:
    for rows in ([better, worse], [worse, better]):
        assert resolve("BINANCE", "BTCEUR", rows)["open_interest_symbol"] == better["symbol"]


def test_reference_exchanges_are_tried_in_configured_order_then_by_code() -> None:
    rows = [row(f"x.{code}", "", "BTC", "USDT") for code in ("W", "4", "Y", "H", "3", "6", "A")]
    taken = []
    while rows:
        taken.append(resolve("MEXC", "BTCUSDT", rows)["open_interest_symbol"])
        rows = [entry for entry in rows if entry["symbol"] != taken[-1]]
    assert taken == ["x.A", "x.6", "x.3", "x.H", "x.Y", "x.4", "x.W"]


def test_stablecoin_margin_on_any_reference_beats_coin_margin() -> None:
    rows = [row("x.A", "", "BTC", "USDT", "COIN"), row("y.W", "", "BTC", "DAI", "STABLE")]
    assert resolve("MEXC", "BTCUSDT", rows)["open_interest_symbol"] == "y.W"


def test_coin_margin_on_the_own_exchange_beats_any_other_exchange() -> None:
    rows = [row("x.6", "", "BTC", "USD", "COIN"), row("y.A", "", "BTC", "USDT")]
    found = resolve("BYBIT", "BTCUSDT", rows)
    assert (found["open_interest_symbol"], found["status"]) == ("x.6", "resolved")


def test_reference_order_is_configurable_by_name_or_code() -> None:
    rules = ResolutionRules(reference_exchanges=("W", "okx"))
    rows = [row(f"x.{code}", "", "BTC", "USDT") for code in ("A", "3", "W")]
    assert resolve("MEXC", "BTCUSDT", rows, rules=rules)["open_interest_symbol"] == "x.W"
    assert resolve("MEXC", "BTCUSDT", rows[:2], rules=rules)["open_interest_symbol"] == "x.3"


@pytest.mark.parametrize("stand_in", ["Y", "Gate.io", "GATE"])
def test_configured_stand_in_beats_references_and_is_aggregated(stand_in: str) -> None:
    found = resolve("MEXC", "PUMPUSDT", rules=ResolutionRules(stand_ins={"mexc": stand_in}))
    assert (found["open_interest_symbol"], found["status"]) == ("PUMP_USDT.Y", "aggregated")
    assert found["open_interest_exchange"] == "Gate.io"
    assert "stand in" in found["reason"]


def test_stand_in_without_the_asset_falls_back_to_references() -> None:
    found = resolve("MEXC", "PUMPUSDT", rules=ResolutionRules(stand_ins={"MEXC": "A"}))
    assert found["open_interest_symbol"] == "PUMPFUNUSDT.6"


def test_unknown_stand_in_exchange_is_named_in_the_reason() -> None:
    found = resolve("MEXC", "PUMPUSDT", rules=ResolutionRules(stand_ins={"MEXC": "Bybti"}))
    assert found["open_interest_symbol"] == "PUMPFUNUSDT.6"
    assert "stand-in Bybti" in found["reason"]


def test_stand_in_is_not_used_if_the_exchange_has_the_market() -> None:
    found = resolve("OKX", "BTC-USDT-SWAP", rules=ResolutionRules(stand_ins={"OKX": "A"}))
    assert (found["open_interest_symbol"], found["status"]) == ("BTCUSDT_PERP.3", "resolved")


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [("KRAKEN", "DOTUSD"), ("KUCOIN", "DOTUSDM"), ("MEXC", "1000DOTUSD"), ("OKX", "DOTUSD-SWAP")],
)
def test_ambiguous_quote_is_decided_by_listed_perpetuals(exchange: str, symbol: str) -> None:
    found = resolve(exchange, symbol, [row("x.A", "DOTUSDT", "DOT", "USDT")])
    assert (found["canonical_symbol"], found["quote"]) == ("DOT", "USD")
    assert (found["open_interest_symbol"], found["status"]) == ("x.A", "aggregated")


@pytest.mark.parametrize(
    "changes",
    [{"is_perpetual": False}, {"expire_at": 1_700_000_000_000}, {"base_asset": "DOTS"}],
    ids=["dated", "delisted", "another asset"],
)
def test_only_listed_perpetuals_decide_a_quote(changes: dict[str, Any]) -> None:
    found = resolve("KRAKEN", "DOTUSD", [row("x.A", "x", "DOT", "USDT") | changes])
    assert (found["canonical_symbol"], found["quote"], found["status"]) == ("DO", "TUSD", "neutral")


def test_perpetual_decides_a_quote_by_its_asset() -> None:
    found = resolve("KRAKEN", "XBTUSD", [row("x.A", "x", "1000BTC", "USDT")])
    assert (found["canonical_symbol"], found["display_symbol"]) == ("BTC", "BTCUSD")


def test_without_a_market_list_the_longest_quote_decides() -> None:
    found = resolve_markets(markets(("KRAKEN", "DOTUSD")), None, datasets=ENTRIES, now=NOW).iloc[0]
    assert (found["base"], found["quote"]) == ("DO", "TUSD")


def test_never_match_pairs_are_not_matched_in_either_direction() -> None:
    rules = ResolutionRules(never_match=(("MEXC:PUMP", "Bybit:PUMP"),))
    assert resolve("MEXC", "PUMPUSDT", rules=rules)["open_interest_symbol"] == "PUMP_USDT.Y"
    everyone = ResolutionRules(never_match=(("*:PUMP", "Gate.io:PUMP"),))
    gate = resolve("GATE", "PUMP_USDT", rules=everyone)
    assert (gate["open_interest_symbol"], gate["long_short_ratio_symbol"]) == ("PUMP_USDT.Y", "")
    assert resolve("MEXC", "PUMPUSDT", rules=everyone)["open_interest_symbol"] == "PUMPFUNUSDT.6"


def test_exchange_aliases_apply_to_the_market_list_too() -> None:
    rules = ResolutionRules(exchange_aliases={"Binance": {"PUMPBTC": "PUMP"}})
    assert resolve("MEXC", "PUMPUSDT", rules=rules)["open_interest_symbol"] == "PUMPBTCUSDT_PERP.A"


def test_row_has_the_local_multiplier_and_that_of_each_source() -> None:
    found = resolve("OKX", "PEPE-USDT-SWAP")
    assert (found["multiplier"], found["open_interest_multiplier"]) == (1, 1)
    assert found["long_short_ratio_symbol"] == "1000PEPEUSDT_PERP.A"
    assert found["long_short_ratio_multiplier"] == 1000
    assert resolve("HYPERLIQUID", "kPEPEUSDT")["canonical_symbol"] == "PEPE"


def test_each_source_has_its_unit() -> None:
    assert resolve("BINANCE", "BTCUSD_PERP")["open_interest_unit"] == "QUOTE_ASSET"
    assert resolve("BINANCE", "BTCUSDT")["open_interest_unit"] == "BASE_ASSET"
    assert resolve("HYPERLIQUID", "AITOUSDT")["open_interest_unit"] == ""


def test_names_in_different_unicode_forms_are_the_same_market() -> None:
    composed, decomposed = "CAF\u00c9USDT", "CAFE\u0301USDT"
    rows = [row("CAFE.A", decomposed, decomposed[:-4], "USDT")]
    found = resolve_markets(
        markets(("BINANCE", composed), ("BINANCE", decomposed)), table(rows), datasets=ENTRIES, now=NOW
    )
    assert found["symbol"].tolist() == [composed]
    assert found["status"].tolist() == ["resolved"]


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        resolve("BINANCE", "BTCUSDT", now=datetime(2026, 1, 19))  # noqa: DTZ001 - the fault under test


def test_now_may_be_in_any_time_zone() -> None:
    assert resolve("BINANCE", "BTCUSDT", now=NOW.astimezone(UTC))["status"] == "resolved"
