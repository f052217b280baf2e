"""Parse the names of candle files, exchange symbols, and the base assets of a market list."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from quant_assets.markets.exchanges import EXCHANGES, Exchange
from quant_assets.markets.rules import ResolutionRules, nfc

TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")

_FORM = "EXCHANGE_SYMBOL_TIMEFRAME.json"
_SEPARATORS = "-_/"
_SUFFIX = re.compile(r"[-_/](?:PERPETUAL|PERP|SWAP)\Z")
_ZEROS = re.compile(r"(10{3,7})(?=\D)(.+)", re.DOTALL)
_DEFAULT_RULES = ResolutionRules()


class CandleNameError(ValueError):
    """A file name without a market and timeframe; the message says why."""


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a candle file's name, in NFC and never empty."""

    exchange: str
    symbol: str
    timeframe: str


@dataclass(frozen=True, slots=True)
class LocalSymbol:
    """The parts of a symbol as an exchange writes it.

    Attributes:
        raw: the symbol as given, in NFC.
        base, quote: the parts as written; the quote is empty if the symbol ends in no known quote.
        multiplier: how many units of the asset one unit of the base is (1000 for 1000BONK).
        asset: the base without its multiplier, aliases applied (BTC for XBT).
        display: the asset with its multiplier in front and the quote behind (BTCUSDT, 1000BONKUSDT).
    """

    raw: str
    base: str
    quote: str
    multiplier: int
    asset: str
    display: str


def parse_file_name(name: str) -> FileName:
    """Parse `EXCHANGE_SYMBOL_TIMEFRAME.json`; the symbol may contain anything, underscores included.

    Raises CandleNameError for a name of another form.
    """
    stem = nfc(name).removesuffix(".json")
    if stem == nfc(name):
        raise CandleNameError(f"the name does not end in .json; a candle file is named {_FORM}")
    exchange, first, rest = stem.partition("_")
    symbol, last, timeframe = rest.rpartition("_")
    if not first or not last:
        raise CandleNameError(f"the name has fewer than two underscores; a candle file is named {_FORM}")
    if timeframe not in TIMEFRAMES:
        raise CandleNameError(f"{timeframe!r} is no timeframe; known are {' '.join(TIMEFRAMES)}")
    if not exchange or not symbol:
        raise CandleNameError(f"the name holds no {'symbol' if exchange else 'exchange'}; expected {_FORM}")
    return FileName(exchange, symbol, timeframe)


def parse_symbol(
    raw: str, exchange: str, rules: ResolutionRules = _DEFAULT_RULES, *, perpetuals: Container[str] = ()
) -> LocalSymbol:
    """Parse a local symbol of an exchange; every text has a result, and nothing is raised.

    `perpetuals` are the assets that have a perpetual in the market list. Returns the first of `symbol_readings` whose
    asset is among them, else the first reading.
    """
    readings = symbol_readings(raw, exchange, rules)
    first = next(readings)
    if first.asset in perpetuals:
        return first
    return next((reading for reading in readings if reading.asset in perpetuals), first)


def symbol_readings(raw: str, exchange: str, rules: ResolutionRules = _DEFAULT_RULES) -> Iterator[LocalSymbol]:
    """Yield every way to parse a local symbol, the longest quote first; at least one.

    Steps: remove a trailing PERPETUAL, PERP or SWAP behind a separator, then all separators, then KuCoin's M behind
    a quote; try each known quote that leaves a base, only those behind a separator if there are any; apply aliases,
    split off the multiplier, apply aliases again.
    """
    raw = nfc(raw)
    exchange_key = rules.exchange_key(exchange)
    joined, separators_at = _join(raw)
    if exchange_key in _WITH_CONTRACT_SUFFIX and joined.endswith("M") and _quotes(joined[:-1], (), rules):
        joined = joined[:-1]
    for quote in _quotes(joined, separators_at, rules) or [""]:
        base = nfc(joined.removesuffix(quote))  # joined letters may compose to one
        multiplier, asset = _split_multiplier(base, exchange_key, rules)
        display = f"{multiplier if multiplier > 1 else ''}{asset}{quote}"
        yield LocalSymbol(raw, base, quote, multiplier, asset, display)


def parse_base(base: str, exchange: str, rules: ResolutionRules = _DEFAULT_RULES) -> tuple[int, str]:
    """Return (multiplier, asset) of a market list's `base_asset`, parsed as the base of a local symbol is."""
    return _split_multiplier(nfc(base), rules.exchange_key(exchange), rules)


def exchange_keys(exchanges: Iterable[Exchange]) -> frozenset[str]:
    """Return the keys of exchanges of the catalogue, as `ResolutionRules.exchange_key` returns them."""
    return frozenset(_DEFAULT_RULES.exchange_key(exchange.name) for exchange in exchanges)


_WITH_CONTRACT_SUFFIX = exchange_keys(exchange for exchange in EXCHANGES if exchange.has_contract_suffix)
_WITH_K_MULTIPLIER = exchange_keys(exchange for exchange in EXCHANGES if exchange.has_k_multiplier)


def without_separators(text: str) -> str:
    """Return text without the separators `-`, `_` and `/`."""
    return text.replace("-", "").replace("_", "").replace("/", "")


def _join(raw: str) -> tuple[str, tuple[int, ...]]:
    """Remove suffix and separators; also return the places in the result where separators were."""
    kept = _SUFFIX.sub("", raw)
    if not kept.strip(_SEPARATORS):  # nothing but the suffix
        kept = raw
    joined = without_separators(kept)
    if not joined:
        return raw, ()
    if len(joined) == len(kept):
        return joined, ()
    separators_at: list[int] = []
    place = 0
    for letter in kept:
        if letter in _SEPARATORS:
            separators_at.append(place)
        else:
            place += 1
    return joined, tuple(separators_at)


def _quotes(joined: str, separators_at: tuple[int, ...], rules: ResolutionRules) -> list[str]:
    """Return the known quotes that may end a symbol, longest first; those behind a separator take precedence."""
    size = len(joined)
    ends = [quote for quote in rules.quotes_longest_first if joined.endswith(quote) and len(quote) < size]
    if separators_at:
        whole = [quote for quote in ends if not any(size - len(quote) < place < size for place in separators_at)]
        ends = [quote for quote in whole if size - len(quote) in separators_at] or whole
    return ends


def _split_multiplier(base: str, exchange_key: str, rules: ResolutionRules) -> tuple[int, str]:
    """Return (multiplier, asset) of a base: 1000BONK → (1000, BONK)."""
    base = rules.alias(base, exchange_key)
    if found := _ZEROS.fullmatch(base):
        return int(found[1]), rules.alias(found[2], exchange_key)
    if base.startswith("1M") and len(base) >= 4:
        return 1_000_000, rules.alias(base[2:], exchange_key)
    has_k = len(base) >= 3 and base[0] == "k" and base[1].isupper() and base[2].isupper()
    if has_k and exchange_key in _WITH_K_MULTIPLIER:
        return 1_000, rules.alias(base[1:], exchange_key)
    return 1, rules.alias(base, exchange_key)
