"""Derivative inputs of a market: what is known of open interest, funding, positions and liquidations.

Here: the inputs as one object per market, merged from the symbol map and the derivative tables, and the rules of age
and status that decide what a strategy may use. Not here: how the tables come about, and what the inputs are worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from quant_assets.windows import Window

NEUTRAL = "neutral"
OLDEST_OI_SECONDS = 2 * 60 * 60
"""A last bar of open interest that closed longer ago gives no z-score."""
Key = tuple[str, str]
"""Exchange and symbol."""


class LookAheadError(ValueError):
    """A derivative value closed after the window's end; a signal must not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivativeInputs:
    """What is known of one market's derivatives; None is unknown, and so is everything by default.

    `*_closed_at_ms`: when the newest bar that a value is computed from closed, epoch ms. `oi_z_score` is that of the
    last 30 bars, before the rules of age and status. Units as in `Features`.
    """

    canonical_symbol: str = ""
    display_symbol: str = ""
    simulated: bool = False
    oi_status: str = NEUTRAL
    oi_symbol: str = ""
    oi_exchange: str = ""
    oi_unit: str = ""
    oi_value: float | None = None
    oi_z_score: float | None = None
    oi_points: int = 0
    oi_average: float | None = None
    oi_slope: float | None = None
    oi_closed_at_ms: float | None = None
    funding_rate_pct: float | None = None
    funding_closed_at_ms: float | None = None
    long_short_ratio: float | None = None
    longs_pct: float | None = None
    shorts_pct: float | None = None
    long_short_closed_at_ms: float | None = None
    liquidated_longs_1h: float | None = None
    liquidated_shorts_1h: float | None = None
    liquidated_longs_24h: float | None = None
    liquidated_shorts_24h: float | None = None
    liquidations_unit: str = ""
    liquidations_closed_at_ms: float | None = None


UNKNOWN = DerivativeInputs()
_CLOSED_AT = ("oi", "funding", "long_short", "liquidations")
_SYMBOL_MAP_FIELDS = {
    "canonical_symbol": "canonical_symbol",
    "display_symbol": "display_symbol",
    "status": "oi_status",
    "open_interest_symbol": "oi_symbol",
    "open_interest_exchange": "oi_exchange",
    "open_interest_unit": "oi_unit",
}
_TABLE_FIELDS = {
    "open_interest": {
        "status": "oi_status",
        "coinalyze_symbol": "oi_symbol",
        "source_exchange": "oi_exchange",
        "unit": "oi_unit",
        "closed_at_ms": "oi_closed_at_ms",
        "value": "oi_value",
        "z_score": "oi_z_score",
        "points": "oi_points",
        "average": "oi_average",
        "slope": "oi_slope",
    },
    "funding_rate": {"closed_at_ms": "funding_closed_at_ms", "funding_rate_pct": "funding_rate_pct"},
    "long_short_ratio": {
        "closed_at_ms": "long_short_closed_at_ms",
        "long_short_ratio": "long_short_ratio",
        "longs_pct": "longs_pct",
        "shorts_pct": "shorts_pct",
    },
    "liquidations": {
        "closed_at_ms": "liquidations_closed_at_ms",
        "unit": "liquidations_unit",
        "longs_1h": "liquidated_longs_1h",
        "shorts_1h": "liquidated_shorts_1h",
        "longs_24h": "liquidated_longs_24h",
        "shorts_24h": "liquidated_shorts_24h",
    },
}
"""Derivative table → its columns → the fields that they fill."""


def merge_inputs(symbol_map: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> dict[Key, DerivativeInputs]:
    """Merge the symbol map and the derivative tables, by exchange and symbol.

    Status, symbol, exchange and unit of open interest are those of its own table where the market is in it, since
    that table knows of stand-ins. A table may be missing or empty, and may lack a market. A market is simulated where
    any of its rows says so; a table without that column was had from no emulator.
    Raises KeyError for a table that is not one of the four, or a table with rows that lacks a column.
    """
    unknown = tables.keys() - _TABLE_FIELDS.keys()
    if unknown:
        raise KeyError(f"no derivative table is called {', '.join(sorted(unknown))}")
    merged: dict[Key, dict[str, Any]] = {}
    for key, values in _rows(symbol_map, _SYMBOL_MAP_FIELDS):
        merged.setdefault(key, {}).update(values)
    for name, columns in _TABLE_FIELDS.items():
        for key, values in _rows(tables.get(name), columns):
            merged.setdefault(key, {}).update(values)
    for key in (key for table in (symbol_map, *tables.values()) for key in _simulated(table)):
        merged[key]["simulated"] = True
    return {key: DerivativeInputs(**values) for key, values in merged.items()}


def derivative_features(inputs: DerivativeInputs, window: Window) -> dict[str, Any]:
    """Return the derivative fields of `Features`, with ages and with the z-score that may be used.

    Raises LookAheadError where a value closed after the window's end.
    """
    ages = {f"{name}_age_seconds": _age(inputs, name, window) for name in _CLOSED_AT}
    age = ages["oi_age_seconds"]
    is_fresh = age is not None and age <= OLDEST_OI_SECONDS
    return {
        "simulated": inputs.simulated,
        "oi_status": inputs.oi_status,
        "oi_symbol": inputs.oi_symbol,
        "oi_exchange": inputs.oi_exchange,
        "oi_unit": inputs.oi_unit,
        "oi_value": inputs.oi_value,
        "oi_points": int(inputs.oi_points),
        "oi_average": inputs.oi_average,
        "oi_slope": inputs.oi_slope,
        "oi_z": inputs.oi_z_score if is_fresh and inputs.oi_status != NEUTRAL else None,
        "funding_rate_pct": inputs.funding_rate_pct,
        "long_short_ratio": inputs.long_short_ratio,
        "longs_pct": inputs.longs_pct,
        "shorts_pct": inputs.shorts_pct,
        "liquidated_longs_1h": inputs.liquidated_longs_1h,
        "liquidated_shorts_1h": inputs.liquidated_shorts_1h,
        "liquidated_longs_24h": inputs.liquidated_longs_24h,
        "liquidated_shorts_24h": inputs.liquidated_shorts_24h,
        "liquidations_unit": inputs.liquidations_unit,
        **ages,
    }


def _age(inputs: DerivativeInputs, name: str, window: Window) -> float | None:
    closed_at_ms: float | None = getattr(inputs, f"{name}_closed_at_ms")
    if closed_at_ms is None:
        return None
    if closed_at_ms > window.end_ms:
        late = (closed_at_ms - window.end_ms) / 1000
        raise LookAheadError(
            f"{name} of {inputs.display_symbol or 'a market'} closed {late:.0f} s after the end of window {window.key}"
        )
    return (window.end_ms - closed_at_ms) / 1000


def _rows(table: pd.DataFrame | None, columns: Mapping[str, str]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Give each row's key and the fields it fills; NaN is left out, so that the field stays unknown."""
    if table is None or table.empty:
        return
    keys = zip(table["exchange"].tolist(), table["symbol"].tolist(), strict=True)
    values = zip(*(table[column].tolist() for column in columns), strict=True)
    fields = tuple(columns.values())
    for key, row in zip(keys, values, strict=True):
        yield key, {field: value for field, value in zip(fields, row, strict=True) if not _is_nan(value)}


def _simulated(table: pd.DataFrame | None) -> Iterator[Key]:
    """Give the markets whose rows an emulator is behind."""
    if table is not None and "simulated" in table:
        made_up = table[table["simulated"]]
        yield from zip(made_up["exchange"].tolist(), made_up["symbol"].tolist(), strict=True)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
