"""Index the perpetuals of a market list by asset and by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from quant_assets.markets.rules import ResolutionRules, nfc
from quant_assets.markets.symbols import parse_base, without_separators

_QUOTE_ORDER = {"USDT": 1, "USDC": 2, "USD": 3}
_OTHER_QUOTE = 4


class Candidate(NamedTuple):
    """A perpetual that is not delisted; `venue` is the exchange's key, `asset` comes from its base by the rules."""

    symbol: str
    code: str
    exchange_name: str
    venue: str
    on_exchange: str
    asset: str
    multiplier: int
    quote: str
    stable: bool
    unit: str
    has_long_short_ratio: bool
    has_liquidations: bool


class Query(NamedTuple):
    """What to look for: candidates of an asset, those with the same quote and multiplier first."""

    asset: str
    quote: str
    multiplier: int


class Candidates:
    """The perpetuals of a market list that are listed at a time.

    `table` has the columns of `market_list_table`; `now_ms` is in epoch ms.
    """

    def __init__(self, table: pd.DataFrame, now_ms: int, rules: ResolutionRules) -> None:
        self._rules = rules
        self._codes: dict[str, str] = {}
        self._venues: dict[str, str] = {}
        self._by_asset: dict[str, list[Candidate]] = defaultdict(list)
        self._by_name: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
        self._by_loose_name: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
        for code, name in table[["exchange", "exchange_name"]].drop_duplicates().itertuples(index=False, name=None):
            venue = rules.exchange_key(name)
            self._codes[code] = venue
            self._venues.setdefault(venue, name)
        for candidate in _listed_perpetuals(table, now_ms, rules):
            self._by_asset[candidate.asset].append(candidate)
            if candidate.on_exchange:
                self._by_name[candidate.venue, candidate.on_exchange].append(candidate)
            if loose := _loose(candidate.on_exchange):
                self._by_loose_name[candidate.venue, loose].append(candidate)
        references = [self.venue_of(reference) for reference in rules.reference_exchanges]
        self._reference_rank = {venue: rank for rank, venue in reversed(list(enumerate(references)))}
        self._ranked: dict[Query, list[Candidate]] = {}
        self._by_reference: dict[Query, list[Candidate]] = {}

    @property
    def assets(self) -> Collection[str]:
        """The assets that have a candidate on any exchange."""
        return self._by_asset.keys()

    def knows(self, venue: str) -> bool:
        """Tell whether the list has an exchange with this key, delisted markets included."""
        return venue in self._venues

    def venue_of(self, name_or_code: str) -> str:
        """Return the key of the exchange with this name or code."""
        return self._codes.get(name_or_code) or self._rules.exchange_key(name_or_code)

    def named(self, venue: str, raw: str) -> list[Candidate]:
        """Return the candidates that the exchange calls `raw`: exactly, else without separators and case."""
        return self._by_name.get((venue, raw)) or self._by_loose_name.get((venue, _loose(raw)), [])

    def ranked(self, query: Query) -> list[Candidate]:
        """Return all candidates of the asset, the best match first, without regard to their exchange.

        Sorted by margin (stablecoin first); quote (the same one, USDT, USDC, USD, any other); multiplier (the same
        one first); symbol in UTF-8 byte order.
        """
        found = self._ranked.get(query)
        if found is None:
            found = sorted(self._by_asset.get(query.asset, []), key=lambda candidate: _order(candidate, query))
            self._ranked[query] = found
        return found

    def by_reference(self, query: Query) -> list[Candidate]:
        """Return all candidates of the asset, those of reference exchanges first.

        Sorted by margin (stablecoin first); exchange (references in their configured order, then the others by
        code); then as in `ranked`.
        """
        found = self._by_reference.get(query)
        if found is None:
            others = len(self._reference_rank) + len(self._rules.reference_exchanges)
            found = sorted(
                self.ranked(query),
                key=lambda candidate: (
                    not candidate.stable,
                    self._reference_rank.get(candidate.venue, others),
                    candidate.code if candidate.venue not in self._reference_rank else "",
                ),
            )
            self._by_reference[query] = found
        return found


def rank_by_match(found: list[Candidate], quote: str, multiplier: int) -> list[Candidate]:
    """Return the candidates in the order of `Candidates.ranked`, each compared with its own asset."""
    return sorted(found, key=lambda candidate: _order(candidate, Query(candidate.asset, quote, multiplier)))


def _order(candidate: Candidate, query: Query) -> tuple[bool, int, bool, str]:
    quote = candidate.quote
    rank = 0 if quote == query.quote else _QUOTE_ORDER.get(quote, _OTHER_QUOTE)
    return (not candidate.stable, rank, candidate.multiplier != query.multiplier, candidate.symbol)


def _loose(name: str) -> str:
    """Return a name without separators and case."""
    return without_separators(name).casefold()


def _listed_perpetuals(table: pd.DataFrame, now_ms: int, rules: ResolutionRules) -> list[Candidate]:
    expire_at = table["expire_at_ms"].to_numpy(dtype=np.float64)
    listed = table["is_perpetual"].to_numpy(dtype=bool) & ~(expire_at <= now_ms)
    rows = table[listed]
    without_liquidations = {rules.exchange_key(name) for name in rules.without_liquidations}
    candidates = []
    for symbol, code, name, on_exchange, base, quote, margined, unit, has_ratio in zip(
        rows["symbol"].tolist(),
        rows["exchange"].tolist(),
        rows["exchange_name"].tolist(),
        rows["symbol_on_exchange"].tolist(),
        rows["base_asset"].tolist(),
        rows["quote_asset"].tolist(),
        rows["margined"].tolist(),
        rows["oi_lq_vol_denominated_in"].tolist(),
        rows["has_long_short_ratio_data"].tolist(),
        strict=True,
    ):
        venue = rules.exchange_key(name)
        multiplier, asset = parse_base(base, name, rules)
        candidates.append(
            Candidate(
                symbol=symbol,
                code=code,
                exchange_name=name,
                venue=venue,
                on_exchange=nfc(on_exchange),
                asset=asset,
                multiplier=multiplier,
                quote=nfc(quote),
                stable=margined == "STABLE",
                unit=unit,
                has_long_short_ratio=has_ratio,
                has_liquidations=venue not in without_liquidations,
            )
        )
    return candidates
