"""Test the simulated, recorded and plain universes."""

from __future__ import annotations

import pathlib

import orjson
import pytest

from quant_assets.emulator import REAL_ROWS, Emulator, Faults, Universe, plain_universe, simulated_universe
from quant_assets.emulator.contracts import asset_of_base, asset_of_local_symbol
from quant_assets.emulator.recorded_universe import universe_of_candles

NOW_MS = 1_768_842_000_000
SAMPLE = pathlib.Path(__file__).parents[2] / "../shared/market_data/candles"


def perpetuals(universe: Universe) -> list:
    return [row for row in universe.rows if row.is_perpetual and (row.expire_at is None or row.expire_at > NOW_MS)]


def assets_with_perpetuals(universe: Universe) -> set[str]:
    return {asset_of_base(row.base_asset, on_hyperliquid=row.exchange == "H")[0] for row in perpetuals(universe)}


def test_rows_of_the_api_documentation_are_included(universe):
    assert universe.rows[: len(REAL_ROWS)] == REAL_ROWS
    assert len(REAL_ROWS) == 20


def test_many_markets_on_many_exchanges_are_scanned(universe):
    assert len(universe.scanned) >= 60
    assert {"BINANCE", "BYBIT", "OKX", "HYPERLIQUID", "GATE", "KUCOIN", "MEXC"} <= {
        one.exchange for one in universe.scanned
    }
    assert len({(one.exchange, one.symbol) for one in universe.scanned}) == len(universe.scanned)


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("BINANCE", "BTCUSDT"),
        ("BYBIT", "BTCPERP"),
        ("BYBIT", "BTCUSD"),
        ("OKX", "BTC-USDT-SWAP"),
        ("HYPERLIQUID", "BTCUSDT"),
        ("KUCOIN", "XBTUSDTM"),
        ("BYBIT", "PUMPFUNUSDT"),
        ("MEXC", "PUMPUSDT"),
        ("HYPERLIQUID", "kPEPEUSDT"),
        ("GATE", "PUMP_USDT"),
        ("MEXC", "龙虾USDT"),
        ("HYPERLIQUID", "AITOUSDT"),
        ("BINANCE", "BTCUSD"),
        ("KUCOIN", "1MBABYDOGEUSDTM"),
        ("BYBIT", "10000000AIDOGEUSDT"),
        ("BINANCE", "1INCHUSDT"),
        ("KUCOIN", "MUSDTM"),
    ],
)
def test_unusual_symbols_are_scanned(universe, exchange, symbol):
    assert (exchange, symbol) in {(one.exchange, one.symbol) for one in universe.scanned}


