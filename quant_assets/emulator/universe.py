"""Define a universe: the market list, and the data of each of its contracts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quant_assets.emulator.sources import PlainSource, Source

EXCHANGES: tuple[tuple[str, str], ...] = (
    ("Binance", "A"),
    ("Bybit", "6"),
    ("OKX", "3"),
    ("Hyperliquid", "H"),
    ("BitMEX", "0"),
    ("Deribit", "2"),
    ("Huobi", "4"),
    ("Phemex", "7"),
    ("dYdX", "8"),
    ("Coinbase", "C"),
    ("Bitfinex", "F"),
    ("Kraken", "K"),
    ("Gemini", "G"),
    ("Gate.io", "Y"),
    ("Bitstamp", "B"),
    ("WOO X", "W"),
    ("Poloniex", "P"),
    ("Vertex", "V"),
    ("Bitforex", "D"),
    ("Bithumb", "U"),
    ("BitFlyer", "L"),
    ("BtcMarkets", "M"),
    ("Bit2c", "I"),
    ("MercadoBitcoin", "E"),
    ("Independent Reserve", "N"),
    ("Luno", "J"),
    ("Aster", "S"),
)
"""Names and codes of the exchanges that Coinalyze covers; MEXC, KuCoin and Bitget are not covered."""

DEFAULT_DATASETS = ("open_interest", "funding_rate", "predicted_funding_rate", "liquidations", "ohlcv")
"""Datasets that every contract has by default; only some have long/short ratios."""


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One row of `/future-markets`; `has_long_short_ratio_data` None omits the key."""

    symbol: str
    exchange: str
    symbol_on_exchange: str
    base_asset: str
    quote_asset: str
    is_perpetual: bool = True
    margined: str = "STABLE"
    expire_at: int | None = None
    oi_lq_vol_denominated_in: str = "BASE_ASSET"
    has_long_short_ratio_data: bool | None = False
    has_ohlcv_data: bool = True
    has_buy_sell_data: bool = True

    def body(self) -> dict[str, Any]:
        """Return the row as in the API's response."""
        names = [name for name in self.__slots__ if getattr(self, name) is not None or name == "expire_at"]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Listing:
    """A row with its data; responses omit datasets not in `datasets`, and have no points for those in `empty`."""

    row: MarketRow
    source: Source
    datasets: frozenset[str]
    empty: frozenset[str] = frozenset()

    @property
    def in_quote(self) -> bool:
        """Tell whether open interest and liquidations are amounts of the quote asset."""
        return self.row.oi_lq_vol_denominated_in == "QUOTE_ASSET"

    @classmethod
    def of(cls, row: MarketRow, source: Source, *, empty_open_interest: bool = False) -> Listing:
        """Return the listing of a row: dated futures have no funding, Hyperliquid has no liquidations."""
        datasets = set(DEFAULT_DATASETS)
        if row.has_long_short_ratio_data:
            datasets.add("long_short_ratio")
        if not row.is_perpetual:
            datasets -= {"funding_rate", "predicted_funding_rate"}
        if row.exchange == "H":
            datasets.discard("liquidations")
        return cls(row, source, frozenset(datasets), frozenset({"open_interest"} if empty_open_interest else ()))


@dataclass(frozen=True, slots=True)
class SpotRow:
    """One row of `/spot-markets`."""

    symbol: str
    exchange: str
    symbol_on_exchange: str
    base_asset: str
    quote_asset: str
    has_buy_sell_data: bool = True

    def body(self) -> dict[str, Any]:
        """Return the row as in the API's response."""
        return {name: getattr(self, name) for name in self.__slots__}


SPOT_ROWS = (
    SpotRow("BTCUSDT.A", "A", "BTCUSDT", "BTC", "USDT"),
    SpotRow("sBTCUSDT.6", "6", "BTCUSDT", "BTC", "USDT"),
    SpotRow("BTCUSD.C", "C", "BTC-USD", "BTC", "USD"),
)


@dataclass(frozen=True)
class Universe:
    """What an emulator serves: exchanges, spot rows, and listings by symbol in market list order."""

    listings: Mapping[str, Listing]
    exchanges: tuple[tuple[str, str], ...] = EXCHANGES
    spot: tuple[SpotRow, ...] = field(default=SPOT_ROWS, repr=False)

    @classmethod
    def of(cls, listings: Iterable[Listing]) -> Universe:
        """Return a universe of these listings; the first listing of a symbol wins."""
        by_symbol: dict[str, Listing] = {}
        for listing in listings:
            by_symbol.setdefault(listing.row.symbol, listing)
        return cls(by_symbol)

    @property
    def rows(self) -> tuple[MarketRow, ...]:
        """Return the rows of the market list."""
        return tuple(listing.row for listing in self.listings.values())

    def with_empty(self, dataset: str, symbols: Collection[str]) -> Universe:
        """Return this universe with an empty history of `dataset` for the symbols."""
        changed = {
            symbol: replace(self.listings[symbol], empty=self.listings[symbol].empty | {dataset}) for symbol in symbols
        }
        return replace(self, listings={**self.listings, **changed})

    def without(self, symbols: Collection[str]) -> Universe:
        """Return this universe without the symbols, in the list and in all other responses."""
        remaining = {symbol: listing for symbol, listing in self.listings.items() if symbol not in symbols}
        return replace(self, listings=remaining)


def plain_universe(count: int, seed: int = 0) -> Universe:
    """Return `count` plain perpetuals on Binance, `S0001USDT_PERP.A` and on, each with every dataset.

    Their data come from formulas, so that thousands are cheap to serve.
    """
    listings = []
    for number in range(1, count + 1):
        base = f"S{number:04d}"
        row = MarketRow(f"{base}USDT_PERP.A", "A", f"{base}USDT", base, "USDT", has_long_short_ratio_data=True)
        listings.append(Listing.of(row, PlainSource.of(seed, row.symbol)))
    return Universe.of(listings)
