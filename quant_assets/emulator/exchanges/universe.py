"""Build the contracts of all exchanges from one universe, or from a folder of candle files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quant_assets.emulator.contracts import CODES_BY_EXCHANGE
from quant_assets.emulator.derivatives import ContractProfile
from quant_assets.emulator.exchanges.api import ExchangeApi, OtherContract
from quant_assets.emulator.exchanges.bar_source import BarSource, RecordedBars, SimulatedBars
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.registry import APIS
from quant_assets.emulator.noise import hash_fraction, hash_key
from quant_assets.emulator.recorded_universe import read_candles
from quant_assets.emulator.simulated_market import BAR_SECONDS, Candles
from quant_assets.emulator.simulated_universe import (
    DEFAULT_SEED,
    ScannedMarket,
    SimulatedUniverse,
    began_at,
    interest_pct,
    market_of,
    profile_of,
    round_to_digits,
)

_QUOTED = re.compile(r"(?P<base>.+?)(?P<quote>USDT|USDC|USD)\Z", re.DOTALL)
_SECONDS = {"15m": BAR_SECONDS, "4h": 14_400}


@dataclass(frozen=True)
class ExchangeUniverse:
    """The contracts of each exchange, and the universe that they were made from (None for recorded candles)."""

    by_exchange: Mapping[str, tuple[Contract, ...]]
    simulated: SimulatedUniverse | None = field(default=None, repr=False)

    def contracts(self, exchange: str) -> tuple[Contract, ...]:
        """Return the contracts of an exchange, none for one without markets."""
        return self.by_exchange.get(exchange, ())

    def contract(self, exchange: str, symbol: str) -> Contract:
        """Return a contract by the symbol in its candle file's name; raise KeyError."""
        for contract in self.contracts(exchange):
            if contract.symbol == symbol:
                return contract
        raise KeyError(f"{exchange}_{symbol}")


def exchanges_of_universe(universe: SimulatedUniverse) -> ExchangeUniverse:
    """Return every scanned market of a universe as a contract of its exchange, and the odd ones that real lists have.

    The bars of a contract are those that `write_candle_files` writes for its market.
    """
    coinalyze = {
        (listing.row.exchange, listing.row.symbol_on_exchange): symbol for symbol, listing in universe.listings.items()
    }
    by_exchange: dict[str, list[Contract]] = {name: [] for name in APIS}
    for scanned in universe.scanned:
        if scanned.exchange in APIS:
            by_exchange[scanned.exchange].append(_simulated(APIS[scanned.exchange], scanned, universe.seed, coinalyze))
    for name, api in APIS.items():
        taken = {contract.id for contract in by_exchange[name]}
        for other in api.other_contracts:
            if other.id not in taken:
                market = market_of(name, other.asset, other.multiplier)
                profile = profile_of(universe.seed, "", f"{name}:{other.id}", market)
                source = SimulatedBars(universe.seed, market, profile)
                by_exchange[name].append(_other(other, source, market.decimals, market.amount_decimals))
    return ExchangeUniverse({name: tuple(contracts) for name, contracts in by_exchange.items()}, universe)


def exchanges_of_candles(folder: Path, seed: int = DEFAULT_SEED) -> ExchangeUniverse:
    """Return the markets of a folder (EXCHANGE_SYMBOL_15m.json, _4h.json) as contracts of their exchanges.

    The data end where the files end. Files of other exchanges and unreadable ones are skipped. Raises
    FileNotFoundError for a missing folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"Folder not found: {folder}")
    by_exchange: dict[str, list[Contract]] = {name: [] for name in APIS}
    for path in sorted(folder.glob("[!.]*_15m.json")):
        exchange, _, symbol = path.name.removesuffix("_15m.json").partition("_")
        recorded = {
            seconds: candles
            for timeframe, seconds in _SECONDS.items()
            if (candles := read_candles(folder / f"{exchange}_{symbol}_{timeframe}.json")) is not None
        }
        if exchange in APIS and symbol and BAR_SECONDS in recorded:
            by_exchange[exchange].append(_recorded(APIS[exchange], symbol, recorded, seed))
    for name, contracts in by_exchange.items():
        if contracts:
            first = contracts[0]
            taken = {contract.id for contract in contracts}
            contracts.extend(
                _other(other, first.source, first.price_decimals, first.amount_decimals)
                for other in APIS[name].other_contracts
                if other.id not in taken
            )
    return ExchangeUniverse({name: tuple(contracts) for name, contracts in by_exchange.items()})


def split_symbol(exchange: str, symbol: str) -> tuple[str, str]:
    """Return base and quote of a candle file's symbol; USDC for Hyperliquid, USDT where it says nothing."""
    joined = re.sub(r"[-_](?:PERPETUAL|PERP|SWAP)\Z", "", symbol).replace("-", "").replace("_", "")
    if exchange == "KUCOIN":
        joined = joined.removesuffix("M")
    if exchange == "BYBIT" and joined.endswith("PERP"):
        return joined.removesuffix("PERP"), "USDC"
    found = _QUOTED.match(joined)
    base, quote = (found["base"], found["quote"]) if found else (joined, "USDT")
    return base, "USDC" if exchange == "HYPERLIQUID" else quote


