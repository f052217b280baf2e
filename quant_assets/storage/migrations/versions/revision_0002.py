"""Rename the store's tables, and replace the call budget's tables, which were those of a library.

A file of version 0.1 has the tables of the store or those of the budget; from here on each has both. Calls of the last
minute are not brought over. Instead the whole limit counts as spent for a minute: the new row counts until a time that
no lease can reach, and such rows count for a minute from when they are seen.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

RENAMED = {"asked": "fetched_ranges", "empty": "empty_responses", "seen": "served_symbols"}
#: More calls than any limit.
ALL_CALLS = 1_000_000_000
NEVER_MS = 2**53
#: What version 0.1 finds instead of its table of calls. It cannot use a view, and so does not count calls on its own.
NO_TABLE = "CREATE VIEW calls AS SELECT 'this file is of a newer version; update the program' AS advice"


def upgrade() -> None:
    """Rename and create tables, keeping the rows of the store."""
    whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    old = set(sa.inspect(op.get_bind()).get_table_names())
    if "asked" in old:
        for before, after in RENAMED.items():
            op.rename_table(before, after)
    else:
        _create_store_tables(whole)
    op.create_table("refresh_reports", sa.Column("window", sa.Text, primary_key=True), _text("report"))
    op.create_table("metadata", sa.Column("name", sa.Text, primary_key=True), _text("value"))
    if "asked" in old:
        op.execute('INSERT INTO refresh_reports ("window", report) SELECT "window", report FROM refreshes')
        op.execute("INSERT INTO metadata (name, value) SELECT name, value FROM facts")
        op.drop_table("refreshes")
        op.drop_table("facts")
    leases = op.create_table(
        "call_leases",
        sa.Column("lease", sa.Text, primary_key=True),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("counts_until_ms", whole, nullable=False),
    )
    op.create_table(
        "call_throttle",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("paused_until_ms", whole, nullable=False),
        sa.Column("share", sa.Double().with_variant(sa.REAL, "sqlite"), nullable=False),
        sa.Column("since_ms", whole, nullable=False),
    )
    if "calls" in old:
        op.bulk_insert(leases, [{"lease": "upgrade", "calls": ALL_CALLS, "counts_until_ms": NEVER_MS}])
        if {"pause", "easing"} <= old:
            op.execute(
                "INSERT INTO call_throttle (id, paused_until_ms, share, since_ms)"
                " SELECT 1, COALESCE((SELECT MAX(until_ms) FROM pause), 0), share, at_ms FROM easing"
            )
        for name in {"calls", "pause", "easing"} & old:
            op.drop_table(name)
        op.execute(NO_TABLE)


def _create_store_tables(whole: sa.types.TypeEngine[int]) -> None:
    def of_symbol(name: str, *columns: sa.Column[int] | sa.Column[str]) -> None:
        keys = (sa.Column("dataset", sa.Text, primary_key=True), sa.Column("symbol", sa.Text, primary_key=True))
        op.create_table(name, *keys, *columns, sqlite_with_rowid=False)

    of_symbol(
        "fetched_ranges", sa.Column("start", whole, primary_key=True), sa.Column("through", whole, nullable=False)
    )
    of_symbol("empty_responses", sa.Column("last_ms", whole, nullable=False), sa.Column("previous_ms", whole))
    of_symbol("served_symbols")
    of_symbol("claims", _text("owner"), sa.Column("until_ms", whole, nullable=False))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)
