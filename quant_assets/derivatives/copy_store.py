"""Copying the store of fetched data to another database, such as from a file to a server and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.progress import Progress, silent
from quant_assets.derivatives.tables import BAR_TABLES, BARS
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import (
    empty_responses,
    exchange_snapshots,
    fetched_ranges,
    metadata,
    refresh_reports,
    served_symbols,
)

if TYPE_CHECKING:
    from quant_assets.storage.opening import AnyDatabase

Row = tuple[Any, ...]
#: Tables whose rows are added where the target has none with the same key.
ADDED = (served_symbols, refresh_reports, metadata, exchange_snapshots)


def copy_store(source: Path | DatabaseServer, target: Path | DatabaseServer, progress: Progress = silent) -> int:
    """Add the rows of a store to another one, and return how many were read. Raises DatabaseError and OSError.

    Rows that the target has are kept, so a copy that was broken off is repeated. The bars of a dataset and the ranges
    that say what was requested are added in one transaction: no range stands without its bars. Claims and calls that
    count against a budget are not copied.
    """
    with (
        closing(open_database(source, BAR_TABLES, read_only=True)) as old,
        closing(open_database(target, BAR_TABLES)) as new,
    ):
        rows = 0
        steps = len(BARS) + len(ADDED) + 1
        for number, (dataset, table) in enumerate(BARS.items(), start=1):
            bars = _rows(old, sa.select(table))
            ranges = _rows(old, sa.select(fetched_ranges).where(fetched_ranges.c.dataset == dataset))
            with new.write() as connection:
                new.add_rows(connection, table, bars)
                _add_ranges(new, connection, dataset, ranges)
            rows += len(bars) + len(ranges)
            progress("copy rows", number, steps)
        for number, table in enumerate(ADDED, start=len(BARS) + 1):
            found = _rows(old, sa.select(table))
            with new.write() as connection:
                new.add_rows(connection, table, found)
            rows += len(found)
            progress("copy rows", number, steps)
        empty = _rows(old, sa.select(empty_responses))
        with new.write() as connection:
            _add_empty_responses(new, connection, empty)
        progress("copy rows", steps, steps)
        return rows + len(empty)


def _rows(database: AnyDatabase, query: sa.Select[Any]) -> list[Row]:
    return database.read(lambda connection: [tuple(row) for row in connection.execute(query)])


def _add_ranges(database: AnyDatabase, connection: sa.Connection, dataset: str, ranges: Iterable[Row]) -> None:
    """Add ranges `(dataset, symbol, start, through)`, joined with those that touch them."""
    of_dataset = fetched_ranges.c.dataset == dataset
    known = [tuple(row) for row in connection.execute(sa.select(fetched_ranges).where(of_dataset))]
    by_symbol: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, symbol, start, through in sorted({*known, *ranges}):
        joined = by_symbol[symbol]
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], through))
        else:
            joined.append((start, through))
    rows = [(dataset, symbol, *each) for symbol, joined in by_symbol.items() for each in joined]
    if set(rows) != set(known):
        connection.execute(sa.delete(fetched_ranges).where(of_dataset))
        database.replace_rows(connection, fetched_ranges, rows)


def _add_empty_responses(database: AnyDatabase, connection: sa.Connection, rows: Iterable[Row]) -> None:
    """Add rows `(dataset, symbol, last_ms, previous_ms)`; of two with one key the later counts."""
    known = {tuple(row[:2]): row.last_ms for row in connection.execute(sa.select(empty_responses))}
    later = (row for row in rows if row[2] > known.get(row[:2], -1))
    database.replace_rows(connection, empty_responses, later)
