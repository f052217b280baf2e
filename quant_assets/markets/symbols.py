"""Reading names: a candle file's name, and a local symbol or a list row's base."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from quant_assets.markets.rules import ResolutionRules, nfc

TIMEFRAMES = ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")

_FORM = "EXCHANGE_SYMBOL_TIMEFRAME.json"
_SEPARATORS = "-_/"
_SUFFIX = re.compile(r"[-_/](?:PERPETUAL|PERP|SWAP)\Z")
_ZEROS = re.compile(r"(10{3,7})(?=\D)(.+)", re.DOTALL)
_KUCOIN = "kucoin"
_HYPERLIQUID = "hyperliquid"
_DEFAULT_RULES = ResolutionRules()


class CandleNameError(ValueError):
    """A file name that names no market and timeframe; the message says why."""


@dataclass(frozen=True, slots=True)
class FileName:
    """What a candle file's name says; all three in NFC, none of them empty."""

    exchange: str
    symbol: str
    timeframe: str


@dataclass(frozen=True, slots=True)
class LocalSymbol:
    """A symbol as an exchange writes it, taken apart.

    Attributes:
        raw: the symbol as given, in NFC.
        base, quote: the parts as written; the quote is empty where no known one ends the symbol.
        multiplier: how many units of the asset one unit of the base is (1000 for 1000BONK).
        asset: the base without its multiplier, aliases followed (BTC for XBT).
        display: the asset with its multiplier in front and the quote behind (BTCUSDT, 1000BONKUSDT).
    """

    raw: str
    base: str
    quote: str
    multiplier: int
    asset: str
    display: str


def parse_file_name(name: str) -> FileName:
    """Read `EXCHANGE_SYMBOL_TIMEFRAME.json`; the symbol may hold anything, underscores included.

    Raises CandleNameError, whose message is the reason, for a name of another form.
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
    """Take a local symbol of an exchange apart; any text has a result, and nothing is raised.

    `perpetuals` are the assets that the market list has a perpetual of. Of several readings (see `symbol_readings`)
    the first whose asset is among them is taken, and the first of all where none is.
    """
    readings = symbol_readings(raw, exchange, rules)
    longest = next(readings)
    if longest.asset in perpetuals:
        return longest
    return next((reading for reading in readings if reading.asset in perpetuals), longest)


def symbol_readings(raw: str, exchange: str, rules: ResolutionRules = _DEFAULT_RULES) -> Iterator[LocalSymbol]:
    """Give every way to take a local symbol apart, the longest quote first; there is one at least.

    Steps: a trailing PERPETUAL, PERP or SWAP behind a separator goes, then the separators; KuCoin's M behind a
    quote; each known quote that leaves a base, that behind a separator alone where one stood in front of a known
    quote; aliases, multiplier, aliases again.
    """
    raw = nfc(raw)
    venue = rules.exchange_key(exchange)
    joined, breaks = _join(raw)
    if venue == _KUCOIN and joined.endswith("M") and _quotes(joined[:-1], (), rules):
        joined = joined[:-1]
    for quote in _quotes(joined, breaks, rules) or [""]:
        base = nfc(joined.removesuffix(quote))  # letters that a separator kept apart may be one now
        multiplier, asset = _multiplied(base, venue, rules)
        display = f"{multiplier if multiplier > 1 else ''}{asset}{quote}"
        yield LocalSymbol(raw, base, quote, multiplier, asset, display)


def parse_base(base: str, exchange: str, rules: ResolutionRules = _DEFAULT_RULES) -> tuple[int, str]:
    """Read the `base_asset` of a list row on an exchange: (multiplier, asset), as for a local symbol's base."""
    return _multiplied(nfc(base), rules.exchange_key(exchange), rules)


def without_separators(text: str) -> str:
    """Return text without the separators `-`, `_` and `/`."""
    return text.replace("-", "").replace("_", "").replace("/", "")


def _join(raw: str) -> tuple[str, tuple[int, ...]]:
    """Drop suffix and separators; also say at which places of the result separators stood."""
    kept = _SUFFIX.sub("", raw)
    if not kept.strip(_SEPARATORS):  # the suffix is all there is
        kept = raw
    joined = without_separators(kept)
    if not joined:
        return raw, ()
    if len(joined) == len(kept):
        return joined, ()
    breaks: list[int] = []
    place = 0
    for letter in kept:
        if letter in _SEPARATORS:
            breaks.append(place)
        else:
            place += 1
    return joined, tuple(breaks)


def _quotes(joined: str, breaks: tuple[int, ...], rules: ResolutionRules) -> list[str]:
    """Return the known quotes that may end a symbol, longest first; a separator in front of one decides."""
    size = len(joined)
    ends = [quote for quote in rules.quotes_longest_first if joined.endswith(quote) and len(quote) < size]
    if breaks:
        whole = [quote for quote in ends if not any(size - len(quote) < place < size for place in breaks)]
        ends = [quote for quote in whole if size - len(quote) in breaks] or whole
    return ends


def _multiplied(base: str, venue: str, rules: ResolutionRules) -> tuple[int, str]:
    base = rules.alias(base, venue)
    if found := _ZEROS.fullmatch(base):
        return int(found[1]), rules.alias(found[2], venue)
    if base.startswith("1M") and len(base) >= 4:
        return 1_000_000, rules.alias(base[2:], venue)
    if venue == _HYPERLIQUID and len(base) >= 3 and base[0] == "k" and base[1].isupper() and base[2].isupper():
        return 1_000, rules.alias(base[1:], venue)
    return 1, rules.alias(base, venue)
