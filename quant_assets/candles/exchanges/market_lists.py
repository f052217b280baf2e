"""Fetch the market lists of exchanges, all at once, and keep the last list of one that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pandas as pd

from quant_assets.candles.exchanges.config import ExchangesConfig
from quant_assets.candles.exchanges.universe import LIST_COLUMNS, universe_of
from quant_assets.markets.market_list import MarketListRefused, refuse_shrunken_list
from quant_assets.markets.rules import ResolutionRules
from quant_assets.providers.errors import ProviderError
from quant_assets.providers.exchanges.market import ExchangeMarket

FetchMarkets = Callable[[str], Sequence[ExchangeMarket]]


@dataclass(frozen=True, slots=True)
class ExchangeMarkets:
    """The markets of all exchanges in one table, and a message for each exchange that failed.

    The columns are those of `universe_of`, and when the list was fetched and the market first selected (epoch ms).
    """

    table: pd.DataFrame
    problems: dict[str, str]


def fetch_exchange_markets(
    config: ExchangesConfig, rules: ResolutionRules, fetch: FetchMarkets, last: pd.DataFrame | None, now_ms: float
) -> ExchangeMarkets:
    """Return the markets of the configured exchanges. `fetch` returns those of one, and raises ProviderError.

    `now_ms` is the time in epoch ms, and that of the lists which are fetched.

    An exchange that fails, whose list has lost more than half of the last one, or has no turnover of any market, keeps
    its rows of `last`, with what is selected of them by the present configuration. Rows of exchanges that are not
    configured stay as they are.
    """
    with ThreadPoolExecutor(max(len(config.exchanges), 1), thread_name_prefix="market-list") as pool:
        fetched = list(pool.map(lambda exchange: _fetch(exchange, fetch, last), config.exchanges))
    others = [] if last is None else [last[~last["exchange"].isin(config.exchanges)]]
    tables, problems = [table for table in others if len(table)], {}
    for exchange, (markets, problem) in zip(config.exchanges, fetched, strict=True):
        if problem:
            problems[exchange] = problem
        rows = rows_of(last, exchange)
        selected = set(rows.loc[rows["selected"], "symbol"])
        table = universe_of(exchange, markets or markets_of(rows), config, rules, selected)
        fetched_at_ms = now_ms if markets else rows["fetched_at_ms"].max()
        table = table.assign(fetched_at_ms=float(fetched_at_ms))
        tables.append(table.assign(selected_since_ms=_selected_since_ms(table, rows, now_ms)))
    empty = pd.DataFrame(columns=list(LIST_COLUMNS))
    return ExchangeMarkets(pd.concat(tables, ignore_index=True) if tables else empty, problems)


def _selected_since_ms(table: pd.DataFrame, last: pd.DataFrame, now_ms: float) -> pd.Series[float]:
    """Return when each market was first selected, epoch ms; NaN if never. Selection is kept after it ends.

    What a table of an earlier version, without the column, had selected counts from when that table was fetched.
    """
    since = last["selected_since_ms"] if "selected_since_ms" in last else last["fetched_at_ms"].where(last["selected"])
    known = table["symbol"].map(dict(zip(last["symbol"], since.astype(float), strict=True))).astype(float)
    return known.where(known.notna() | ~table["selected"], now_ms)


def rows_of(table: pd.DataFrame | None, exchange: str) -> pd.DataFrame:
    """Return the rows of an exchange."""
    return pd.DataFrame(columns=list(LIST_COLUMNS)) if table is None else table[table["exchange"] == exchange]


def markets_of(rows: pd.DataFrame) -> list[ExchangeMarket]:
    """Return the markets of rows of the table."""
    return [
        ExchangeMarket(
            symbol=str(row["symbol"]),
            base=str(row["base"]),
            quote=str(row["quote"]),
            settle=str(row["settle"]),
            is_perpetual=bool(row["is_perpetual"]),
            is_linear=bool(row["is_linear"]),
            is_active=bool(row["is_active"]),
            contract_size=float(row["contract_size"]),
            tick_size=_value(row["tick_size"]),
            listed_ms=None if pd.isna(row["listed_ms"]) else int(row["listed_ms"]),
            quote_volume=_value(row["quote_volume_24h"]),
            last_price=_value(row["last_price"]),
        )
        for row in rows.to_dict("records")
    ]


def _fetch(exchange: str, fetch: FetchMarkets, last: pd.DataFrame | None) -> tuple[Sequence[ExchangeMarket], str]:
    """Return the markets and "", or no markets and why the last list is kept."""
    known = rows_of(last, exchange)
    kept = "; the stored list is kept" if len(known) else "; there is no stored one, so it has no markets yet"
    try:
        markets = fetch(exchange)
        refuse_shrunken_list(
            f"the market list of {exchange}", [market.symbol for market in markets], set(known["symbol"])
        )
    except ProviderError as error:
        return (), f"{error}{kept}"
    except MarketListRefused as error:
        return (), str(error)
    if not any(market.quote_volume for market in markets):  # as if no market were worth fetching
        return (), f"the market list of {exchange} has no turnover of any market{kept}"
    return markets, ""


def _value(number: object) -> float | None:
    return None if pd.isna(number) else float(number)  # type: ignore[arg-type, call-overload]
