"""The statements of the store, built once: SQLAlchemy takes longer to build one than SQLite to run it.

Parameters have the names of the columns; `symbols` is a list. Queries for any number of symbols join `selected`.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam

from quant_assets.derivatives.tables import BARS, selected
from quant_assets.storage.schema import (
    claims,
    empty_responses,
    exchange_snapshots,
    fetched_ranges,
    metadata,
    refresh_reports,
    served_symbols,
)


def _of_symbols(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions for the rows of `dataset` and `symbols`."""
    return table.c.dataset == bindparam("dataset"), table.c.symbol.in_(bindparam("symbols", expanding=True))


def _bars(table: sa.Table) -> sa.Select[Any]:
    """Return the bars that open in [`start`, `end`), by symbol and time."""
    return (
        sa.select(table)
        .select_from(selected.join(table, table.c.symbol == selected.c.symbol))
        .where(table.c.t >= bindparam("start"), table.c.t < bindparam("end"))
        .order_by(table.c.symbol, table.c.t)
    )


def _last_bars(table: sa.Table) -> sa.Select[Any]:
    """Return each symbol's newest bar that opens before `end`."""
    earlier = table.alias("earlier")
    newest = (
        sa.select(sa.func.max(earlier.c.t))
        .where(earlier.c.symbol == selected.c.symbol, earlier.c.t < bindparam("end"))
        .scalar_subquery()
    )
    return sa.select(table).select_from(
        selected.join(table, sa.and_(table.c.symbol == selected.c.symbol, table.c.t == newest))
    )


BARS_BETWEEN: Final = {dataset: _bars(table) for dataset, table in BARS.items()}
LAST_BARS: Final = {dataset: _last_bars(table) for dataset, table in BARS.items()}

CREATE_SELECTED: Final = sa.schema.CreateTable(selected, if_not_exists=True)
CLEAR_SELECTED: Final = sa.delete(selected)

_ranges = fetched_ranges.c
_touching = (*_of_symbols(fetched_ranges), _ranges.start <= bindparam("through"), _ranges.through >= bindparam("start"))
#: The start and end of the ranges that touch [`start`, `through`].
TOUCHING_RANGES: Final = (
    sa.select(_ranges.symbol, sa.func.min(_ranges.start), sa.func.max(_ranges.through))
    .where(*_touching)
    .group_by(_ranges.symbol)
)
DELETE_TOUCHING_RANGES: Final = sa.delete(fetched_ranges).where(*_touching)
KNOWN_THROUGH: Final = (
    sa.select(_ranges.symbol, sa.func.max(_ranges.through))
    .select_from(selected.join(fetched_ranges, _ranges.symbol == selected.c.symbol))
    .where(_ranges.dataset == bindparam("dataset"), _ranges.start <= bindparam("start"))
    .group_by(_ranges.symbol)
)

LAST_EMPTY: Final = sa.select(empty_responses.c.symbol, empty_responses.c.last_ms).where(*_of_symbols(empty_responses))
DELETE_EMPTY: Final = sa.delete(empty_responses).where(*_of_symbols(empty_responses))
EMPTY_TWICE: Final = sa.select(empty_responses.c.dataset, empty_responses.c.symbol).where(
    empty_responses.c.previous_ms >= bindparam("since_ms")
)
SERVED_SYMBOLS: Final = sa.select(served_symbols.c.symbol).where(served_symbols.c.dataset == bindparam("dataset"))

#: Claims of others that have not ended. One that ends after `latest_ms` is from before a reboot.
CLAIMED_ELSEWHERE: Final = sa.select(claims.c.symbol).where(
    claims.c.dataset == bindparam("dataset"),
    claims.c.until_ms.between(bindparam("now_ms"), bindparam("latest_ms")),
    claims.c.owner != bindparam("owner"),
)
RELEASE: Final = sa.delete(claims).where(*_of_symbols(claims), claims.c.owner == bindparam("owner"))

REPORT: Final = sa.select(refresh_reports.c.report).where(refresh_reports.c.window == bindparam("window"))
METADATA: Final = sa.select(metadata.c.value).where(metadata.c.name == bindparam("name"))

#: Deletions of what is before `before` (UNIX seconds): bars by dataset, then ranges.
PRUNE_BARS: Final = {
    dataset: sa.delete(table).where(table.c.t < bindparam("before")) for dataset, table in BARS.items()
}
PRUNE_RANGES: Final = sa.delete(fetched_ranges).where(_ranges.through <= bindparam("before"))
CUT_RANGES: Final = (
    sa.update(fetched_ranges).where(_ranges.start < bindparam("before")).values(start=bindparam("before"))
)
PRUNE_REPORTS: Final = sa.delete(refresh_reports).where(refresh_reports.c.window < bindparam("before_window"))

_snapshots = exchange_snapshots.c
#: The snapshots that closed in (`after_ms`, `until_ms`], by exchange, symbol and time.
SNAPSHOTS_BETWEEN: Final = (
    sa.select(exchange_snapshots)
    .where(_snapshots.closed_at_ms > bindparam("after_ms"), _snapshots.closed_at_ms <= bindparam("until_ms"))
    .order_by(_snapshots.exchange, _snapshots.symbol, _snapshots.closed_at_ms)
)
SNAPSHOTS_OF_MARKET: Final = SNAPSHOTS_BETWEEN.where(
    _snapshots.exchange == bindparam("exchange"), _snapshots.symbol == bindparam("symbol")
)
#: Those of an exchange that closed at `since_ms` or later, by symbol and time.
SNAPSHOTS_SINCE: Final = (
    sa.select(exchange_snapshots)
    .where(_snapshots.exchange == bindparam("exchange"), _snapshots.closed_at_ms >= bindparam("since_ms"))
    .order_by(_snapshots.symbol, _snapshots.closed_at_ms)
)
#: By symbol of an exchange with open interest that closed in (`after_ms`, `until_ms`]: how many windows have it, and
#: when the last was seen that was seen more than a window late: it is of the exchange's own history.
OWN_INTEREST: Final = (
    sa.select(
        _snapshots.symbol,
        sa.func.sum(sa.case((_snapshots.closed_at_ms % bindparam("window_ms") == 0, 1), else_=0)),
        sa.func.max(
            sa.case(
                (
                    _snapshots.observed_at_ms - _snapshots.closed_at_ms > bindparam("window_ms"),
                    _snapshots.observed_at_ms,
                )
            )
        ),
    )
    .where(
        _snapshots.exchange == bindparam("exchange"),
        _snapshots.closed_at_ms > bindparam("after_ms"),
        _snapshots.closed_at_ms <= bindparam("until_ms"),
        _snapshots.open_interest.is_not(None),
    )
    .group_by(_snapshots.symbol)
)
PRUNE_SNAPSHOTS: Final = sa.delete(exchange_snapshots).where(_snapshots.closed_at_ms < bindparam("before_ms"))
