"""Turn the provider's market list into a table, and reject responses that lost most of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import pandas as pd

#: A market list older than this is fetched again.
MAX_LIST_AGE: Final = timedelta(hours=24)

DROPPED = "dropped_rows"

_SURROGATES = re.compile("[\ud800-\udfff]")
_TEXT_COLUMNS = (
    "symbol",
    "exchange",
    "exchange_name",
    "symbol_on_exchange",
    "base_asset",
    "quote_asset",
    "margined",
    "oi_lq_vol_denominated_in",
)
_FLAG_COLUMNS = ("is_perpetual", "has_long_short_ratio_data", "has_ohlcv_data", "has_buy_sell_data")
_COLUMNS = (
    *("symbol", "exchange", "exchange_name", "symbol_on_exchange", "base_asset", "quote_asset", "is_perpetual"),
    *("margined", "expire_at_ms", "oi_lq_vol_denominated_in", "has_long_short_ratio_data", "has_ohlcv_data"),
    *("has_buy_sell_data", "fetched_at_ms"),
)
#: Columns that a stored list has beside those of `market_list_table`.
_STORED_COLUMNS = ("exchange_codes", "provider", "simulated")


class MarketListRefused(ValueError):
    """A list response that must not replace the last one; the message gives the numbers."""


def refuse_shrunken_list(endpoint: str, answer: Collection[str], last: Collection[str]) -> None:
    """Raise MarketListRefused for a response that is empty, or has lost more than half of the last one.

    `answer` and `last` identify the rows: the symbols of `/future-markets`, the codes of `/exchanges`. `last` is
    empty where there is no previous response. A row is lost if it was in the last response and is not in this one,
    so that a response of the same length with entirely different rows is refused too.
    """
    known = set(last)
    if not answer:
        had = f"; the last one had {len(known)} rows" if known else ""
        raise MarketListRefused(f"{endpoint} returned an empty list{had}; the stored list is kept")
    lost = len(known.difference(answer))
    if 2 * lost > len(known):
        raise MarketListRefused(
            f"{endpoint} returned {len(answer)} rows and has lost {lost} of the last {len(known)}, "
            "more than half; the stored list is kept"
        )


def refuse_shrunken_market_list(
    exchange_codes: Collection[str], table: pd.DataFrame, last: pd.DataFrame | None
) -> None:
    """Raise MarketListRefused if a list has lost more than half of the last one: exchanges, symbols or perpetuals.

    `exchange_codes` are those of the new `/exchanges`, `table` is a `market_list_table`, and `last` a table of
    `list_of_provider`. Perpetuals are compared too, since only they can serve a market.
    """
    last_codes = () if last is None else orjson.loads(last["exchange_codes"].iloc[0])
    refuse_shrunken_list("/exchanges", exchange_codes, last_codes)
    refuse_shrunken_list("/future-markets", set(table["symbol"]), () if last is None else set(last["symbol"]))
    refuse_shrunken_list("/future-markets (perpetuals)", _perpetuals(table), () if last is None else _perpetuals(last))


def _perpetuals(market_list: pd.DataFrame) -> set[str]:
    return set(market_list.loc[market_list["is_perpetual"], "symbol"])


def list_of_provider(table: pd.DataFrame | None, provider: str) -> pd.DataFrame | None:
    """Return a stored market list if it came from this provider, else None.

    `table` has columns exchange_codes (JSON: the codes of `/exchanges`), provider and simulated beside those of
    `market_list_table`. Also returns None for None, an empty table, and a table of another version of this program.
    """
    if table is None or table.empty or not {*_COLUMNS, *_STORED_COLUMNS}.issubset(table.columns):
        return None
    if (table["provider"] != provider).any():
        return None
    return table


def market_list_table(
    exchanges: Iterable[tuple[str, str]], rows: Iterable[Mapping[str, Any]], fetched_at: datetime
) -> pd.DataFrame:
    """Return the rows of `/future-markets` joined with the (code, name) pairs of `/exchanges`.

    Columns, sorted by symbol in UTF-8 byte order: symbol, exchange (code), exchange_name (the code where no name
    is known), symbol_on_exchange, base_asset, quote_asset, margined ("STABLE" or "COIN"),
    oi_lq_vol_denominated_in: text, "" where missing; is_perpetual, has_long_short_ratio_data, has_ohlcv_data,
    has_buy_sell_data: bool, a missing one means no; expire_at_ms: float64, NaN = never; fetched_at_ms: int64.

    Drops rows without symbol, exchange or base_asset, repeated rows, and all rows of a symbol that is listed for
    different markets, because its data could be of either. `table.attrs["dropped_rows"]` counts them. Raises
    ValueError for a `fetched_at` without a time zone.
    """
    fetched_at_ms = epoch_ms(fetched_at)
    names = dict(exchanges)
    found: dict[str, list[dict[str, Any]]] = {}
    listed = list(rows)
    for row in listed:
        if (record := _record(row, names)) is not None:
            found.setdefault(record["symbol"], []).append(record)
    # Of repeated rows keep the smallest by repr, so that the order of the response changes nothing.
    ordered = [min(found[symbol], key=repr) for symbol in sorted(found) if _is_one_market(found[symbol])]
    columns: dict[str, pd.Series[Any]] = {
        name: pd.Series([record[name] for record in ordered], dtype="str") for name in _TEXT_COLUMNS
    }
    columns |= {name: pd.Series([record[name] for record in ordered], dtype="bool") for name in _FLAG_COLUMNS}
    columns["expire_at_ms"] = pd.Series([record["expire_at"] for record in ordered], dtype="float64")
    columns["fetched_at_ms"] = pd.Series([fetched_at_ms] * len(ordered), dtype="int64")
    table = pd.DataFrame({name: columns[name] for name in _COLUMNS})
    table.attrs[DROPPED] = len(listed) - len(ordered)
    return table


def epoch_ms(moment: datetime) -> int:
    """Return a timezone-aware time in epoch ms; raise ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return round(moment.timestamp() * 1000)


def _record(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the cleaned fields of a row, None for a row that identifies no market."""
    if not isinstance(row, Mapping):
        return None
    record: dict[str, Any] = {name: _text(row.get(name)) for name in _TEXT_COLUMNS}
    if not (record["symbol"] and record["exchange"] and record["base_asset"]):
        return None
    record["exchange_name"] = names.get(record["exchange"], record["exchange"])
    record |= {name: row.get(name) is True for name in _FLAG_COLUMNS}
    expire_at = row.get("expire_at")
    dated = isinstance(expire_at, int | float) and not isinstance(expire_at, bool)
    record["expire_at"] = float(expire_at) if dated and expire_at is not None else float("nan")
    return record


def _is_one_market(records: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether rows of one symbol describe the same market."""
    return len({tuple(record[name] for name in (*_TEXT_COLUMNS, "is_perpetual")) for record in records}) == 1


def _text(value: object) -> str:
    """Return the value if it is a string that UTF-8 can encode, else an empty string."""
    return value if isinstance(value, str) and not _SURROGATES.search(value) else ""
