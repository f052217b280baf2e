"""Build the simulated universe: every contract of the catalogue, with data of the simulated market."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor, log10

from quant_assets.emulator import catalogue
from quant_assets.emulator.contracts import EXCHANGES_BY_CODE, asset_of_base, asset_of_local_symbol, contract_row
from quant_assets.emulator.derivatives import ContractProfile
from quant_assets.emulator.generated_assets import generate_assets, spread_symbols
from quant_assets.emulator.noise import hash_fraction, hash_key
from quant_assets.emulator.simulated_market import BAR_SECONDS, SimulatedMarket
from quant_assets.emulator.sources import SimulatedSource
from quant_assets.emulator.universe import Listing, MarketRow, Universe

DEFAULT_SEED = 7
_OLDEST = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp())
_AGES_SECONDS = 180 * 86400  # contracts start within this span after the oldest
_TURNOVER_BY_CODE = {"A": 1.0, "6": 0.5, "3": 0.3, "H": 0.25, "Y": 0.12}
_INTEREST_PCT = {"H": 0.00125, "K": 0.001, "C": 0.001}


@dataclass(frozen=True, slots=True)
class ScannedMarket:
    """A market with candle files, and its exchange and symbol as the file names have them."""

    exchange: str
    symbol: str
    market: SimulatedMarket


@dataclass(frozen=True)
class SimulatedUniverse(Universe):
    """A universe on the simulated market, with its scanned markets and its seed."""

    seed: int = DEFAULT_SEED
    scanned: tuple[ScannedMarket, ...] = ()


def simulated_universe(seed: int = DEFAULT_SEED, *, markets: int = 0) -> SimulatedUniverse:
    """Return the universe of the demo: 73 scanned markets on eight exchanges and some 170 contracts.

    It has every known edge case of the market list: see catalogue.py. With `markets`, invented assets are added until
    about so many markets are scanned, spread as in generated_assets.py.
    """
    symbols = {exchange: named.split() for exchange, named in catalogue.SCANNED_SYMBOLS.items()}
    invented: dict[str, catalogue.Asset] = {}
    if markets:
        invented = generate_assets(markets, seed, catalogue.ASSETS)
        known = Counter({exchange: len(named) for exchange, named in symbols.items()})
        added = spread_symbols(invented, known, markets)
        symbols = {exchange: [*named, *added[exchange]] for exchange, named in symbols.items()}
        invented = _used_assets(invented, symbols)
    assets = {**catalogue.ASSETS, **invented}
    listings = Universe.of(
        Listing.of(row, _source(seed, row, assets), empty_open_interest=row.symbol in catalogue.EMPTY_OPEN_INTEREST)
        for row in _rows(invented)
    ).listings
    scanned = tuple(
        ScannedMarket(exchange, symbol, market_of(exchange, *asset_of_local_symbol(exchange, symbol), assets))
        for exchange, named in symbols.items()
        for symbol in named
    )
    return SimulatedUniverse(listings, seed=seed, scanned=scanned)


def _used_assets(assets: Mapping[str, catalogue.Asset], symbols: Mapping[str, list[str]]) -> dict[str, catalogue.Asset]:
    """Return the assets that have a symbol."""
    used = {asset_of_local_symbol(exchange, symbol)[0] for exchange, named in symbols.items() for symbol in named}
    return {name: asset for name, asset in assets.items() if name in used}


def _rows(invented: Mapping[str, catalogue.Asset]) -> Iterator[MarketRow]:
    yield from catalogue.REAL_ROWS
    for name, asset in {**catalogue.ASSETS, **invented}.items():
        for code in asset.listed_on:
            row = contract_row(code, name, asset.multiplied)
            if row.symbol in catalogue.QUOTE_DENOMINATED:
                row = contract_row(code, name, asset.multiplied, in_quote=True)
            yield row
    yield from catalogue.EDGE_CASE_ROWS


def market_of(
    exchange: str, asset_name: str, multiplier: int, assets: Mapping[str, catalogue.Asset] = catalogue.ASSETS
) -> SimulatedMarket:
    """Return the simulated market of an asset on an exchange, for `multiplier` units of it."""
    asset = assets[asset_name]
    share = next((part for code, part in _TURNOVER_BY_CODE.items() if EXCHANGES_BY_CODE[code] == exchange), 0.08)
    return SimulatedMarket(
        exchange, asset_name, asset.price * multiplier, asset.volatility, asset.turnover * share, _beta(asset_name)
    )


def _beta(asset: str) -> float:
    """Return an asset's exposure to the common factor: 0.8 for bitcoin, almost none for gold and stocks."""
    fixed = {"BTC": 0.8, "WBTC": 0.8, "XAUT": 0.05, "IBMON": 0.1}
    return fixed.get(asset, 0.7 + 0.9 * hash_fraction("beta", asset))


def _source(seed: int, row: MarketRow, assets: Mapping[str, catalogue.Asset]) -> SimulatedSource:
    asset, multiplier = asset_of_base(row.base_asset, on_hyperliquid=row.exchange == "H")
    market = market_of(EXCHANGES_BY_CODE.get(row.exchange, row.exchange), asset, multiplier, assets)
    in_quote = row.oi_lq_vol_denominated_in == "QUOTE_ASSET"
    profile = profile_of(seed, row.exchange, row.symbol, market, in_quote=in_quote)
    began = began_at(row.symbol)
    ends = None if row.expire_at is None else row.expire_at // 1000
    begins = min(began, (ends or began + 1) - 90 * 86400) // BAR_SECONDS * BAR_SECONDS
    return SimulatedSource(seed, market, profile, begins, ends)


def profile_of(
    seed: int, code: str, symbol: str, market: SimulatedMarket, *, in_quote: bool = False
) -> ContractProfile:
    """Return what the derivatives of a contract depend on, besides its candles."""
    dollars = market.turnover * (25.0 + 40.0 * hash_fraction(seed, "open interest", symbol))
    return ContractProfile(
        hash_key(seed, "contract", symbol),
        round_to_digits(dollars / market.level),
        in_quote,
        0 if in_quote else market.amount_decimals,
        interest_pct(code, seed, symbol),
    )


def began_at(symbol: str) -> int:
    """Return when a contract began, UNIX seconds."""
    return _OLDEST + int(hash_fraction("began", symbol) * _AGES_SECONDS)


def interest_pct(code: str, seed: int, symbol: str) -> float:
    """Return the interest part of a funding rate in percent, as usual on the exchange."""
    return _INTEREST_PCT.get(code, 0.01 if hash_fraction(seed, "interest", symbol) < 0.5 else 0.005)


def round_to_digits(value: float, digits: int = 6) -> float:
    """Round to significant digits."""
    return round(value, digits - 1 - floor(log10(value)))
