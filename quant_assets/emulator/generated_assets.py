"""Invent assets for a universe of a thousand markets, and spread them over the exchanges."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quant_assets.emulator.catalogue import Asset
from quant_assets.emulator.contracts import CODES_BY_EXCHANGE, multiplied_base
from quant_assets.emulator.noise import hash_fraction, hash_key

MARKETS_BY_EXCHANGE = {
    "BINANCE": 190,
    "BYBIT": 160,
    "OKX": 90,
    "HYPERLIQUID": 290,
    "GATE": 70,
    "KUCOIN": 110,
    "MEXC": 130,
    "BITGET": 60,
}
"""How 1,100 scanned markets are spread."""

_CONSONANTS, _VOWELS = "BDFGKLMNPRSTVZ", "AEIOU"
_SYMBOLS = {"OKX": "{}-USDT-SWAP", "GATE": "{}_USDT", "KUCOIN": "{}USDTM"}


def generate_assets(count: int, seed: int, taken: Collection[str]) -> dict[str, Asset]:
    """Return `count` assets by invented names of four or five letters, none of them taken.

    Prices run from 0.0005 to 500, and most of the markets trade over a million dollars a day. Cheap assets have a
    multiplier of 1,000.
    """
    assets: dict[str, Asset] = {}
    number = 0
    while len(assets) < count:
        name = _name(hash_key(seed, "name", number), with_end=number % 2 == 1)
        number += 1
        if name in taken or name in assets:
            continue
        price = 5e-4 * 10 ** (6 * hash_fraction(seed, "price", name))
        turnover = 1.5e5 * 10 ** (1.8 * hash_fraction(seed, "turnover", name) ** 2)
        volatility = 0.003 + 0.005 * hash_fraction(seed, "volatility", name)
        listed_on = "".join(
            code for code in CODES_BY_EXCHANGE.values() if hash_fraction(seed, "listed", code, name) < 0.6
        )
        digits = float(f"{price:.3g}")
        assets[name] = Asset(digits, volatility, turnover, listed_on, 1000 if digits < 0.002 else 1)
    return assets


def spread_symbols(assets: Mapping[str, Asset], known: Mapping[str, int], markets: int) -> dict[str, list[str]]:
    """Return symbols of new markets by exchange, as candle files name them, until there are `markets` in all.

    `known` is how many markets each exchange has already; each exchange gets its part of MARKETS_BY_EXCHANGE.
    Raises ValueError if the assets do not suffice.
    """
    total = sum(MARKETS_BY_EXCHANGE.values())
    spread: dict[str, list[str]] = {}
    for exchange, part in MARKETS_BY_EXCHANGE.items():
        missing = max(0, round(part * markets / total) - known.get(exchange, 0))
        code = CODES_BY_EXCHANGE.get(exchange)
        names = [name for name, asset in assets.items() if code is None or code in asset.listed_on]
        if len(names) < missing:
            raise ValueError(f"{len(names)} assets are too few for {missing} markets on {exchange}")
        form = _SYMBOLS.get(exchange, "{}USDT")
        spread[exchange] = [
            form.format(multiplied_base(code or "", name, assets[name].multiplied)) for name in names[:missing]
        ]
    return spread


def _name(key: int, *, with_end: bool) -> str:
    letters = []
    for part in (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, *([_CONSONANTS] if with_end else [])):
        key, place = divmod(key, len(part))
        letters.append(part[place])
    return "".join(letters)
