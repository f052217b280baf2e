"""Runs migrations on the connection of the program; Alembic loads this file."""

from __future__ import annotations

from alembic import context

from quant_assets.storage.schema import SCHEMA, version_table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SCHEMA,
    version_table=version_table.name,
)
with context.begin_transaction():
    context.run_migrations()
