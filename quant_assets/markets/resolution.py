"""Choose the provider's symbol for each market and dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from quant_assets.markets.candidates import Candidate, Candidates, Query, rank_by_match
from quant_assets.markets.datasets import ResolvedDataset
from quant_assets.markets.market_list import epoch_ms
from quant_assets.markets.rules import ResolutionRules, nfc
from quant_assets.markets.status import MarketStatus
from quant_assets.markets.symbols import LocalSymbol, parse_symbol

NO_LIST = "no market list has been fetched yet"

_MARKET_COLUMNS = (
    *("exchange", "symbol", "base", "quote", "multiplier"),
    *("canonical_symbol", "display_symbol", "status", "reason"),
)
LIST_TIME = "market_list_at_ms"
SOURCE_PARTS = ("symbol", "exchange", "status", "multiplier", "unit")
_DEFAULT_RULES = ResolutionRules()
_NOTHING_EMPTY: Mapping[str, Collection[str]] = {}


@dataclass(frozen=True, slots=True)
class _Match:
    """The candidate for a market or None, the status and reason that follow, and the query that found it."""

    candidate: Candidate | None
    status: MarketStatus
    reason: str
    query: Query


def resolve_markets(
    markets: pd.DataFrame,
    market_list: pd.DataFrame | None,
    *,
    datasets: Sequence[ResolvedDataset],
    now: datetime,
    rules: ResolutionRules = _DEFAULT_RULES,
    empty: Mapping[str, Collection[str]] = _NOTHING_EMPTY,
) -> pd.DataFrame:
    """Return the symbol map: one row for each market, sorted by exchange and symbol.

    Args:
        markets: columns exchange and symbol, as candle files name them; a repeated pair counts once.
        market_list: the provider's market list (`market_list_table`); None or empty makes all markets neutral.
        datasets: what to choose symbols for; the first, open interest, decides a market's status. The registry is
            `quant_assets.derivatives.datasets.ENTRIES`.
        now: markets that expire by then count as delisted; timezone-aware.
        rules: see ResolutionRules.
        empty: for each dataset, symbols that came back empty; the next best market replaces them.

    Columns: exchange, symbol, base, quote, multiplier (of the local symbol, int64), canonical_symbol (the asset),
    display_symbol, status and reason ("" when resolved), both of open interest; and for each dataset D
    D_symbol ("" = none), D_exchange (name of the source, "" = none), D_status (resolved on the market's own exchange,
    aggregated, neutral; for open interest the market's status), D_multiplier (int64, 0 = none), D_unit
    (BASE_ASSET, QUOTE_ASSET, "" = none); market_list_at_ms (float64, NaN = no list).

    A market that is found by its name on its exchange gets the asset of the list's row. If open interest came back
    empty everywhere, the status is neutral and the other datasets keep their sources.
    Raises ValueError for a `now` without a time zone.
    """
    now_ms = epoch_ms(now)
    pairs = sorted({(nfc(str(e)), nfc(str(s))) for e, s in zip(markets["exchange"], markets["symbol"], strict=True)})
    if market_list is not None and len(market_list):
        candidates = Candidates(market_list, now_ms, rules)
        resolver = _Resolver(candidates, datasets, rules, empty)
        rows = [
            resolver.row(exchange, parse_symbol(symbol, exchange, rules, perpetuals=candidates.assets))
            for exchange, symbol in pairs
        ]
        fetched_at = float(market_list["fetched_at_ms"].iloc[0])
    else:
        rows = [
            _neutral_row(exchange, parse_symbol(symbol, exchange, rules), NO_LIST, datasets)
            for exchange, symbol in pairs
        ]
        fetched_at = float("nan")
    return _table(rows, fetched_at, datasets)


class _Resolver:
    def __init__(
        self,
        candidates: Candidates,
        datasets: Sequence[ResolvedDataset],
        rules: ResolutionRules,
        empty: Mapping[str, Collection[str]],
    ) -> None:
        self._candidates = candidates
        self._datasets = datasets
        self._rules = rules
        self._empty = {dataset.name: frozenset(empty.get(dataset.name, ())) for dataset in datasets}

    def row(self, exchange: str, local: LocalSymbol) -> dict[str, Any]:
        """Return the market's row of the symbol map."""
        venue = self._rules.exchange_key(exchange)
        match = self._match(exchange, venue, local)
        if match.candidate is None:
            return _neutral_row(exchange, local, match.reason, self._datasets)
        sources = {
            dataset.name: self._source(dataset, match.candidate, venue, match.query) for dataset in self._datasets
        }
        leading = self._datasets[0].name
        status, reason = _status(match, sources[leading])
        row = _row(exchange, local, match.query.asset, status, reason, sources)
        for dataset, source in sources.items():
            if dataset != leading and source is not None:
                own = source.venue == venue
                row[f"{dataset}_status"] = (MarketStatus.RESOLVED if own else MarketStatus.AGGREGATED).value
        return row

    def _match(self, exchange: str, venue: str, local: LocalSymbol) -> _Match:
        """Return the match of the first tier: own exchange, configured stand-in, reference exchanges, none."""
        query = Query(local.asset, local.quote, local.multiplier)
        if (found := self._best_on_exchange(venue, venue, local)) is not None:
            return _Match(found, MarketStatus.RESOLVED, "", query._replace(asset=found.asset))
        knows = self._candidates.knows(venue)
        why = f"{exchange} has no perpetual of {local.asset}" if knows else f"the market list has no {exchange}"
        stand_in = self._rules.stand_in_keys.get(venue)
        if stand_in is not None:
            source = self._candidates.venue_of(stand_in)
            if not self._candidates.knows(source):
                why = f"{why}, nor its configured stand-in {stand_in}"
            found = self._best_on_exchange(source, venue, local)
            if found is not None:
                reason = f"{why}; {found.exchange_name} is configured to stand in"
                return _Match(found, MarketStatus.AGGREGATED, reason, query._replace(asset=found.asset))
        for candidate in self._candidates.by_reference(query):
            if self._may_serve(candidate, venue, query.asset):
                return _Match(candidate, MarketStatus.AGGREGATED, f"{why}; taken from {candidate.exchange_name}", query)
        reason = f"no perpetual of {local.asset} on any exchange of the market list"
        return _Match(None, MarketStatus.NEUTRAL, reason, query)

    def _best_on_exchange(self, source: str, venue: str, local: LocalSymbol) -> Candidate | None:
        """Return the best candidate on the exchange `source` for a symbol of `venue`: by name, else by asset."""
        named = rank_by_match(self._candidates.named(source, local.raw), local.quote, local.multiplier)
        of_asset = self._candidates.ranked(Query(local.asset, local.quote, local.multiplier))
        found = [*named, *(candidate for candidate in of_asset if candidate.venue == source)]
        return next((candidate for candidate in found if self._may_serve(candidate, venue, local.asset)), None)

    def _source(self, dataset: ResolvedDataset, chosen: Candidate, venue: str, query: Query) -> Candidate | None:
        """Return the candidate that provides a dataset: the match, another of its exchange, or a reference."""
        empty = self._empty[dataset.name]
        if dataset.is_published(chosen) and chosen.symbol not in empty:
            return chosen
        neighbours = (other for other in self._candidates.ranked(query) if other.venue == chosen.venue)
        for candidates in (neighbours, self._candidates.by_reference(query)):
            for other in candidates:
                serves = dataset.is_published(other) and other.symbol not in empty
                if serves and self._may_serve(other, venue, query.asset):
                    return other
        return None

    def _may_serve(self, candidate: Candidate, venue: str, asset: str) -> bool:
        return self._rules.may_match((venue, asset), (candidate.venue, candidate.asset))


def _status(match: _Match, source: Candidate | None) -> tuple[MarketStatus, str]:
    """Return status and reason of open interest: those of the match, unless its open interest came back empty."""
    if source is match.candidate:
        return match.status, match.reason
    empty = f"open interest of {match.candidate.symbol if match.candidate else ''} came back empty"
    if source is None:
        return MarketStatus.NEUTRAL, f"{empty}, and nothing else has it"
    reason = f"{empty}; taken from {source.symbol} on {source.exchange_name}"
    return MarketStatus.AGGREGATED, f"{match.reason}; {reason}" if match.reason else reason


def _neutral_row(exchange: str, local: LocalSymbol, reason: str, datasets: Sequence[ResolvedDataset]) -> dict[str, Any]:
    sources = dict.fromkeys(dataset.name for dataset in datasets)
    return _row(exchange, local, local.asset, MarketStatus.NEUTRAL, reason, sources)


def _row(
    exchange: str,
    local: LocalSymbol,
    asset: str,
    status: MarketStatus,
    reason: str,
    sources: Mapping[str, Candidate | None],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "exchange": exchange,
        "symbol": local.raw,
        "base": local.base,
        "quote": local.quote,
        "multiplier": local.multiplier,
        "canonical_symbol": asset,
        "display_symbol": local.display,
        "status": status.value,
        "reason": reason,
    }
    for position, (dataset, source) in enumerate(sources.items()):
        row[f"{dataset}_symbol"] = source.symbol if source else ""
        row[f"{dataset}_exchange"] = source.exchange_name if source else ""
        row[f"{dataset}_status"] = (status if position == 0 else MarketStatus.NEUTRAL).value
        row[f"{dataset}_multiplier"] = source.multiplier if source else 0
        row[f"{dataset}_unit"] = source.unit if source else ""
    return row


def _table(rows: list[dict[str, Any]], fetched_at_ms: float, datasets: Sequence[ResolvedDataset]) -> pd.DataFrame:
    sources = (f"{dataset.name}_{part}" for dataset in datasets for part in SOURCE_PARTS)
    columns = {name: [row[name] for row in rows] for name in (*_MARKET_COLUMNS, *sources)}
    table = pd.DataFrame(
        {
            name: pd.Series(values, dtype="int64" if name.endswith("multiplier") else "str")
            for name, values in columns.items()
        }
    )
    table[LIST_TIME] = pd.Series([fetched_at_ms] * len(rows), dtype="float64")
    return table
