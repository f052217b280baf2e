"""Load the user's rules for parsing and resolving symbols."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator

from quant_assets.common.toml_config import read_config, validate_config
from quant_assets.markets.exchanges import EXCHANGES

Name = Annotated[str, StringConstraints(min_length=1)]

ANY_EXCHANGE = "*"

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDD", "USDE", "DAI", "USD", "EUR")
_SYNONYMS = {other: exchange.name for exchange in EXCHANGES for other in exchange.other_names}


class RulesError(ValueError):
    """An invalid rules file; the message names the file, the key and what is wrong."""


class ResolutionRules(BaseModel):
    """Rules for parsing symbols and matching markets.

    Exchange names are compared without case, spaces and punctuation; assets with case. Attributes:
        quotes: the known quotes.
        aliases: ticker → asset, for whole bases on every exchange.
        exchange_aliases: exchange name → ticker → asset; takes precedence over `aliases`.
        never_match: pairs of "EXCHANGE:ASSET" that name different coins and are never matched, in either
            direction; `*` as the exchange means every exchange but that of the other end.
        synonyms: other name → name of an exchange as the provider writes it.
        reference_exchanges: names (or codes) of fallback exchanges in order; all others follow by code.
        stand_ins: exchange name → name or code of the exchange to use if it has no market itself.
        without_liquidations: exchanges that publish no liquidations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quotes: tuple[Name, ...] = _QUOTES
    aliases: Mapping[Name, Name] = {"XBT": "BTC"}
    exchange_aliases: Mapping[Name, Mapping[Name, Name]] = {}
    never_match: tuple[tuple[Name, Name], ...] = ()
    synonyms: Mapping[Name, Name] = _SYNONYMS
    reference_exchanges: tuple[Name, ...] = ("Binance", "Bybit", "OKX", "Hyperliquid", "Gate.io")
    stand_ins: Mapping[Name, Name] = {}
    without_liquidations: tuple[Name, ...] = tuple(
        exchange.name for exchange in EXCHANGES if not exchange.publishes_liquidations
    )

    @field_validator("never_match")
    @classmethod
    def _check_pairs(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for end in (end for pair in pairs for end in pair):
            exchange, _, asset = end.partition(":")
            if not exchange or not asset:
                raise ValueError(f"{end!r} is not of the form EXCHANGE:ASSET, such as MEXC:PUMP or *:PUMP")
        return pairs

    @cached_property
    def quotes_longest_first(self) -> tuple[str, ...]:
        """Return the known quotes in the order in which they are tried."""
        return tuple(sorted(map(nfc, self.quotes), key=lambda quote: (-len(quote), quote)))

    @cached_property
    def synonym_keys(self) -> dict[str, str]:
        """Return the synonyms, both sides as normalized names."""
        return {_normalize(name): _normalize(target) for name, target in self.synonyms.items()}

    @cached_property
    def never_match_keys(self) -> frozenset[tuple[tuple[str, str], tuple[str, str]]]:
        """Return the pairs that never match, in both directions, as ((exchange key or "*", asset), the same)."""
        ends = [(self._end(left), self._end(right)) for left, right in self.never_match]
        return frozenset(ends) | {(right, left) for left, right in ends}

    @cached_property
    def alias_keys(self) -> dict[str, dict[str, str]]:
        """Return exchange key → ticker → asset."""
        return {
            self.exchange_key(exchange): {nfc(ticker): nfc(asset) for ticker, asset in aliases.items()}
            for exchange, aliases in self.exchange_aliases.items()
        }

    @cached_property
    def stand_in_keys(self) -> dict[str, str]:
        """Return exchange key → name or code of its stand-in, as configured."""
        return {self.exchange_key(exchange): target for exchange, target in self.stand_ins.items()}

    def exchange_key(self, name: str) -> str:
        """Return the key of an exchange name: without case, spaces and punctuation, synonyms followed."""
        key = _normalize(name)
        for _ in range(len(self.synonym_keys)):  # a synonym may lead to a synonym; the limit ends a cycle
            target = self.synonym_keys.get(key, key)
            if target == key:
                break
            key = target
        return key

    def alias(self, base: str, exchange_key: str) -> str:
        """Return the asset of a base on an exchange: its alias, or the base itself."""
        of_exchange = self.alias_keys.get(exchange_key)
        if of_exchange is not None and base in of_exchange:
            return of_exchange[base]
        return self.aliases.get(base, base)

    def may_match(self, left: tuple[str, str], right: tuple[str, str]) -> bool:
        """Tell whether `never_match` allows two (exchange key, asset) pairs to match."""
        if not self.never_match_keys:
            return True
        lefts, rights = [left], [right]
        if left[0] != right[0]:
            lefts.append((ANY_EXCHANGE, left[1]))
            rights.append((ANY_EXCHANGE, right[1]))
        return not any(pair in self.never_match_keys for pair in product(lefts, rights))

    def _end(self, text: str) -> tuple[str, str]:
        exchange, _, asset = text.partition(":")
        return (exchange if exchange == ANY_EXCHANGE else self.exchange_key(exchange)), nfc(asset)


def load_rules(path: Path) -> ResolutionRules:
    """Read rules from a TOML file whose keys are the attributes of ResolutionRules; the defaults if there is no file.

    `aliases` and `synonyms` add to the defaults (`XBT = "XBT"` removes one); every other key replaces its default.
    Raises RulesError for a file that cannot be read, is not TOML, or has an unknown key or invalid value.
    """
    defaults = ResolutionRules()
    if not os.path.lexists(path):
        return defaults
    given = read_config(path, RulesError)
    for key, table in (("aliases", defaults.aliases), ("synonyms", defaults.synonyms)):
        if isinstance(given.get(key), dict):
            given[key] = {**table, **given[key]}
    return validate_config(given, path, ResolutionRules, RulesError)


def nfc(text: str) -> str:
    """Return text in Unicode NFC, in which names are compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@lru_cache(maxsize=4096)
def _normalize(name: str) -> str:
    return "".join(letter for letter in nfc(nfc(name).casefold()) if letter.isalnum())
