"""Which Coinalyze symbol serves a market, for each dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from quant_assets.markets.candidates import Candidate, Candidates, Wanted, best_named
from quant_assets.markets.datasets import DATASETS, Dataset
from quant_assets.markets.market_list import epoch_ms
from quant_assets.markets.rules import ResolutionRules, nfc
from quant_assets.markets.symbols import LocalSymbol, parse_symbol

RESOLVED = "resolved"
AGGREGATED = "aggregated"
NEUTRAL = "neutral"

NO_LIST = "no market list has been had yet"

_COLUMNS = (
    *("exchange", "symbol", "base", "quote", "multiplier", "canonical_symbol", "display_symbol", "status", "reason"),
    *(f"{dataset}_{part}" for dataset in DATASETS for part in ("symbol", "exchange", "status", "multiplier", "unit")),
)
_DEFAULT_RULES = ResolutionRules()
_NOTHING_EMPTY: Mapping[str, Collection[str]] = {}


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the tiers give: a market or none, the status and reason that follow, and what was looked for."""

    candidate: Candidate | None
    status: str
    reason: str
    wanted: Wanted


def resolve_markets(
    markets: pd.DataFrame,
    market_list: pd.DataFrame | None,
    *,
    now: datetime,
    rules: ResolutionRules = _DEFAULT_RULES,
    empty: Mapping[str, Collection[str]] = _NOTHING_EMPTY,
) -> pd.DataFrame:
    """Resolve every market; return one row for each, sorted by exchange and symbol.

    Args:
        markets: columns exchange and symbol, as candle files name them; a repeated pair counts once.
        market_list: the coinalyze_markets table, or None where none was ever had (all are neutral then).
        now: what has expired by then is delisted; timezone-aware.
        rules: see ResolutionRules.
        empty: for each dataset, Coinalyze symbols that came back empty; the next best market stands in.

    Columns: exchange, symbol, base, quote, multiplier (of the local symbol, int64), canonical_symbol (the asset),
    display_symbol, status and reason ("" when resolved), which speak of open interest; and for each dataset D
    D_symbol ("" = none), D_exchange (name of the source, "" = none), D_status (resolved on the market's own exchange,
    aggregated, neutral; for open interest the market's status), D_multiplier (int64, 0 = none), D_unit
    (BASE_ASSET, QUOTE_ASSET, "" = none); market_list_at_ms (float64, NaN = no list).

    Where a market is found by its name on its exchange, the asset is that of the list's row. Where open interest
    came back empty everywhere the status is neutral, while the other datasets keep their sources.
    Raises ValueError for a `now` without a time zone.
    """
    now_ms = epoch_ms(now)
    pairs = sorted({(nfc(str(e)), nfc(str(s))) for e, s in zip(markets["exchange"], markets["symbol"], strict=True)})
    if market_list is not None and len(market_list):
        candidates = Candidates(market_list, now_ms, rules)
        resolver = _Resolver(candidates, rules, empty)
        rows = [
            resolver.row(exchange, parse_symbol(symbol, exchange, rules, perpetuals=candidates.assets))
            for exchange, symbol in pairs
        ]
        fetched_at = float(market_list["fetched_at_ms"].iloc[0])
    else:
        rows = [_neutral_row(exchange, parse_symbol(symbol, exchange, rules), NO_LIST) for exchange, symbol in pairs]
        fetched_at = float("nan")
    return _table(rows, fetched_at)