QUIRKS = {
    "coin-margined": lambda row: row.margined == "COIN",
    "quoted in USDC": lambda row: row.quote_asset == "USDC",
    "Hyperliquid quoted in USD": lambda row: row.exchange == "H" and row.quote_asset == "USD",
    "dated future": lambda row: not row.is_perpetual and row.expire_at > NOW_MS,
    "dated future of the past": lambda row: not row.is_perpetual and row.expire_at < NOW_MS,
    "delisted perpetual": lambda row: row.is_perpetual and row.expire_at is not None and row.expire_at < NOW_MS,
    "no key has_long_short_ratio_data": lambda row: "has_long_short_ratio_data" not in row.body(),
    "stablecoin-margined in the quote": lambda row: (
        row.margined == "STABLE" and row.oi_lq_vol_denominated_in == "QUOTE_ASSET"
    ),
    "an alias as the base": lambda row: row.base_asset == "XBT",
    "another multiplier": lambda row: row.base_asset == "1MBABYDOGE",
    "lower-case k": lambda row: row.symbol == "kBONK.H",
    "another name on the exchange": lambda row: not row.symbol_on_exchange.startswith(row.base_asset),
    "letters outside ASCII": lambda row: not row.symbol.isascii(),
    "no candles": lambda row: not row.has_ohlcv_data,
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_every_edge_case_of_the_list_is_present(universe, quirk):
    assert any(map(QUIRKS[quirk], universe.rows))


def test_some_scanned_markets_have_no_contract_or_only_on_another_exchange(universe):
    listed = assets_with_perpetuals(universe)
    nowhere = {one.symbol for one in universe.scanned if one.market.asset not in listed}
    assert {"AITOUSDT", "114514USDT", "IBMONUSDT"} <= nowhere
    assert len(nowhere) < 10


def test_unlisted_exchanges_have_no_rows(universe):
    codes = {code for _, code in universe.exchanges}
    assert {row.exchange for row in universe.rows} <= codes


def test_same_seed_gives_same_universe_and_other_seed_other_data():
    def last(seed):
        source = simulated_universe(seed).listings["SOL.H"].source
        return source.bars("open_interest", 1_768_842_000, 1_768_842_900)["c"].tolist()

    assert last(7) == last(7)
    assert last(7) != last(8)


def test_universe_without_rows_and_histories(universe):
    changed = universe.without({"BTC.H"}).with_empty("funding_rate", {"SOL.H"})
    assert "BTC.H" not in changed.listings
    assert "funding_rate" in changed.listings["SOL.H"].empty
    assert "BTC.H" in universe.listings


def test_assets_are_parsed_from_local_symbols():
    names = {
        ("KUCOIN", "XBTUSDTM"): ("BTC", 1),
        ("KUCOIN", "ATOMUSDTM"): ("ATOM", 1),
        ("KUCOIN", "MUSDTM"): ("M", 1),
        ("BINANCE", "ATOMUSDT"): ("ATOM", 1),
        ("OKX", "BTC-USDT-SWAP"): ("BTC", 1),
        ("BYBIT", "BTCPERP"): ("BTC", 1),
        ("GATE", "PUMP_USDT"): ("PUMP", 1),
        ("HYPERLIQUID", "kPEPEUSDT"): ("PEPE", 1000),
        ("HYPERLIQUID", "KAITOUSDT"): ("KAITO", 1),
        ("BINANCE", "1000XUSDT"): ("X", 1000),
        ("BYBIT", "10000000AIDOGEUSDT"): ("AIDOGE", 10_000_000),
        ("MEXC", "114514USDT"): ("114514", 1),
        ("BINANCE", "1INCHUSDT"): ("1INCH", 1),
    }
    assert {name: asset_of_local_symbol(*name) for name in names} == names


def test_plain_universe_of_thousands_has_every_dataset():
    universe = plain_universe(2_000)
    assert len(universe.listings) == 2_000
    listing = universe.listings["S0777USDT_PERP.A"]
    assert listing.datasets >= {"open_interest", "funding_rate", "long_short_ratio", "liquidations"}
    one, other = (
        listing.source.bars("open_interest", start, 1_768_842_000)["c"] for start in (1_768_742_100, 1_768_800_600)
    )
    assert one[-len(other) :].tolist() == other.tolist()


def write(folder: pathlib.Path, name: str, price: float, count: int = 200) -> None:
    bars = [
        {
            "time": NOW_MS - (count - number) * 900_000,
            "open": price,
            "high": price * 1.01,
            "low": price * 0.99,
            "close": price * (1.0 + (number % 7) / 1000),
            "volume": 10 + number,
        }
        for number in range(count)
    ]
    (folder / name).write_bytes(orjson.dumps(bars))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for number in range(60):
        write(tmp_path, f"KUCOIN_C{chr(65 + number % 26)}{number}USDTM_15m.json", 1.0 + number)
        write(tmp_path, f"HYPERLIQUID_H{chr(65 + number % 26)}{number}USDT_15m.json", 1.0 + number)
    write(tmp_path, "HYPERLIQUID_kBONKUSDT_15m.json", 0.0094)
    write(tmp_path, "KUCOIN_XBTUSDTM_15m.json", 91_000.0)
    whole = (tmp_path / "KUCOIN_XBTUSDTM_15m.json").read_bytes()
    (tmp_path / "KUCOIN_CUTUSDTM_15m.json").write_bytes(whole[:5000])
    (tmp_path / "KUCOIN_LISTUSDTM_15m.json").write_bytes(b'[1, {"time": "x"}, null]')
    return tmp_path


def test_recorded_candles_give_markets_of_all_three_statuses(folder):
    universe = universe_of_candles(folder)
    listed = assets_with_perpetuals(universe)
    assert {row.exchange for row in universe.rows} >= set("A63HY")
    local = {asset_of_local_symbol(*path.name[:-9].split("_")) for path in folder.iterdir()}
    missing = {asset for asset, _ in local} - listed
    assert 3 < len(missing) < 30
    assert {"CUT", "LIST"} <= missing


def test_recorded_data_end_with_the_files(folder, clock):
    universe = universe_of_candles(folder)
    with Emulator(universe, key="right", clock=clock, faults=Faults()) as emulator:
        assert emulator.universe is universe
    ends = {listing.source.ends for listing in universe.listings.values()}
    assert ends == {NOW_MS // 1000}


def test_recorded_row_has_the_price_of_its_multiplier(folder):
    listings = universe_of_candles(folder).listings
    bonk = [listing for listing in listings.values() if listing.row.base_asset.endswith("BONK")]
    prices = {
        listing.row.base_asset: listing.source.bars("ohlcv", NOW_MS // 1000 - 900, NOW_MS // 1000)["o"][0]
        for listing in bonk
    }
    assert prices
    for base, price in prices.items():
        assert price == pytest.approx(0.0094 if base != "BONK" else 0.0000094)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        universe_of_candles(tmp_path / "nowhere")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample market data are not here")
def test_sample_candles_give_a_universe():
    universe = universe_of_candles(SAMPLE)
    codes = [row.exchange for row in universe.rows]
    assert len(universe.rows) > 400
    assert codes.count("A") > 150
    assert codes.count("H") > 70
    assert any(listing.empty for listing in universe.listings.values())
    assert "kPEPE.H" in universe.listings
