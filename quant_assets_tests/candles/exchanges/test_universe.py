"""Which markets of an exchange are fetched, and why the others are not."""

from __future__ import annotations

import pandas as pd
import pytest

from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.market_lists import fetch_exchange_markets, markets_of
from quant_assets.candles.exchanges.universe import universe_of
from quant_assets.markets.rules import ResolutionRules
from quant_assets.providers.exchanges.errors import RequestFailed
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets_tests.candles.exchanges.markets import BTC, market

RULES = ResolutionRules()


def reasons(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["symbol"], table["reason"], strict=True))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"is_perpetual": False}, "not_perpetual"),
        ({"is_linear": False}, "inverse"),
        ({"is_active": False}, "inactive"),
        ({"quote": "BTC", "settle": "BTC"}, "quote"),
        ({"quote": "EUR", "settle": "USDC"}, ""),
        ({"quote_volume": 999_999.0}, "volume"),
        ({"quote_volume": None}, "volume"),
    ],
)
def test_reason_of_a_market(changes: dict[str, object], reason: str) -> None:
    table = universe_of("BYBIT", [market("XUSDT", **changes)], ExchangesConfig(), RULES)
    assert reasons(table) == {"XUSDT": reason}
    assert list(table["selected"]) == [not reason]


@pytest.mark.parametrize(
    "symbol", ["../../ETCUSDT", "A/B", "A?limit=1", "A%2E", "A B", "", "N\nL", "\u202eDLOG", "Q" * 65]
)
def test_name_with_characters_of_addresses_is_never_asked_for(symbol: str) -> None:
    config = ExchangesConfig(include=("*:*",))
    assert list(universe_of("MEXC", [market(symbol)], config, RULES)["reason"]) == ["name"]


def test_name_in_another_script_is_fetched() -> None:
    assert list(universe_of("BINANCE", [market("龙虾USDT")], ExchangesConfig(), RULES)["reason"]) == [""]


def test_markets_with_the_largest_turnover_come_first_up_to_the_rank() -> None:
    markets = [market(f"{letter}USDT", quote_volume=1e6 * (place + 1)) for place, letter in enumerate("ABCD")]
    table = universe_of("BYBIT", markets, ExchangesConfig(top=2), RULES)
    assert list(table["symbol"]) == ["DUSDT", "CUSDT", "BUSDT", "AUSDT"]
    assert list(table["reason"]) == ["", "", "rank", "rank"]


def test_included_market_needs_no_turnover_and_an_excluded_one_is_never_fetched() -> None:
    config = ExchangesConfig(include=("BYBIT:*",), exclude=("*:BUSDT",))
    table = universe_of("BYBIT", [market("AUSDT", quote_volume=0.0), market("BUSDT")], config, RULES)
    assert reasons(table) == {"AUSDT": "", "BUSDT": "excluded"}


def test_selected_market_stays_until_it_is_clearly_below_the_bound() -> None:
    markets = [market("AUSDT", quote_volume=850_000.0), market("BUSDT", quote_volume=790_000.0)]
    table = universe_of("BYBIT", markets, ExchangesConfig(), RULES, {"AUSDT", "BUSDT"})
    assert reasons(table) == {"AUSDT": "", "BUSDT": "volume"}
    ranked = [market(f"{letter}USDT", quote_volume=1e9 - place) for place, letter in enumerate("ABCDEF")]
    table = universe_of("BYBIT", ranked, ExchangesConfig(top=4), RULES, {"EUSDT", "FUSDT"})
    assert reasons(table) == {"AUSDT": "", "BUSDT": "", "CUSDT": "", "DUSDT": "", "EUSDT": "", "FUSDT": "rank"}


def test_asset_and_multiplier_are_read_from_the_symbol() -> None:
    table = universe_of("HYPERLIQUID", [market("kPEPE", base="KPEPE", quote="USDC")], ExchangesConfig(), RULES)
    assert table[["asset", "multiplier"]].values.tolist() == [["PEPE", 1000]]


def test_stored_rows_give_the_same_markets_back() -> None:
    markets = [BTC, market("AUSDT", tick_size=None, listed_ms=1, last_price=None, is_linear=False)]
    table = universe_of("BYBIT", markets, ExchangesConfig(), RULES)
    assert sorted(markets_of(table), key=str) == sorted(markets, key=str)


def lists(**answers: list[ExchangeMarket] | RequestFailed) -> dict[str, list[ExchangeMarket] | RequestFailed]:
    return answers