class _Resolver:
    def __init__(self, candidates: Candidates, rules: ResolutionRules, empty: Mapping[str, Collection[str]]) -> None:
        self._candidates = candidates
        self._rules = rules
        self._empty = {dataset: frozenset(empty.get(dataset, ())) for dataset in DATASETS}

    def row(self, exchange: str, local: LocalSymbol) -> dict[str, Any]:
        """Return the market's row of the symbol map."""
        venue = self._rules.exchange_key(exchange)
        choice = self._choose(exchange, venue, local)
        if choice.candidate is None:
            return _neutral_row(exchange, local, choice.reason)
        sources = {dataset: self._source(dataset, choice.candidate, venue, choice.wanted) for dataset in DATASETS}
        status, reason = _status(choice, sources["open_interest"])
        row = _row(exchange, local, choice.wanted.asset, status, reason, sources)
        for dataset, source in sources.items():
            if dataset != "open_interest" and source is not None:
                row[f"{dataset}_status"] = RESOLVED if source.venue == venue else AGGREGATED
        return row

    def _choose(self, exchange: str, venue: str, local: LocalSymbol) -> _Choice:
        wanted = Wanted(local.asset, local.quote, local.multiplier)
        if (there := self._best_on(venue, venue, local)) is not None:
            return _Choice(there, RESOLVED, "", wanted._replace(asset=there.asset))
        knows = self._candidates.knows(venue)
        why = f"{exchange} has no perpetual of {local.asset}" if knows else f"the market list has no {exchange}"
        stand_in = self._rules.stand_in_keys.get(venue)
        if stand_in is not None:
            source = self._candidates.venue_of(stand_in)
            if not self._candidates.knows(source):
                why = f"{why}, nor its configured stand-in {stand_in}"
            there = self._best_on(source, venue, local)
            if there is not None:
                reason = f"{why}; {there.exchange_name} is configured to stand in"
                return _Choice(there, AGGREGATED, reason, wanted._replace(asset=there.asset))
        for candidate in self._candidates.by_reference(wanted):
            if self._may_serve(candidate, venue, wanted.asset):
                return _Choice(candidate, AGGREGATED, f"{why}; taken from {candidate.exchange_name}", wanted)
        return _Choice(None, NEUTRAL, f"no perpetual of {local.asset} on any exchange of the market list", wanted)

    def _best_on(self, source: str, venue: str, local: LocalSymbol) -> Candidate | None:
        """Return what the exchange `source` has for a symbol of the exchange `venue`: by name, else by asset."""
        named = best_named(self._candidates.named(source, local.raw), local.quote, local.multiplier)
        of_asset = self._candidates.ranked(Wanted(local.asset, local.quote, local.multiplier))
        there = [*named, *(candidate for candidate in of_asset if candidate.venue == source)]
        return next((candidate for candidate in there if self._may_serve(candidate, venue, local.asset)), None)

    def _source(self, dataset: Dataset, chosen: Candidate, venue: str, wanted: Wanted) -> Candidate | None:
        """Return the market that serves a dataset: the chosen one, another of its exchange, or a reference."""
        empty = self._empty[dataset]
        if chosen.publishes(dataset) and chosen.symbol not in empty:
            return chosen
        neighbours = (other for other in self._candidates.ranked(wanted) if other.venue == chosen.venue)
        for candidates in (neighbours, self._candidates.by_reference(wanted)):
            for other in candidates:
                serves = other.publishes(dataset) and other.symbol not in empty
                if serves and self._may_serve(other, venue, wanted.asset):
                    return other
        return None

    def _may_serve(self, candidate: Candidate, venue: str, asset: str) -> bool:
        return self._rules.may_match((venue, asset), (candidate.venue, candidate.asset))


def _status(choice: _Choice, source: Candidate | None) -> tuple[str, str]:
    """Return status and reason, which speak of open interest: the tier's, unless its market came back empty."""
    if source is choice.candidate:
        return choice.status, choice.reason
    empty = f"open interest of {choice.candidate.symbol if choice.candidate else ''} came back empty"
    if source is None:
        return NEUTRAL, f"{empty}, and nothing else has it"
    reason = f"{empty}; taken from {source.symbol} on {source.exchange_name}"
    return AGGREGATED, f"{choice.reason}; {reason}" if choice.reason else reason


def _neutral_row(exchange: str, local: LocalSymbol, reason: str) -> dict[str, Any]:
    return _row(exchange, local, local.asset, NEUTRAL, reason, dict.fromkeys(DATASETS))


def _row(
    exchange: str,
    local: LocalSymbol,
    asset: str,
    status: str,
    reason: str,
    sources: Mapping[Dataset, Candidate | None],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "exchange": exchange,
        "symbol": local.raw,
        "base": local.base,
        "quote": local.quote,
        "multiplier": local.multiplier,
        "canonical_symbol": asset,
        "display_symbol": local.display,
        "status": status,
        "reason": reason,
    }
    for dataset, source in sources.items():
        row[f"{dataset}_symbol"] = source.symbol if source else ""
        row[f"{dataset}_exchange"] = source.exchange_name if source else ""
        row[f"{dataset}_status"] = status if dataset == "open_interest" else NEUTRAL
        row[f"{dataset}_multiplier"] = source.multiplier if source else 0
        row[f"{dataset}_unit"] = source.unit if source else ""
    return row


def _table(rows: list[dict[str, Any]], fetched_at_ms: float) -> pd.DataFrame:
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    table = pd.DataFrame(
        {
            name: pd.Series(values, dtype="int64" if name.endswith("multiplier") else "str")
            for name, values in columns.items()
        }
    )
    table["market_list_at_ms"] = pd.Series([fetched_at_ms] * len(rows), dtype="float64")
    return table
