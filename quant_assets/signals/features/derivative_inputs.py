"""Derivative inputs of a market: open interest, funding, long/short ratio and liquidations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.common.windows import Window
from quant_assets.derivatives.dataset_spec import CLOSED_AT
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.derivatives.funding import with_funding_interval
from quant_assets.derivatives.open_interest import MAX_OI_AGE_SECONDS
from quant_assets.derivatives.snapshot import with_provider
from quant_assets.signals.features.bars import Columns
from quant_assets.signals.features.extra import EXTRA_ENTRIES, unknown_extra_inputs

NEUTRAL = "neutral"
Key = tuple[str, str]
"""Exchange and symbol."""


class LookAheadError(ValueError):
    """A derivative value closed after the window's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivativeInputs:
    """Derivatives of one market; None is unknown, and all values are unknown by default.

    `*_closed_at_ms` is the close of the newest bar that a value is computed from, epoch ms. `oi_z_score` is over the
    last 30 bars; `derivative_features` drops it by age and status. Units as in `Features`.
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
    oi_z_score_provider: str = ""
    oi_points: int = 0
    oi_average: float | None = None
    oi_slope: float | None = None
    oi_change_24h_pct: float | None = None
    oi_closed_at_ms: float | None = None
    funding_rate_pct: float | None = None
    funding_interval_hours: float | None = None
    funding_provider: str = ""
    funding_closed_at_ms: float | None = None
    long_short_ratio: float | None = None
    longs_pct: float | None = None
    shorts_pct: float | None = None
    long_short_provider: str = ""
    long_short_closed_at_ms: float | None = None
    liquidated_longs_1h: float | None = None
    liquidated_shorts_1h: float | None = None
    liquidated_longs_24h: float | None = None
    liquidated_shorts_24h: float | None = None
    liquidations_unit: str = ""
    liquidations_provider: str = ""
    liquidations_closed_at_ms: float | None = None


UNKNOWN = DerivativeInputs()
_CLOSED_AT = tuple(spec.inputs[CLOSED_AT].removesuffix(f"_{CLOSED_AT}") for spec in ENTRIES)
_PASSED_THROUGH = (
    *("simulated", "oi_status", "oi_symbol", "oi_exchange", "oi_unit", "oi_z_score_provider"),
    *("oi_value", "oi_points", "oi_average", "oi_slope", "oi_change_24h_pct"),
    *("funding_rate_pct", "funding_interval_hours", "long_short_ratio", "longs_pct", "shorts_pct"),
    *("liquidated_longs_1h", "liquidated_shorts_1h", "liquidated_longs_24h", "liquidated_shorts_24h"),
    *("liquidations_unit", "funding_provider", "long_short_provider", "liquidations_provider"),
    *(name for spec in EXTRA_ENTRIES for column, name in spec.inputs.items() if column != CLOSED_AT),
)
"""Fields that are copied to the features unchanged."""
_EXTRA_INPUTS = frozenset(unknown_extra_inputs(0))
DERIVATIVE_FEATURES = (*_PASSED_THROUGH, "oi_z", *(f"{name}_age_seconds" for name in _CLOSED_AT))
"""The columns of `derivative_features`."""
_SYMBOL_MAP_FIELDS = {
    "canonical_symbol": "canonical_symbol",
    "display_symbol": "display_symbol",
    "status": "oi_status",
    "open_interest_symbol": "oi_symbol",
    "open_interest_exchange": "oi_exchange",
    "open_interest_unit": "oi_unit",
}
_TABLE_FIELDS = {spec.name: spec.inputs for spec in ENTRIES}
"""Derivative table → its columns → the fields that they fill."""


def merge_inputs(markets: Sequence[Key], symbol_map: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> Columns:
    """Merge the symbol map and the derivative tables into columns of `DerivativeInputs`, one element per market.

    Status, symbol, exchange and unit of open interest come from the open-interest table if it has the market (it
    includes stand-ins), else from the symbol map. A table may be missing or empty, or lack a market; NaN leaves a field
    unchanged. A market is simulated if any of its rows is; a table without that column is not simulated.
    Raises KeyError for an unknown table, or for a table with rows that lacks a column.
    """
    unknown = tables.keys() - _TABLE_FIELDS.keys()
    if unknown:
        raise KeyError(f"Unknown derivative tables: {', '.join(sorted(unknown))}; expected {', '.join(_TABLE_FIELDS)}")
    columns = _columns([UNKNOWN] * len(markets))
    named = {name: tables.get(name) for name in _TABLE_FIELDS}
    funding = named["funding_rate"]
    if funding is not None and "source_exchange" in funding and "interval_hours" not in funding:
        # Tables of version 0.1 lack the interval.
        named["funding_rate"] = with_funding_interval(funding)
    interest = named["open_interest"]
    if interest is not None and "change_24h_pct" not in interest:
        named["open_interest"] = interest.assign(change_24h_pct=np.nan)  # tables of an earlier version lack it
    for table, filled in ((symbol_map, _SYMBOL_MAP_FIELDS), *zip(named.values(), _TABLE_FIELDS.values(), strict=True)):
        if table is None or table.empty:
            continue
        if "provider" not in table and "coinalyze_symbol" in table:
            table = with_provider(table)  # noqa: PLW2901 - tables of earlier versions lack it
        keys = zip(table["exchange"].tolist(), table["symbol"].tolist(), strict=True)
        row_of = {key: row for row, key in enumerate(keys)}
        rows = np.array([row_of.get(market, -1) for market in markets], dtype=np.int64)
        (present,) = (rows >= 0).nonzero()
        rows = rows[present]
        for column, field in filled.items():
            if column not in table and (field in _EXTRA_INPUTS or column in ("provider", "z_score_provider")):
                continue  # a table of an earlier version of the dataset's package, or of no provider
            values = table[column].to_numpy()[rows]
            is_known = ~pd.isna(values)
            columns[field][present[is_known]] = values[is_known]
        if "simulated" in table:
            columns["simulated"][present] |= table["simulated"].to_numpy(dtype=bool)[rows]
    return columns


def single_market_inputs(inputs: DerivativeInputs) -> Columns:
    """Return one market's inputs as columns with a single element."""
    return _columns([inputs])


