"""List the assets, contracts and scanned markets of the simulated market."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.emulator.universe import MarketRow

REAL_ROWS: tuple[MarketRow, ...] = (
    MarketRow("BTCUSDT_PERP.A", "A", "BTCUSDT", "BTC", "USDT", has_long_short_ratio_data=True),
    MarketRow("BTCUSDC_PERP.A", "A", "BTCUSDC", "BTC", "USDC", has_long_short_ratio_data=True),
    MarketRow("BTCU_PERP.A", "A", "BTCU", "BTC", "U"),
    MarketRow("BTCUSD1_PERP.A", "A", "BTCUSD1", "BTC", "USD1"),
    MarketRow(
        "BTCUSD_PERP.A", "A", "BTCUSD_PERP", "BTC", "USD", margined="COIN", oi_lq_vol_denominated_in="QUOTE_ASSET"
    ),
    MarketRow("BTCUSDT.6", "6", "BTCUSDT", "BTC", "USDT", has_long_short_ratio_data=True),
    MarketRow(
        "BTCUSD.6",
        "6",
        "BTCUSD",
        "BTC",
        "USD",
        margined="COIN",
        oi_lq_vol_denominated_in="QUOTE_ASSET",
        has_long_short_ratio_data=True,
    ),
    MarketRow("BTCPERP.6", "6", "BTCPERP", "BTC", "USDC"),
    MarketRow("BTCUSDT_PERP.3", "3", "BTC-USDT-SWAP", "BTC", "USDT"),
    MarketRow("BTC.H", "H", "BTC", "BTC", "USD"),
    MarketRow("PUMPFUNUSDT.6", "6", "PUMPFUNUSDT", "PUMP", "USDT", has_long_short_ratio_data=True),
    MarketRow("PUMPBTCUSDT_PERP.A", "A", "PUMPBTCUSDT", "PUMPBTC", "USDT", has_long_short_ratio_data=True),
    MarketRow("pf_pumpusd.K", "K", "pf_pumpusd", "PUMP", "USD"),
    MarketRow("PUMP-PERP.C", "C", "PUMP-PERP", "PUMP", "USDC"),
    MarketRow("PUMP_USDT.Y", "Y", "PUMP_USDT", "PUMP", "USDT"),
    MarketRow("1000PEPEUSDT_PERP.A", "A", "1000PEPEUSDT", "1000PEPE", "USDT", has_long_short_ratio_data=True),
    MarketRow("PEPEUSDT_PERP.3", "3", "PEPE-USDT-SWAP", "PEPE", "USDT"),
    MarketRow("kPEPE.H", "H", "kPEPE", "kPEPE", "USD"),
    MarketRow("KAITO.H", "H", "KAITO", "KAITO", "USD"),
    MarketRow("龙虾USDT_PERP.A", "A", "龙虾USDT", "龙虾", "USDT", has_long_short_ratio_data=True),
)
"""Rows of the real market list, as in the API's documentation."""

