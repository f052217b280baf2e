"""What exchanges themselves say of open interest and funding, in the tables of a window.

A market's own snapshots and the bars of a provider are different series, perhaps in different units, and are never
mixed: what is computed from several points comes from one series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.bar_times import needed_since
from quant_assets.derivatives.dataset_spec import CLOSED_AT
from quant_assets.derivatives.open_interest import (
    MAX_OI_AGE_SECONDS,
    MIN_Z_SCORE_POINTS,
    Z_SCORE_POINTS,
    change_24h_pct,
    open_interest_statistics,
)
from quant_assets.markets import MarketKey, ResolutionRules, market_key

if TYPE_CHECKING:
    from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot

#: The provider of values that the market's own exchange gave.
EXCHANGE: Final = "exchange"
#: A snapshot that was seen so many seconds after a window's end, or earlier, is the value of that window.
ON_TIME_SECONDS: Final = 120
#: The age of the last point of a series, after which it has no z-score and its exchange no preference.
MAX_AGE_MS: Final = MAX_OI_AGE_SECONDS * 1000
WINDOW_MS: Final = int(WINDOW_LENGTH.total_seconds()) * 1000
_ValuesOf = Callable[[Mapping[str, Any], Sequence["ExchangeSnapshot"], Window], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class OwnSnapshots:
    """The snapshots of each market that had closed by a window's end and are needed for it, the oldest first."""

    by_market: Mapping[MarketKey, Sequence[ExchangeSnapshot]]
    rules: ResolutionRules

    def of(self, exchange: str, symbol: str) -> Sequence[ExchangeSnapshot]:
        """Return the snapshots of a market, by whichever of its names."""
        return self.by_market.get(market_key(exchange, symbol, self.rules), ())


def closing_ms(seen_ms: float) -> int:
    """Return the `closed_at_ms` of a snapshot that was seen at a time, epoch ms."""
    end = int(seen_ms // WINDOW_MS) * WINDOW_MS
    return end if seen_ms - end <= ON_TIME_SECONDS * 1000 else int(seen_ms)


def read_own_snapshots(store: DerivativesStore, window: Window, rules: ResolutionRules) -> OwnSnapshots:
    """Return what exchanges said in the 24 hours up to a window's end. Raise StoreError."""
    found: dict[MarketKey, list[ExchangeSnapshot]] = {}
    names: dict[tuple[str, str], MarketKey] = {}
    for snapshot in store.snapshots(needed_since(window) * 1000, window.end_ms):
        name = (snapshot.exchange, snapshot.symbol)
        if name not in names:
            names[name] = market_key(*name, rules)
        found.setdefault(names[name], []).append(snapshot)
    return OwnSnapshots(found, rules)


def mark_given(symbol_map: pd.DataFrame, own: OwnSnapshots, window: Window) -> pd.DataFrame:
    """Return the symbol map with columns that say what the markets' own exchanges gave for a window.

    `open_interest_given` and `funding_rate_given` (bool), `own_points`: the windows of the last 24 hours whose open
    interest they gave, and `own_exchange`: the exchange that gave anything in them, by its name, or "".
    """
    rows = []
    for exchange, symbol in zip(symbol_map["exchange"], symbol_map["symbol"], strict=True):
        on_time = [each for each in own.of(exchange, symbol) if each.closed_at_ms % WINDOW_MS == 0]
        last = on_time[-1] if on_time and on_time[-1].closed_at_ms == window.end_ms else None
        rows.append(
            (
                last is not None and last.open_interest is not None,
                last is not None and last.funding_rate_pct is not None,
                sum(each.open_interest is not None for each in on_time),
                on_time[-1].exchange if on_time else "",
            )
        )
    names = ("open_interest_given", "funding_rate_given", "own_points", "own_exchange")
    return symbol_map.assign(**{name: np.array([row[n] for row in rows]) for n, name in enumerate(names)})


def without_known(symbol_map: pd.DataFrame, own: OwnSnapshots, window: Window) -> pd.DataFrame:
    """Return the symbol map without the symbols that a provider need not be asked for in a window.

    That is funding of a market whose own exchange gave it for the window, and open interest where it also gave that of
    so many windows that the provider's history is not needed for a z-score. `open_interest_given` is whether only
    that history is needed.
    """
    if not own.by_market:
        return symbol_map
    marked = mark_given(symbol_map, own, window)
    has_history = marked["open_interest_given"] & (marked["own_points"] >= Z_SCORE_POINTS)
    known = {"open_interest_symbol": has_history, "funding_rate_symbol": marked["funding_rate_given"]}
    return marked.assign(
        **{column: marked[column].mask(is_known, "") for column, is_known in known.items() if column in marked}
    )


def with_own_interest(table: pd.DataFrame, own: OwnSnapshots, window: Window) -> pd.DataFrame:
    """Return a window's open-interest table with the values of the markets' own exchanges.

    `value`, `points`, `average` and `slope` are of the series that the value comes from. The z-score is of the first
    series with 30 points, else of the first with 14: the exchange's own, then the provider's; `z_score_provider` names
    its provider where it is another series than the value's.
    """
    return _merged(table, own, window, "open_interest", _interest_of)


def with_own_funding(table: pd.DataFrame, own: OwnSnapshots, window: Window) -> pd.DataFrame:
    """Return a window's funding table with the rates and intervals of the markets' own exchanges."""
    return _merged(table, own, window, "funding_rate_pct", _funding_of)


def _merged(table: pd.DataFrame, own: OwnSnapshots, window: Window, field: str, values_of: _ValuesOf) -> pd.DataFrame:
    """Return the table with the rows changed that `values_of` returns values for."""
    if not own.by_market:
        return table
    rows: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]
    for row in rows:
        known = [each for each in own.of(row["exchange"], row["symbol"]) if getattr(each, field) is not None]
        if known:
            row.update(values_of(row, known, window))
    return pd.DataFrame(rows, columns=table.columns).astype(table.dtypes)


