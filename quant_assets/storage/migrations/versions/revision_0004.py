"""Let a database have several budgets, and add what processes of several machines share: locks, origins, the feed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column and tables; a file keeps its one budget, whose name is empty."""
    whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("call_leases", sa.Column("budget", sa.Text, nullable=False, server_default=""))
    op.rename_table("call_throttle", "old_throttle")
    op.create_table(
        "call_throttle",
        sa.Column("budget", sa.Text, primary_key=True),
        sa.Column("paused_until_ms", whole, nullable=False),
        sa.Column("share", sa.Double().with_variant(sa.REAL, "sqlite"), nullable=False),
        sa.Column("since_ms", whole, nullable=False),
    )
    op.execute(
        "INSERT INTO call_throttle (budget, paused_until_ms, share, since_ms)"
        " SELECT '', paused_until_ms, share, since_ms FROM old_throttle"
    )
    op.drop_table("old_throttle")
    op.create_table("locks", sa.Column("name", sa.Text, primary_key=True), _text("owner"), _whole("until_ms", whole))
    op.create_table("origins", sa.Column("source", sa.Text, primary_key=True), _text("origin"))
    op.create_table(
        "published_feed",
        sa.Column("name", sa.Text, primary_key=True),
        _whole("number", whole),
        _text("window"),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _whole(name: str, whole: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column(name, whole, nullable=False)