def derivative_features(inputs: Columns, window: Window) -> Columns:
    """Return the columns of `Features` that follow from derivatives, with ages and the usable z-score.

    Raises LookAheadError if a value closed after the window's end.
    """
    ages = {f"{name}_age_seconds": _ages(inputs, name, window) for name in _CLOSED_AT}
    is_usable = (ages["oi_age_seconds"] <= MAX_OI_AGE_SECONDS) & (inputs["oi_status"] != NEUTRAL)
    return {
        **{name: inputs[name] for name in _PASSED_THROUGH},
        "oi_z": np.where(is_usable, inputs["oi_z_score"], np.nan),
        **ages,
    }


def _columns(inputs: Sequence[DerivativeInputs]) -> Columns:
    """Convert objects to columns: texts as objects, booleans as bool, numbers as float64 with NaN for unknown."""
    kinds: dict[Any, Any] = {"str": object, "bool": np.bool_}
    columns = {
        field.name: np.array(
            [getattr(market, field.name) for market in inputs], dtype=kinds.get(field.type, np.float64)
        )
        for field in fields(DerivativeInputs)
    }
    return {**columns, **unknown_extra_inputs(len(inputs))}


def _ages(inputs: Columns, name: str, window: Window) -> Any:
    """Return the seconds from the close of the newest bar of a value to the window's end."""
    ages = (window.end_ms - inputs[f"{name}_closed_at_ms"]) / 1000
    (late,) = (ages < 0).nonzero()
    if len(late):
        market = inputs["display_symbol"][late[0]] or "a market"
        raise LookAheadError(f"{name} of {market} closed {-ages[late[0]]:.0f} s after the end of window {window.key}")
    return ages
