"""The tables of version 0.1, which had no version table and created them itself."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Change nothing: every database that is upgraded has these tables."""
