"""Create the table of what exchanges say of their markets at the end of a window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    number: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL, "sqlite")
    op.create_table(
        "exchange_snapshots",
        sa.Column("exchange", sa.Text, primary_key=True),
        sa.Column("symbol", sa.Text, primary_key=True),
        sa.Column("closed_at_ms", whole, primary_key=True),
        sa.Column("observed_at_ms", whole, nullable=False),
        sa.Column("open_interest", number),
        sa.Column("funding_rate_pct", number),
        sa.Column("interval_hours", number),
        sa.Column("simulated", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
