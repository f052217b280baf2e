"""What a person may configure about reading and resolving symbols, and the defaults."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator

from quant_assets.common.toml_config import read_config, validate_config

Name = Annotated[str, StringConstraints(min_length=1)]

ANY_EXCHANGE = "*"

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDD", "USDE", "DAI", "USD", "EUR")
_SYNONYMS = {
    "GATE": "Gate.io",
    "GATEIO": "Gate.io",
    "HTX": "Huobi",
    "OKEX": "OKX",
    "WOO": "WOO X",
    "HL": "Hyperliquid",
    "ASTERDEX": "Aster",
    "BINANCEFUTURES": "Binance",
    "BINANCEUSDM": "Binance",
    "COINBASEINTERNATIONAL": "Coinbase",
    "KRAKENFUTURES": "Kraken",
    "KUCOINFUTURES": "KuCoin",
}


class RulesError(ValueError):
    """A rules file that cannot be used; the message names the file, the key and what is wrong with it."""


class ResolutionRules(BaseModel):
    """How symbols are read and which market may serve which.

    Exchange names are compared without case, spaces and punctuation; assets with case. Attributes:
        quotes: the known quotes.
        aliases: ticker → asset, for whole bases on every exchange.
        exchange_aliases: exchange name → ticker → asset; asked before `aliases`.
        never_match: pairs of "EXCHANGE:ASSET" that name different coins and never serve one another, either
            way round; `*` for an exchange means every exchange but that of the other end.
        synonyms: other name → name of an exchange as the provider writes it.
        reference_exchanges: names (or codes) in the order in which they stand in; all others follow by code.
        stand_ins: exchange name → name or code of the exchange to use where it has no market itself.
        without_liquidations: exchanges that are known to publish no liquidations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quotes: tuple[Name, ...] = _QUOTES
    aliases: Mapping[Name, Name] = {"XBT": "BTC"}
    exchange_aliases: Mapping[Name, Mapping[Name, Name]] = {}
    never_match: tuple[tuple[Name, Name], ...] = ()
    synonyms: Mapping[Name, Name] = _SYNONYMS
    reference_exchanges: tuple[Name, ...] = ("Binance", "Bybit", "OKX", "Hyperliquid", "Gate.io")
    stand_ins: Mapping[Name, Name] = {}
    without_liquidations: tuple[Name, ...] = ("Hyperliquid",)

    @field_validator("never_match")
    @classmethod
    def _ends_name_an_exchange(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for end in (end for pair in pairs for end in pair):
            exchange, _, asset = end.partition(":")
            if not exchange or not asset:
                raise ValueError(f"{end!r} is not of the form EXCHANGE:ASSET, such as MEXC:PUMP or *:PUMP")
        return pairs

    @cached_property
    def quotes_longest_first(self) -> tuple[str, ...]:
        """The known quotes in the order in which they are tried."""
        return tuple(sorted(map(nfc, self.quotes), key=lambda quote: (-len(quote), quote)))

    @cached_property
    def synonym_keys(self) -> dict[str, str]:
        """The synonyms, both sides as bare keys."""
        return {_bare(name): _bare(target) for name, target in self.synonyms.items()}

    @cached_property
    def never_match_keys(self) -> frozenset[tuple[tuple[str, str], tuple[str, str]]]:
        """The pairs that never match, both ways round, as ((exchange key or "*", asset), the same)."""
        ends = [(self._end(left), self._end(right)) for left, right in self.never_match]
        return frozenset(ends) | {(right, left) for left, right in ends}

    @cached_property
    def alias_keys(self) -> dict[str, dict[str, str]]:
        """Exchange key → ticker → asset."""
        return {
            self.exchange_key(exchange): {nfc(ticker): nfc(asset) for ticker, asset in aliases.items()}
            for exchange, aliases in self.exchange_aliases.items()
        }

    @cached_property
    def stand_in_keys(self) -> dict[str, str]:
        """Exchange key → name or code of its stand-in, as configured."""
        return {self.exchange_key(exchange): target for exchange, target in self.stand_ins.items()}

    def exchange_key(self, name: str) -> str:
        """Return what names of one exchange have in common: no case, spaces or punctuation, synonyms followed."""
        key = _bare(name)
        for _ in range(len(self.synonym_keys)):  # a synonym of a synonym; never longer than the table
            target = self.synonym_keys.get(key, key)
            if target == key:
                break
            key = target
        return key

    def alias(self, base: str, exchange_key: str) -> str:
        """Return the asset that a whole base names on an exchange; most name themselves."""
        of_exchange = self.alias_keys.get(exchange_key)
        if of_exchange is not None and base in of_exchange:
            return of_exchange[base]
        return self.aliases.get(base, base)

    def may_match(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Tell whether two (exchange key, asset) may be the same coin, as far as `never_match` knows."""
        if not self.never_match_keys:
            return True
        ones, others = [one], [other]
        if one[0] != other[0]:
            ones.append((ANY_EXCHANGE, one[1]))
            others.append((ANY_EXCHANGE, other[1]))
        return not any((left, right) in self.never_match_keys for left in ones for right in others)

    def _end(self, text: str) -> tuple[str, str]:
        exchange, _, asset = text.partition(":")
        return (exchange if exchange == ANY_EXCHANGE else self.exchange_key(exchange)), nfc(asset)


def load_rules(path: Path) -> ResolutionRules:
    """Read rules from a TOML file whose keys are the attributes of ResolutionRules.

    `aliases` and `synonyms` add to the defaults (`XBT = "XBT"` takes one back); every other key replaces its
    default. Raises RulesError for a file that cannot be read, is no TOML, or holds an unknown or wrong key.
    """
    given = read_config(path, RulesError)
    defaults = ResolutionRules()
    for key, table in (("aliases", defaults.aliases), ("synonyms", defaults.synonyms)):
        if isinstance(given.get(key), dict):
            given[key] = {**table, **given[key]}
    return validate_config(given, path, ResolutionRules, RulesError)


def rules_from(path: Path) -> ResolutionRules:
    """Read the user's rules as `load_rules` does; the defaults where there is no such file."""
    return load_rules(path) if os.path.lexists(path) else ResolutionRules()


def nfc(text: str) -> str:
    """Return text in Unicode NFC, the form in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def _bare(name: str) -> str:
    return "".join(letter for letter in nfc(nfc(name).casefold()) if letter.isalnum())
