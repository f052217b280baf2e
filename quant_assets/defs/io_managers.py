"""Between the assets and the lake.

Here: tables as Parquet, the feed as JSON, and the two ways in which an input may be missing. Not here: formats
and places (quant_assets/lake.py).
"""

from __future__ import annotations

from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.lake import Lake

#: Metadata of an input: where the table is missing an empty one is given, instead of a failure.
OPTIONAL: Final = {"optional": True}
#: Metadata of an input: where the partition is missing the newest earlier one is given, an empty table at last.
CARRIED_FORWARD: Final = {"carried_forward": True}


class TableIOManager(dg.IOManager):
    """Keeps DataFrames in the lake."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write the table of one asset and partition."""
        partition = context.partition_key if context.has_asset_partitions else None
        path = self.lake.write(context.asset_key.path, partition, obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(path), "bytes": path.stat().st_size})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the table of one asset and partition."""
        key = context.asset_key.path
        partition = context.asset_partition_key if context.has_asset_partitions else None
        wishes = context.definition_metadata or {}
        if partition is not None and wishes.get("carried_forward"):
            return self.lake.newest_sound(key, partition)
        if wishes.get("optional"):
            table = self.lake.read_sound(key, partition)
            return pd.DataFrame() if table is None else table
        table = self.lake.read(key, partition)
        if table is None:
            window = f" for window {partition}" if partition else ""
            raise dg.Failure(f"{context.asset_key.to_user_string()} is not there{window}; materialize it first")
        return table


class DocumentIOManager(dg.IOManager):
    """Keeps JSON documents in the lake, one for each window."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def handle_output(self, context: dg.OutputContext, obj: bytes) -> None:
        """Write the document of one window."""
        path = self.lake.write_document(context.asset_key.path, context.partition_key, obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(path), "bytes": path.stat().st_size})

    def load_input(self, context: dg.InputContext) -> bytes:
        """Read the document of one window."""
        return self.lake.path(context.asset_key.path, context.asset_partition_key, ".json").read_bytes()