def _simulated(
    api: ExchangeApi, scanned: ScannedMarket, seed: int, coinalyze: Mapping[tuple[str, str], str]
) -> Contract:
    base, quote = split_symbol(scanned.exchange, scanned.symbol)
    id_ = api.contract_id(base, quote)
    code = CODES_BY_EXCHANGE.get(scanned.exchange, "")
    key = coinalyze.get((code, id_), f"{scanned.exchange}:{id_}")
    source = SimulatedBars(seed, scanned.market, profile_of(seed, code, key, scanned.market))
    listed = began_at(key) // BAR_SECONDS * BAR_SECONDS
    market = scanned.market
    return _perpetual(api, scanned.symbol, source, market.level, market.decimals, market.amount_decimals, listed)


def _recorded(api: ExchangeApi, symbol: str, recorded: Mapping[int, Candles], seed: int) -> Contract:
    bars = recorded[BAR_SECONDS]
    price = float(bars.c[-1])
    turnover = float(np.mean(bars.v[:50] * bars.c[:50])) + 1000.0
    dollars = turnover * (30.0 + 60.0 * hash_fraction(seed, "open interest", api.name, symbol))
    decimals = min(12, max(_decimals(close) for close in bars.c[-50:].tolist()))
    amount_decimals = int(np.clip(np.floor(np.log10(price)) + 1, 0, 3))
    profile = ContractProfile(
        hash_key(seed, "contract", api.name, symbol),
        round_to_digits(dollars / price),
        decimals=amount_decimals,
        interest_pct=interest_pct(CODES_BY_EXCHANGE.get(api.name, ""), seed, symbol),
    )
    source = RecordedBars(recorded, profile)
    listed = min(int(candles.t[0]) for candles in recorded.values())
    return _perpetual(api, symbol, source, price, decimals, amount_decimals, listed)


def _perpetual(
    api: ExchangeApi,
    symbol: str,
    source: BarSource,
    level: float,
    price_decimals: int,
    amount_decimals: int,
    listed: int,
) -> Contract:
    base, quote = split_symbol(api.name, symbol)
    id_ = api.contract_id(base, quote)
    inverse = quote == "USD"
    hours = api.funding_hours[hash_key("funding hours", api.name, id_) % len(api.funding_hours)]
    return Contract(
        id=id_,
        symbol=symbol,
        base=base,
        quote=quote,
        settle=base if inverse else quote,
        size=_size(api, id_, level, amount_decimals, inverse=inverse),
        price_decimals=price_decimals,
        amount_decimals=amount_decimals,
        source=source,
        listed=listed,
        inverse=inverse,
        funding_hours=hours,
    )


def _size(api: ExchangeApi, id_: str, level: float, amount_decimals: int, *, inverse: bool) -> float:
    """Return the base units of a contract: a power of ten, so that volumes in contracts keep every digit."""
    if inverse or not api.counts_contracts:
        return 1.0
    if level >= 0.1:
        return float(f"1e-{amount_decimals}")
    return float((1, 10, 100, 1000)[hash_key("contract size", api.name, id_) % 4])


def _other(other: OtherContract, source: BarSource, price_decimals: int, amount_decimals: int) -> Contract:
    return Contract(
        id=other.id,
        base=other.base,
        quote=other.quote,
        settle=other.settle,
        size=other.size,
        price_decimals=price_decimals,
        amount_decimals=amount_decimals,
        source=source,
        listed=other.listed,
        expires=other.expires,
        delisted=other.delisted,
        inverse=other.inverse,
    )


def _decimals(value: float) -> int:
    text = f"{value:.12f}".rstrip("0")
    return len(text.partition(".")[2])
