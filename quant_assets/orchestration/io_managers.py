"""Between the assets and the lake.

What is partitioned goes in and out as a dictionary by window, since a run may be about several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.orchestration.partitions import Tables
from quant_assets.storage.lake import Lake

#: Metadata of an input: where the table is missing an empty one is given, instead of a failure.
OPTIONAL: Final = {"optional": True}
#: Metadata of an input: where the partition is missing the newest earlier one is given, an empty table at last.
CARRIED_FORWARD: Final = {"carried_forward": True}


class TableIOManager(dg.IOManager):
    """Keeps DataFrames in the lake."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | Tables) -> None:
        """Write the table of an asset, or those of its windows."""
        tables = obj if isinstance(obj, dict) else {None: obj}
        _tell(context, [self.lake.write(context.asset_key.path, key, table) for key, table in tables.items()])

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Tables:
        """Read the table of an asset, or those of the windows of the run."""
        wishes = context.definition_metadata or {}
        if context.has_asset_partitions:
            return {key: self._read(context, key, wishes) for key in context.asset_partition_keys}
        return self._read(context, None, wishes)

    def _read(self, context: dg.InputContext, partition: str | None, wishes: Mapping[str, object]) -> pd.DataFrame:
        key = context.asset_key.path
        if partition is not None and wishes.get("carried_forward"):
            return self.lake.newest_undamaged(key, partition)
        if wishes.get("optional"):
            table = self.lake.read_undamaged(key, partition)
            return pd.DataFrame() if table is None else table
        table = self.lake.read(key, partition)
        if table is None:
            window = f" for window {partition}" if partition else ""
            raise dg.Failure(f"{context.asset_key.to_user_string()} is not there{window}; materialize it first")
        return table


class DocumentIOManager(dg.IOManager):
    """Keeps JSON documents in the lake, one for each window; nothing in the graph reads them."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def handle_output(self, context: dg.OutputContext, obj: dict[str, bytes]) -> None:
        """Write the documents of the windows of a run."""
        _tell(context, [self.lake.write_document(context.asset_key.path, key, text) for key, text in obj.items()])

    def load_input(self, context: dg.InputContext) -> dict[str, bytes]:
        """Read the documents of the windows of a run."""
        path = context.asset_key.path
        documents = {key: self.lake.read_document(path, key) for key in context.asset_partition_keys}
        return {key: content for key, content in documents.items() if content is not None}


def _tell(context: dg.OutputContext, paths: Sequence[Path]) -> None:
    """Say where it was written to, and how large it is on average."""
    where = paths[0] if len(paths) == 1 else paths[0].parent
    size = sum(path.stat().st_size for path in paths) // len(paths)
    context.add_output_metadata({"path": dg.MetadataValue.path(where), "bytes": size})