def fetched(
    answers: dict[str, list[ExchangeMarket] | RequestFailed], last: pd.DataFrame | None = None, now_ms: float = 1000.0
) -> tuple[pd.DataFrame, dict[str, str]]:
    def fetch(exchange: str) -> list[ExchangeMarket]:
        answer = answers[exchange]
        if isinstance(answer, RequestFailed):
            raise answer
        return answer

    found = fetch_exchange_markets(ExchangesConfig(exchanges=("BYBIT", "GATE")), RULES, fetch, last, now_ms)
    return found.table, found.problems


def test_first_selection_of_a_market_is_kept() -> None:
    """A market that is deselected, or whose exchange fails, keeps it; one that was never selected has none."""
    small = market("ETHUSDT", quote_volume=1.0)
    answers = lists(BYBIT=[market("BTCUSDT"), small], GATE=[market("BTC_USDT")])
    first, _ = fetched(answers, None, now_ms=1_000.0)
    larger = lists(BYBIT=[market("BTCUSDT", quote_volume=1.0), market("ETHUSDT")], GATE=RequestFailed("down"))
    second, _ = fetched(larger, first, now_ms=2_000.0)
    since = [table.set_index("symbol")["selected_since_ms"] for table in (first, second)]
    assert [since[0][name] for name in ("BTCUSDT", "BTC_USDT")] == [1_000.0, 1_000.0]
    assert pd.isna(since[0]["ETHUSDT"])
    assert [since[1][name] for name in ("BTCUSDT", "ETHUSDT", "BTC_USDT")] == [1_000.0, 2_000.0, 1_000.0]


def test_market_selected_by_an_earlier_version_counts_from_its_last_list() -> None:
    answers = lists(BYBIT=[market("BTCUSDT"), market("ETHUSDT", quote_volume=1.0)], GATE=[market("BTC_USDT")])
    first, _ = fetched(answers, None, now_ms=1_000.0)
    second, _ = fetched(answers, first.drop(columns="selected_since_ms"), now_ms=2_000.0)
    since = second.set_index("symbol")["selected_since_ms"]
    assert (since["BTCUSDT"], pd.isna(since["ETHUSDT"])) == (1_000.0, True)


def test_failed_exchange_keeps_its_stored_markets_and_no_other_is_affected() -> None:
    first, problems = fetched(lists(BYBIT=[BTC], GATE=[market("BTC_USDT", base="BTC")]))
    assert not problems
    table, problems = fetched(lists(BYBIT=RequestFailed("BYBIT: no connection"), GATE=[]), first, now_ms=2000.0)
    assert set(problems) == {"BYBIT", "GATE"}
    assert "the stored list is kept" in problems["BYBIT"]
    pd.testing.assert_frame_equal(table, first)


def test_list_that_lost_more_than_half_is_refused() -> None:
    three = [market(f"{letter}USDT") for letter in "ABC"]
    first, _ = fetched(lists(BYBIT=three, GATE=[BTC]))
    table, problems = fetched(lists(BYBIT=three[:1], GATE=[BTC]), first, now_ms=2000.0)
    assert "lost 2 of the last 3" in problems["BYBIT"]
    columns = [name for name in table.columns if name != "fetched_at_ms"]
    pd.testing.assert_frame_equal(table[columns], first[columns])
    assert dict(zip(table["exchange"], table["fetched_at_ms"], strict=True)) == {"BYBIT": 1000.0, "GATE": 2000.0}


def test_list_without_any_turnover_is_refused() -> None:
    """Tickers that are empty for a moment would leave an exchange without a market to fetch."""
    both = [market("AUSDT"), market("BUSDT")]
    first, _ = fetched(lists(BYBIT=both, GATE=[BTC]))
    silent = [market("AUSDT", quote_volume=None), market("BUSDT", quote_volume=0.0)]
    table, problems = fetched(lists(BYBIT=silent, GATE=[BTC]), first)
    assert "no turnover of any market; the stored list is kept" in problems["BYBIT"]
    pd.testing.assert_frame_equal(table, first)


def test_exchange_without_any_list_has_no_markets_and_says_so() -> None:
    table, problems = fetched(lists(BYBIT=RequestFailed("BYBIT: no connection"), GATE=[BTC]))
    assert set(table["exchange"]) == {"GATE"}
    assert "no markets yet" in problems["BYBIT"]
