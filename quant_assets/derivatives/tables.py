"""The tables of bars in the store, one for each dataset of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Column, MetaData, Table, Text

from quant_assets.derivatives.datasets import SPECS
from quant_assets.storage.schema import NUMBER, WHOLE

BAR_TABLES: Final = MetaData()
#: The symbols of a query, as a table to join with.
selected: Final = Table("selected", MetaData(), Column("symbol", Text, primary_key=True), prefixes=["TEMPORARY"])


def _bar_table(dataset: str, columns: tuple[str, ...]) -> Table:
    """Return the table of a dataset's bars, which open at `t` (UNIX seconds)."""
    return Table(
        dataset,
        BAR_TABLES,
        Column("symbol", Text, primary_key=True),
        Column("t", WHOLE, primary_key=True),
        *(Column(name, NUMBER, nullable=False) for name in columns),
        sqlite_with_rowid=False,
    )


BARS: Final[Mapping[str, Table]] = {dataset: _bar_table(dataset, spec.columns) for dataset, spec in SPECS.items()}