REAL_ASSETS = frozenset({"BTC", "PUMP", "PUMPBTC", "PEPE", "KAITO", "龙虾"})
"""Assets whose perpetuals are all in REAL_ROWS."""


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset of the simulated market.

    Price in dollars, volatility and quote volume of 15 minutes, codes of the exchanges that list it, and the
    multiplier of its contracts on exchanges that use multipliers.
    """

    price: float
    volatility: float
    turnover: float
    listed_on: str
    multiplied: int = 1


ASSETS: dict[str, Asset] = {
    "BTC": Asset(91_000.0, 0.0016, 9e7, ""),
    "PUMP": Asset(0.0026, 0.0056, 3e6, ""),
    "PUMPBTC": Asset(0.031, 0.0070, 2e5, ""),
    "PEPE": Asset(0.0000058, 0.0050, 6e6, ""),
    "KAITO": Asset(0.61, 0.0054, 4e5, ""),
    "龙虾": Asset(0.0186, 0.0090, 3e5, ""),
    "ETH": Asset(3_150.0, 0.0024, 7e7, "A63HYK804C"),
    "SOL": Asset(138.0, 0.0030, 3e7, "A63HYKC"),
    "XRP": Asset(1.98, 0.0030, 2e7, "A63HY"),
    "BNB": Asset(905.0, 0.0020, 9e6, "A63H"),
    "DOGE": Asset(0.132, 0.0034, 1.5e7, "A63HY"),
    "ADA": Asset(0.371, 0.0034, 5e6, "A63H"),
    "LINK": Asset(12.9, 0.0034, 5e6, "A63HY"),
    "AVAX": Asset(13.1, 0.0036, 4e6, "A6HY"),
    "SUI": Asset(1.56, 0.0042, 7e6, "A63HY"),
    "ATOM": Asset(2.41, 0.0036, 8e5, "A6"),
    "NEAR": Asset(1.63, 0.0042, 1.5e6, "A6H"),
    "APT": Asset(1.71, 0.0042, 9e5, "A6HY"),
    "LTC": Asset(71.2, 0.0030, 3e6, "A63H"),
    "FIL": Asset(1.41, 0.0038, 1e6, "A6Y"),
    "INJ": Asset(4.82, 0.0046, 8e5, "A6H"),
    "1INCH": Asset(0.158, 0.0038, 2e5, "A6"),
    "X": Asset(0.0000236, 0.0058, 2e5, "A", 1000),
    "SATS": Asset(0.0000000162, 0.0050, 3e5, "A6", 10000),
    "BONK": Asset(0.0000094, 0.0052, 2e6, "A63HY", 1000),
    "FLOKI": Asset(0.0000432, 0.0052, 7e5, "A6H", 1000),
    "BABYDOGE": Asset(0.00000000071, 0.0048, 1e5, "A6", 1_000_000),
    "AIDOGE": Asset(0.0000000000354, 0.0066, 3e4, "6", 10_000_000),
    "WIF": Asset(0.352, 0.0060, 3e6, "A63H"),
    "FARTCOIN": Asset(0.371, 0.0068, 4e6, "AH"),
    "HYPE": Asset(22.4, 0.0048, 9e6, "A6H"),
    "ASTER": Asset(0.62, 0.0056, 4e6, "A6HS"),
    "BERA": Asset(0.74, 0.0070, 6e5, "A6H"),
    "IP": Asset(2.41, 0.0068, 8e5, "A6H"),
    "ZEC": Asset(368.0, 0.0064, 9e6, "A63H"),
    "XMR": Asset(621.0, 0.0048, 3e6, "A6H"),
    "DASH": Asset(64.0, 0.0076, 1e6, "A6"),
    "ENA": Asset(0.186, 0.0056, 3e6, "A63H"),
    "ONDO": Asset(0.348, 0.0042, 1e6, "A6HY"),
    "TAO": Asset(241.0, 0.0046, 2e6, "A6H"),
    "VIRTUAL": Asset(0.86, 0.0062, 1e6, "A6H"),
    "TRUMP": Asset(4.83, 0.0034, 1e6, "A63H"),
    "M": Asset(1.52, 0.0066, 4e5, "A6"),
    "4": Asset(0.0213, 0.0074, 2e5, "A"),
    "MON": Asset(0.0187, 0.0060, 8e5, "3HY"),
    "MOODENG": Asset(0.061, 0.0066, 3e5, "3Y"),
    "USUAL": Asset(0.0251, 0.0058, 2e5, "AH"),
    "YZY": Asset(0.281, 0.0050, 1e5, "HY"),
    "DOOD": Asset(0.0069, 0.0062, 1e5, "6"),
    "TURBO": Asset(0.00179, 0.0056, 3e5, "3Y"),
    "RAY": Asset(1.02, 0.0046, 2e5, "YK"),
    "XAUT": Asset(4_640.0, 0.0009, 6e5, "A6"),
    "AITO": Asset(0.0142, 0.0088, 2e4, ""),
    "114514": Asset(0.0307, 0.0096, 6e4, ""),
    "IBMON": Asset(304.0, 0.0012, 2e4, ""),
    "USELESS": Asset(0.0621, 0.0078, 1e5, ""),
    "WBTC": Asset(90_900.0, 0.0016, 5e4, ""),
}
"""Assets by name; those without an exchange are in REAL_ROWS or have no perpetual."""

EDGE_CASE_ROWS: tuple[MarketRow, ...] = (
    # dated futures, one still trading and one settled
    MarketRow("BTCUSDT_260925.A", "A", "BTCUSDT_260925", "BTC", "USDT", False, expire_at=1_790_323_200_000),
    MarketRow("ETHUSD_250926.A", "A", "ETHUSD_250926", "ETH", "USD", False, "COIN", 1_758_873_600_000, "QUOTE_ASSET"),
    # delisted perpetuals of assets that have another contract
    MarketRow("AITOUSDT_PERP.A", "A", "AITOUSDT", "AITO", "USDT", expire_at=1_757_000_000_000),
    MarketRow("USELESSUSDT.6", "6", "USELESSUSDT", "USELESS", "USDT", expire_at=1_764_500_000_000),
    MarketRow("MOODENGUSDT_PERP.A", "A", "MOODENGUSDT", "MOODENG", "USDT", expire_at=1_766_000_000_000),
    # rows without the key has_long_short_ratio_data
    MarketRow("ETHUSD-PERP.8", "8", "ETH-USD", "ETH", "USD", has_long_short_ratio_data=None),
    MarketRow("SOLUSD_PERP.2", "2", "SOL_USDC-PERPETUAL", "SOL", "USDC", has_long_short_ratio_data=None),
    # coin-margined contracts and other quotes
    MarketRow("ETHUSD_PERP.A", "A", "ETHUSD_PERP", "ETH", "USD", True, "COIN", None, "QUOTE_ASSET"),
    MarketRow("XRPUSD.6", "6", "XRPUSD", "XRP", "USD", True, "COIN", None, "QUOTE_ASSET", True),
    MarketRow("ETHUSDC_PERP.A", "A", "ETHUSDC", "ETH", "USDC", has_long_short_ratio_data=True),
    MarketRow("ETHPERP.6", "6", "ETHPERP", "ETH", "USDC"),
    MarketRow("SOLUSDC_PERP.A", "A", "SOLUSDC", "SOL", "USDC", has_long_short_ratio_data=True),
    MarketRow("BTCUSD.0", "0", "XBTUSD", "XBT", "USD", True, "COIN", None, "QUOTE_ASSET"),
    # an old contract without candles or buy and sell counts
    MarketRow("ATOMUSD.7", "7", "ATOMUSD", "ATOM", "USD", has_ohlcv_data=False, has_buy_sell_data=False),
)
"""Rows for every edge case of the list that is not in REAL_ROWS."""

QUOTE_DENOMINATED = frozenset({"XRPUSDT_PERP.A", "TRUMPUSDT_PERP.A", "MUSDT_PERP.A"})
"""Stablecoin-margined perpetuals whose amounts are in the quote asset."""

EMPTY_OPEN_INTEREST = frozenset({"YZY.H", "USUAL.H", "IP.H"})
"""Hyperliquid contracts with an empty open-interest history."""

SCANNED_SYMBOLS: dict[str, str] = {
    "BINANCE": "BTCUSDT BTCUSD ETHUSDT SOLUSDT XRPUSDT BNBUSDT ADAUSDT LINKUSDT ATOMUSDT 1INCHUSDT 1000BONKUSDT "
    "1000PEPEUSDT 1000XUSDT PUMPBTCUSDT ENAUSDT ZECUSDT TRUMPUSDT FILUSDT",
    "BYBIT": "BTCUSDT BTCPERP BTCUSD ETHUSDT PUMPFUNUSDT 10000000AIDOGEUSDT 10000SATSUSDT DOODUSDT SUIUSDT WIFUSDT",
    "OKX": "BTC-USDT-SWAP ETH-USDT-SWAP PEPE-USDT-SWAP MON-USDT-SWAP DOGE-USDT-SWAP",
    "HYPERLIQUID": "BTCUSDT kPEPEUSDT kBONKUSDT KAITOUSDT AITOUSDT HYPEUSDT FARTCOINUSDT IPUSDT BERAUSDT YZYUSDT "
    "USUALUSDT AVAXUSDT NEARUSDT TAOUSDT",
    "GATE": "PUMP_USDT BTC_USDT RAY_USDT TURBO_USDT",
    "KUCOIN": "XBTUSDTM ATOMUSDTM MUSDTM 4USDTM 1MBABYDOGEUSDTM 1000BONKUSDTM MOODENGUSDTM XMRUSDTM DASHUSDTM "
    "XAUTUSDTM",
    "MEXC": "BTCUSDT PUMPUSDT 龙虾USDT 114514USDT IBMONUSDT USELESSUSDT WBTCUSDT VIRTUALUSDT ASTERUSDT ONDOUSDT",
    "BITGET": "INJUSDT APTUSDT",
}
"""Scanned local symbols by exchange, as candle files name it."""