def _is_preferred(row: Mapping[str, Any], last: ExchangeSnapshot, window: Window) -> bool:
    """Return whether a market's value is that of its own exchange, not that of the provider.

    That is so if it is as new, or if the provider has only another exchange's and this one is at most 2 hours old.
    """
    if not row[CLOSED_AT] > last.closed_at_ms:  # also where nothing is known
        return True
    return row["status"] != "resolved" and window.end_ms - last.closed_at_ms <= MAX_AGE_MS


def _source(row: Mapping[str, Any], last: ExchangeSnapshot) -> dict[str, Any]:
    """Return the columns that say where a value of the market's own exchange comes from."""
    return {
        "coinalyze_symbol": f"{EXCHANGE}:{last.symbol}",
        "provider": EXCHANGE,
        "source_exchange": last.exchange,
        "status": "resolved",
        "simulated": row["simulated"] or last.simulated,
        CLOSED_AT: float(last.closed_at_ms),
    }


def _interest_of(row: Mapping[str, Any], known: Sequence[ExchangeSnapshot], window: Window) -> dict[str, Any]:
    last = known[-1]
    series = [each for each in known if each.closed_at_ms % WINDOW_MS == 0]
    is_own = _is_preferred(row, last, window)
    times = np.array([each.closed_at_ms // 1000 for each in series])
    closes = np.array([each.open_interest for each in series], dtype=np.float64)
    own = open_interest_statistics(closes) if series else {"z_score": np.nan, "points": 0.0}
    own_change = change_24h_pct(times, closes) if series else np.nan
    has_own_z = bool(series) and window.end_ms - series[-1].closed_at_ms <= MAX_AGE_MS
    has_other = window.end_ms - row[CLOSED_AT] <= MAX_AGE_MS
    points = (len(series) if has_own_z else 0, int(row["points"]) if has_other else 0)
    z_is_own = next((points[0] >= n for n in (Z_SCORE_POINTS, MIN_Z_SCORE_POINTS) if max(points) >= n), is_own)
    z_score = (own["z_score"] if has_own_z else np.nan) if z_is_own else (row["z_score"] if has_other else np.nan)
    provider = EXCHANGE if z_is_own else row["provider"]
    found = {
        "z_score": z_score,
        "z_score_provider": provider if z_is_own != is_own and z_score == z_score else "",  # noqa: PLR0124 - NaN
        "change_24h_pct": own_change if own_change == own_change else row["change_24h_pct"],  # noqa: PLR0124
    }
    if not is_own:
        return found
    statistics = {name: own.get(name, np.nan) for name in ("average", "slope")}
    change = found["change_24h_pct"] if has_other or own_change == own_change else np.nan  # noqa: PLR0124
    return {
        **found,
        **_source(row, last),
        **statistics,
        "unit": "BASE_ASSET",
        "value": float(last.open_interest or 0.0),
        "points": int(own["points"]),
        "change_24h_pct": change,
    }


def _funding_of(row: Mapping[str, Any], known: Sequence[ExchangeSnapshot], window: Window) -> dict[str, Any]:
    last = known[-1]
    if not _is_preferred(row, last, window):
        return {}
    hours = np.nan if last.interval_hours is None else float(last.interval_hours)
    return {**_source(row, last), "funding_rate_pct": last.funding_rate_pct, "interval_hours": hours}
