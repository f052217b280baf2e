"""The tables that migrations govern, and their revision.

Tables of bars are not among them: they follow from the registry of datasets (quant_assets/derivatives/tables.py). To
change a table here, add a revision to `migrations/versions`, set REVISION, and add a test that upgrades a database of
the revision before.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import REAL, BigInteger, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

REVISION: Final = "0004"
#: The revision of a database that was written before there was a version table.
FIRST_REVISION: Final = "0001"
#: Tables that only a database of FIRST_REVISION has.
FIRST_TABLES: Final = frozenset({"asked", "calls"})

SCHEMA: Final = MetaData()
WHOLE: Final = BigInteger().with_variant(Integer, "sqlite")
NUMBER: Final[Double[float]] = Double().with_variant(REAL, "sqlite")

version_table: Final = Table("quant_assets_version", SCHEMA, Column("version_num", String(32), primary_key=True))


def _table_of_symbols(name: str, *columns: Column[Any]) -> Table:
    """Return a table whose rows belong to a symbol of a dataset."""
    keys = (Column("dataset", Text, primary_key=True), Column("symbol", Text, primary_key=True))
    return Table(name, SCHEMA, *keys, *columns, sqlite_with_rowid=False)


#: `[start, through]` in UNIX seconds: all bars that open or close between them were requested.
fetched_ranges: Final = _table_of_symbols(
    "fetched_ranges",
    Column("start", WHOLE, primary_key=True),
    Column("through", WHOLE, nullable=False),
)
#: The times (UNIX milliseconds) of the last empty responses, `previous_ms` of the one before.
empty_responses: Final = _table_of_symbols(
    "empty_responses",
    Column("last_ms", WHOLE, nullable=False),
    Column("previous_ms", WHOLE),
)
served_symbols: Final = _table_of_symbols("served_symbols")
#: Symbols that a process is requesting, until a time in milliseconds of the database's clock: of a file, the monotonic
#: clock of the machine.
claims: Final = _table_of_symbols(
    "claims",
    Column("owner", Text, nullable=False),
    Column("until_ms", WHOLE, nullable=False),
)
refresh_reports: Final = Table(
    "refresh_reports", SCHEMA, Column("window", Text, primary_key=True), Column("report", Text, nullable=False)
)
metadata: Final = Table(
    "metadata", SCHEMA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)
)
#: What an exchange says of a market: open interest in base units, and funding in percent for `interval_hours`. What was
#: seen soon after a window's end has that end in `closed_at_ms`, all else the time at which it was seen.
exchange_snapshots: Final = Table(
    "exchange_snapshots",
    SCHEMA,
    Column("exchange", Text, primary_key=True),
    Column("symbol", Text, primary_key=True),
    Column("closed_at_ms", WHOLE, primary_key=True),
    Column("observed_at_ms", WHOLE, nullable=False),
    Column("open_interest", NUMBER),
    Column("funding_rate_pct", NUMBER),
    Column("interval_hours", NUMBER),
    Column("simulated", Integer, nullable=False),
    sqlite_with_rowid=False,
)
#: Calls that count against a budget until a time in milliseconds of the database's clock. A file has one budget, "".
call_leases: Final = Table(
    "call_leases",
    SCHEMA,
    Column("lease", Text, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("counts_until_ms", WHOLE, nullable=False),
    Column("budget", Text, nullable=False, server_default=""),
)
#: After a 429 a row for the budget: no calls until `paused_until_ms`; `share` of the limit is in use from `since_ms`.
call_throttle: Final = Table(
    "call_throttle",
    SCHEMA,
    Column("budget", Text, primary_key=True),
    Column("paused_until_ms", WHOLE, nullable=False),
    Column("share", NUMBER, nullable=False),
    Column("since_ms", WHOLE, nullable=False),
)
#: Locks that processes of several machines share: the owner renews `until_ms`, or loses the lock then.
locks: Final = Table(
    "locks",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until_ms", WHOLE, nullable=False),
)
#: Source of data -> where they came from first.
origins: Final = Table(
    "origins", SCHEMA, Column("source", Text, primary_key=True), Column("origin", Text, nullable=False)
)
#: The newest feed, compressed by gzip, in one row; `number` counts publications.
published_feed: Final = Table(
    "published_feed",
    SCHEMA,
    Column("name", Text, primary_key=True),
    Column("number", WHOLE, nullable=False),
    Column("window", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
