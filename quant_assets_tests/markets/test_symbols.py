"""Test parsing of file names and local symbols."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quant_assets.markets import (
    CandleNameError,
    FileName,
    ResolutionRules,
    parse_base,
    parse_file_name,
    parse_symbol,
    symbol_readings,
)
from quant_assets.markets.exchanges import Exchange
from quant_assets.markets.symbols import TIMEFRAMES, exchange_keys
from quant_assets_tests.speed import assert_within


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("BINANCE_BTCUSDT_15m.json", ("BINANCE", "BTCUSDT", "15m")),
        ("GATE_PUMP_USDT_4h.json", ("GATE", "PUMP_USDT", "4h")),
        ("OKX_BTC-USDT-SWAP_1d.json", ("OKX", "BTC-USDT-SWAP", "1d")),
        ("MEXC_龙虾USDT_15m.json", ("MEXC", "龙虾USDT", "15m")),
        ("Gate.io_a b.c_15m.json", ("Gate.io", "a b.c", "15m")),
        ("X___15m.json", ("X", "_", "15m")),
        ("X_.json_15m.json", ("X", ".json", "15m")),
        ("X_line\nbreak_1m.json", ("X", "line\nbreak", "1m")),
        ("X_CAFE\u0301_2h.json", ("X", "CAF\u00c9", "2h")),
        (f"X_{'Y' * 500}_15m.json", ("X", "Y" * 500, "15m")),
    ],
)
def test_file_name_is_parsed_from_both_ends(name: str, parts: tuple[str, str, str]) -> None:
    assert parse_file_name(name) == FileName(*parts)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_each_known_timeframe_is_parsed(timeframe: str) -> None:
    assert parse_file_name(f"A_B_{timeframe}.json").timeframe == timeframe


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes.txt", "does not end in .json"),
        ("A_B_15m.JSON", "does not end in .json"),
        ("master.json", "fewer than two underscores"),
        ("BINANCE_15m.json", "fewer than two underscores"),
        ("BINANCE_BTCUSDT_3m.json", "'3m' is no timeframe"),
        ("BINANCE_BTCUSDT_4H.json", "'4H' is no timeframe"),
        ("BINANCE_BTCUSDT_.json", "'' is no timeframe"),
        ("BINANCE__15m.json", "no symbol"),
        ("_BTCUSDT_15m.json", "no exchange"),
        (".json", "fewer than two underscores"),
    ],
)
def test_invalid_file_name_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(CandleNameError, match=reason):
        parse_file_name(name)


SYMBOLS = [
    # exchange, raw, base, quote, multiplier, asset, display
    ("OKX", "BTC-USDT-SWAP", "BTC", "USDT", 1, "BTC", "BTCUSDT"),
    ("X", "BTC_USDT_PERP", "BTC", "USDT", 1, "BTC", "BTCUSDT"),
    ("X", "BTC/USD-PERPETUAL", "BTC", "USD", 1, "BTC", "BTCUSD"),
    ("BYBIT", "BTCPERP", "BTCPERP", "", 1, "BTCPERP", "BTCPERP"),
    ("X", "BTC-USDT-perp", "BTCUSDTperp", "", 1, "BTCUSDTperp", "BTCUSDTperp"),
    ("X", "A-SWAP-PERP", "ASWAP", "", 1, "ASWAP", "ASWAP"),
    ("KUCOIN", "XBTUSDTM", "XBT", "USDT", 1, "BTC", "BTCUSDT"),
    ("kucoin futures", "ETHUSDTM", "ETH", "USDT", 1, "ETH", "ETHUSDT"),
    ("KUCOIN", "ATOMUSDTM", "ATOM", "USDT", 1, "ATOM", "ATOMUSDT"),
    ("KUCOIN", "ATOMUSDT", "ATOM", "USDT", 1, "ATOM", "ATOMUSDT"),
    ("KUCOIN", "ETHUSDM", "ETH", "USD", 1, "ETH", "ETHUSD"),
    ("KUCOIN", "XBT-USD-M", "XBT", "USD", 1, "BTC", "BTCUSD"),
    ("KUCOIN", "BTCUSDTMM", "BTCUSDTMM", "", 1, "BTCUSDTMM", "BTCUSDTMM"),
    ("KUCOIN", "ATOM", "ATOM", "", 1, "ATOM", "ATOM"),
    ("MEXC", "XBTUSDTM", "XBTUSDTM", "", 1, "XBTUSDTM", "XBTUSDTM"),
    ("MEXC", "ATOMUSDT", "ATOM", "USDT", 1, "ATOM", "ATOMUSDT"),
    ("X", "BTCFDUSD", "BTC", "FDUSD", 1, "BTC", "BTCFDUSD"),
    ("X", "BTCUSD1", "BTC", "USD1", 1, "BTC", "BTCUSD1"),
    ("X", "BTCUSDE", "BTC", "USDE", 1, "BTC", "BTCUSDE"),
    ("X", "ABUSD", "A", "BUSD", 1, "A", "ABUSD"),
    ("X", "AB-USD", "AB", "USD", 1, "AB", "ABUSD"),
    ("X", "A-BUSD", "A", "BUSD", 1, "A", "ABUSD"),
    ("X", "MY-COINUSDT", "MYCOIN", "USDT", 1, "MYCOIN", "MYCOINUSDT"),
    ("X", "USDT", "USDT", "", 1, "USDT", "USDT"),
    ("X", "USDCUSDT", "USDC", "USDT", 1, "USDC", "USDCUSDT"),
    ("X", "BTCU", "BTCU", "", 1, "BTCU", "BTCU"),
    ("X", "btcusdt", "btcusdt", "", 1, "btcusdt", "btcusdt"),
    ("X", "DOTUSD", "DO", "TUSD", 1, "DO", "DOTUSD"),  # without a list the longest quote
    ("X", "DOT-USD", "DOT", "USD", 1, "DOT", "DOTUSD"),
    ("X", "XBTUSDT", "XBT", "USDT", 1, "BTC", "BTCUSDT"),
    ("X", "XBTCUSDT", "XBTC", "USDT", 1, "XBTC", "XBTCUSDT"),
    ("X", "1000BONKUSDT", "1000BONK", "USDT", 1000, "BONK", "1000BONKUSDT"),
    ("X", "10000SATSUSDT", "10000SATS", "USDT", 10_000, "SATS", "10000SATSUSDT"),
    ("X", "1000XUSDT", "1000X", "USDT", 1000, "X", "1000XUSDT"),
    ("X", "1000XBTUSDT", "1000XBT", "USDT", 1000, "BTC", "1000BTCUSDT"),
    ("X", "1000$USDT", "1000$", "USDT", 1000, "$", "1000$USDT"),
    ("X", "1000龙虾USDT", "1000龙虾", "USDT", 1000, "龙虾", "1000龙虾USDT"),
    ("X", "10000000AIDOGEUSDT", "10000000AIDOGE", "USDT", 10_000_000, "AIDOGE", "10000000AIDOGEUSDT"),
    ("X", "100000000AUSDT", "100000000A", "USDT", 1, "100000000A", "100000000AUSDT"),
    ("X", "100AUSDT", "100A", "USDT", 1, "100A", "100AUSDT"),
    ("X", "10001AUSDT", "10001A", "USDT", 1, "10001A", "10001AUSDT"),
    ("X", "2000AUSDT", "2000A", "USDT", 1, "2000A", "2000AUSDT"),
    ("X", "1000USDT", "1000", "USDT", 1, "1000", "1000USDT"),
    ("X", "1INCHUSDT", "1INCH", "USDT", 1, "1INCH", "1INCHUSDT"),
    ("X", "114514USDT", "114514", "USDT", 1, "114514", "114514USDT"),
    ("X", "1MBABYDOGEUSDT", "1MBABYDOGE", "USDT", 1_000_000, "BABYDOGE", "1000000BABYDOGEUSDT"),
    ("X", "1MABUSDT", "1MAB", "USDT", 1_000_000, "AB", "1000000ABUSDT"),
    ("X", "1MAUSDT", "1MA", "USDT", 1, "1MA", "1MAUSDT"),
    ("HYPERLIQUID", "kPEPEUSDT", "kPEPE", "USDT", 1000, "PEPE", "1000PEPEUSDT"),
    ("HL", "kPEPE", "kPEPE", "", 1000, "PEPE", "1000PEPE"),
    ("HYPERLIQUID", "KAITOUSDT", "KAITO", "USDT", 1, "KAITO", "KAITOUSDT"),
    ("HYPERLIQUID", "kPUSDT", "kP", "USDT", 1, "kP", "kPUSDT"),
    ("HYPERLIQUID", "kPeUSDT", "kPe", "USDT", 1, "kPe", "kPeUSDT"),
    ("BINANCE", "kPEPEUSDT", "kPEPE", "USDT", 1, "kPEPE", "kPEPEUSDT"),
    ("X", "", "", "", 1, "", ""),
    ("X", "---", "---", "", 1, "---", "---"),
    ("X", "-PERP", "PERP", "", 1, "PERP", "PERP"),
]


@pytest.mark.parametrize(("exchange", "raw", "base", "quote", "multiplier", "asset", "display"), SYMBOLS)
def test_local_symbol_is_parsed(
    exchange: str, raw: str, base: str, quote: str, multiplier: int, asset: str, display: str
) -> None:
    found = parse_symbol(raw, exchange)
    assert (found.raw, found.base, found.quote) == (raw, base, quote)
    assert (found.multiplier, found.asset, found.display) == (multiplier, asset, display)


@pytest.mark.parametrize(
    ("exchange", "raw", "perpetuals", "base", "quote"),
    [
        ("X", "DOTUSD", {"DOT"}, "DOT", "USD"),
        ("X", "DOTUSD", {"DO", "DOT"}, "DO", "TUSD"),
        ("X", "DOTUSD", {"BTC"}, "DO", "TUSD"),
        ("X", "DO-TUSD", {"DOT"}, "DO", "TUSD"),
        ("X", "DOT-USD", {"DO"}, "DOT", "USD"),
        ("X", "A-DOTUSD", {"ADOT"}, "ADOT", "USD"),
        ("X", "DOTUSD-PERP", {"DOT"}, "DOT", "USD"),
        ("X", "XBTUSD", {"BTC"}, "XBT", "USD"),
        ("X", "1000DOTUSD", {"DOT"}, "1000DOT", "USD"),
        ("HYPERLIQUID", "kDOTUSD", {"DOT"}, "kDOT", "USD"),
        ("KUCOIN", "XBTUSDM", {"BTC"}, "XBT", "USD"),
        ("KUCOIN", "DOTUSDM", {"DOT"}, "DOT", "USD"),
        ("KUCOIN", "DOTUSDM", set(), "DO", "TUSD"),
        ("X", "FDUSD", {"FD"}, "FD", "USD"),
        ("X", "BTCUSDT", {"ETH"}, "BTC", "USDT"),
    ],
)
def test_longest_quote_whose_base_has_a_perpetual_is_chosen(
    exchange: str, raw: str, perpetuals: set[str], base: str, quote: str
) -> None:
    found = parse_symbol(raw, exchange, perpetuals=perpetuals)
    assert (found.base, found.quote) == (base, quote)


def plain_quote(raw: str, perpetuals: set[str], rules: ResolutionRules) -> str:
    """Return the quote by a plain implementation, for an exchange without special rules."""
    for suffix in ("PERPETUAL", "PERP", "SWAP"):
        if raw.endswith(f"-{suffix}"):
            raw = raw[: -len(suffix) - 1]
            break
    base, separator, quote = raw.rpartition("-")
    if separator and quote in rules.quotes:
        return quote
    joined = base + quote
    fitting = sorted((end for end in rules.quotes if joined.endswith(end) and joined != end), key=len, reverse=True)
    if separator:  # it stood elsewhere, so no quote reaches over it
        fitting = [end for end in fitting if len(end) < len(quote)]
    for end in fitting:
        if parse_base(joined.removesuffix(end), "X", rules)[1] in perpetuals:
            return end
    return fitting[0] if fitting else ""


ASSETS = ["DO", "DOT", "F", "FD", "A", "AB", "BTC", "XBT", "1000DOT", "BUSD"]


@given(
    st.sampled_from(ASSETS),
    st.sampled_from(["", "-"]),
    st.sampled_from(ResolutionRules().quotes),
    st.sampled_from(["", "-PERP", "-SWAP"]),
    st.sets(st.sampled_from(ASSETS)),
)
@example("DO", "", "TUSD", "", {"DOT"})
def test_quote_matches_a_plain_implementation_of_the_rule(
    base: str, separator: str, quote: str, suffix: str, perpetuals: set[str]
) -> None:
    raw = f"{base}{separator}{quote}{suffix}"
    found = parse_symbol(raw, "X", perpetuals=perpetuals)
    assert found.quote == plain_quote(raw, perpetuals, ResolutionRules())


def test_symbol_readings_come_longest_quote_first() -> None:
    assert [reading.display for reading in symbol_readings("XBTUSD", "X")] == ["XBTUSD", "BTCUSD"]
    assert [reading.quote for reading in symbol_readings("DOT-USD", "X")] == ["USD"]
    assert [reading.quote for reading in symbol_readings("BTCPERP", "X")] == [""]


def test_base_of_a_list_row_is_parsed_by_the_same_steps() -> None:
    assert parse_base("kPEPE", "Hyperliquid") == (1000, "PEPE")
    assert parse_base("1000PEPE", "Binance") == (1000, "PEPE")
    assert parse_base("PEPE", "OKX") == (1, "PEPE")
    assert parse_base("XBT", "BitMEX") == (1, "BTC")


def test_aliases_apply_again_after_the_multiplier() -> None:
    rules = ResolutionRules(aliases={"A": "B", "B": "C"})
    assert (parse_symbol("AUSDT", "X", rules).asset, parse_symbol("1000AUSDT", "X", rules).asset) == ("C", "B")


def test_quotes_and_aliases_are_configurable_per_exchange() -> None:
    rules = ResolutionRules(quotes=("U",), exchange_aliases={"MEXC": {"XBT": "OTHER"}})
    assert parse_symbol("XBTU", "MEXC", rules).asset == "OTHER"
    assert parse_symbol("XBTU", "OKX", rules).asset == "BTC"
    assert parse_symbol("BTCUSDT", "OKX", rules).quote == ""


def test_exchange_of_the_catalogue_has_the_key_of_its_names_in_files() -> None:
    for exchange in (Exchange(name="Gate.io", other_names=("GATE",)), Exchange(name="WOO X", other_names=("WOO",))):
        names = (exchange.name, exchange.name.upper(), *exchange.other_names)
        assert exchange_keys([exchange]) == {ResolutionRules().exchange_key(name) for name in names}


@given(st.text(), st.sampled_from(["KUCOIN", "HYPERLIQUID", "OKX", ""]) | st.text())
@example("\ud800-USDT", "OKX")
@example("/_--PERP", "KUCOIN")
def test_any_text_can_be_parsed_as_a_symbol(raw: str, exchange: str) -> None:
    found = parse_symbol(raw, exchange)
    assert found.raw == unicodedata.normalize("NFC", raw)
    assert bool(found.base) == bool(raw)
    assert found.multiplier >= 1
    letters = "".join(letter for letter in found.raw if letter not in "-_/")
    assert not letters or unicodedata.normalize("NFC", letters).startswith(found.base + found.quote)
    assert found == parse_symbol(found.raw, exchange)


@given(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text), st.sampled_from(TIMEFRAMES))
def test_any_symbol_survives_a_file_name(symbol: str, timeframe: str) -> None:
    found = parse_file_name(f"EX_{symbol}_{timeframe}.json")
    assert found == FileName("EX", unicodedata.normalize("NFC", symbol), timeframe)


@pytest.mark.speed
def test_parsing_5000_symbols_and_a_full_list_is_fast() -> None:
    def read() -> None:
        for number in range(5_000):
            parse_symbol(f"COIN{number}-USDT-SWAP", "OKX")
        for number in range(5_100):
            parse_base(f"1000COIN{number}", "Binance")

    assert_within(0.3, read)
