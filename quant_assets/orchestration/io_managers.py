"""Store the assets' outputs in the lake, and load their inputs from it.

A partitioned asset takes and returns a dictionary by window key, since a run can have several windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.orchestration.partitions import Tables
from quant_assets.orchestration.window_leases import WindowLeases
from quant_assets.storage.lake import DOCUMENT_SUFFIX, TABLE_SUFFIX, Lake

#: The key of the manager for tables, which is Dagster's default.
TABLES: Final = "io_manager"
#: The key of the manager for the tables of a window, from candle features to the record: the run holds its leases.
WINDOW_TABLES: Final = "window_io_manager"
#: The key of the manager for the feeds of a window, with the same leases.
WINDOW_DOCUMENTS: Final = "document_io_manager"
#: Metadata of an input: load an empty table if the table is missing, instead of failing.
OPTIONAL: Final = {"optional": True}
#: Metadata of an input: load the newest earlier window if the window is missing, or else an empty table.
CARRIED_FORWARD: Final = {"carried_forward": True}


class TableIOManager(dg.IOManager):
    """Stores DataFrames in the lake; with leases, as long as the run holds those of its windows."""

    def __init__(self, lake: Lake, leases: WindowLeases | None = None) -> None:
        self.lake = lake
        self._leases = leases

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | Tables) -> None:
        """Write the table of an asset, or those of its windows. Raises LostLock before it writes."""
        if self._leases is not None:
            self._leases.require()
        tables = obj if isinstance(obj, dict) else {None: obj}
        sizes = {key: self.lake.write(context.asset_key.path, key, table) for key, table in tables.items()}
        _add_storage_metadata(context, self.lake, sizes, TABLE_SUFFIX)

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Tables:
        """Read the table of an asset, or those of the windows of the run."""
        options = context.definition_metadata or {}
        if context.has_asset_partitions:
            keys = _window_keys(context)
            if options.get("carried_forward") and len(keys) > 1:
                return dict(self.lake.newest_of_each(context.asset_key.path, keys))
            return {key: self._read(context, key, options) for key in keys}
        return self._read(context, None, options)

    def _read(self, context: dg.InputContext, partition: str | None, options: Mapping[str, object]) -> pd.DataFrame:
        key = context.asset_key.path
        if partition is not None and options.get("carried_forward"):
            return self.lake.newest_undamaged(key, partition)
        if options.get("optional"):
            table = self.lake.read_undamaged(key, partition)
            return pd.DataFrame() if table is None else table
        table = self.lake.read(key, partition)
        if table is None:
            window = f" for window {partition}" if partition else ""
            raise dg.Failure(f"{context.asset_key.to_user_string()} is missing{window}; materialize it first")
        return table


class DocumentIOManager(dg.IOManager):
    """Stores JSON documents in the lake, one for each window, as long as the run holds the leases of its windows."""

    def __init__(self, lake: Lake, leases: WindowLeases) -> None:
        self.lake = lake
        self._leases = leases

    def handle_output(self, context: dg.OutputContext, obj: dict[str, bytes]) -> None:
        """Write the documents of the windows of a run, which are compressed. Raises LostLock before it writes."""
        self._leases.require()
        for key, document in obj.items():
            self.lake.write_document(context.asset_key.path, key, document)
        sizes = {key: len(document) for key, document in obj.items()}
        _add_storage_metadata(context, self.lake, sizes, DOCUMENT_SUFFIX)

    def load_input(self, context: dg.InputContext) -> dict[str, bytes]:
        """Read the documents of the windows of a run."""
        path = context.asset_key.path
        documents = {key: self.lake.read_document(path, key) for key in _window_keys(context)}
        return {key: content for key, content in documents.items() if content is not None}


def _window_keys(context: dg.InputContext) -> list[str]:
    """Return the keys of the windows of the run.

    Dagster leaves out windows that have not ended by the machine's clock. If the clock is slow, that is the window of
    the run, which is returned all the same.
    """
    keys = list(context.asset_partition_keys)
    return [context.partition_key] if not keys and context.has_partition_key else keys


def _add_storage_metadata(
    context: dg.OutputContext, lake: Lake, sizes: Mapping[str | None, int] | Mapping[str, int], suffix: str
) -> None:
    """Add where the partitions are that were written, or None without partitions, and their average size."""
    key, partitions = context.asset_key.path, list(sizes)
    one = len(partitions) == 1
    path = lake.describe(key, partitions[0], suffix) if one else lake.describe_partitions(key)
    size = sum(sizes.values()) // len(partitions)
    context.add_output_metadata({"path": dg.MetadataValue.path(path), "bytes": size})
