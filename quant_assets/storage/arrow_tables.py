"""Arrow tables of one schema below a key of the lake, for data that is kept by exchange and period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from quant_assets.common.files import UnreachableObject
from quant_assets.storage.lake import (
    DAMAGE_ERRORS,
    TABLE_SUFFIX,
    DamagedTable,
    Lake,
    LakeError,
    is_system_error,
    object_name,
)
from quant_assets.storage.objects import MISSING_ERRORS

#: Zstandard at its fastest would save an eighth of the size of bars, and take a quarter longer to read.
COMPRESSION: Final = "lz4"


class ArrowTables:
    """Tables of `schema` below `key`, each a Parquet object that is written as a whole.

    Columns in `repeating` have few different values, and are stored as a dictionary. Nothing is cached.
    """

    def __init__(self, lake: Lake, key: Sequence[str], schema: pa.Schema, repeating: Sequence[str] = ()) -> None:
        object_name(key, None, "")  # refuse an invalid key at once
        self._objects = lake.objects
        self._key = list(key)
        self._schema = schema
        self._repeating = list(repeating)

    def describe(self, name: str) -> str:
        """Return where a table is, for messages: in a folder, its path."""
        return self._objects.describe(self._object(name))

    def names(self) -> list[str]:
        """Return the names of all tables, sorted; a table can be damaged, or gone when it is read."""
        folder = object_name(self._key, None, "")
        stored = (name.rpartition("/") for name in self._objects.names(folder) if name.endswith(TABLE_SUFFIX))
        return sorted(name.removesuffix(TABLE_SUFFIX) for parent, _, name in stored if parent == folder)

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """Read a table, or some of its columns; return None if it does not exist.

        Each page's checksum is verified. Raises DamagedTable, and LakeError if the object cannot be read at all.
        """
        try:
            with (
                self._objects.open(self._object(name)) as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                if not file.schema_arrow.equals(self._schema):
                    raise DamagedTable(f"{self.describe(name)} is damaged (it has other columns)")
                return file.read(columns=columns, use_threads=False).unify_dictionaries().combine_chunks()
        except MISSING_ERRORS:
            return None
        except (UnreachableObject, MemoryError):
            raise
        except DAMAGE_ERRORS as error:
            if is_system_error(error):
                raise LakeError(f"{self.describe(name)} cannot be read ({error})") from error
            raise DamagedTable(f"{self.describe(name)} is damaged ({error})") from error

    def write(self, name: str, table: pa.Table) -> None:
        """Write a table as a whole. Raises WriteError; then the old one is unchanged."""
        table = table.cast(self._schema)

        def serialise(stream: pa.NativeFile) -> None:
            pq.write_table(
                table, stream, compression=COMPRESSION, use_dictionary=self._repeating, write_page_checksum=True
            )

        self._objects.put_stream(self._object(name), serialise)

    def delete(self, name: str) -> bool:
        """Delete a table; return False if there is none."""
        return self._objects.delete(self._object(name))

    def size_of(self, name: str) -> int:
        """Return the stored size of a table in bytes, 0 if there is none."""
        return self._objects.size(self._object(name))

    def size(self) -> int:
        """Return the size in bytes of everything below the key."""
        return sum(stored.size for stored in self._objects.listing(object_name(self._key, None, "")))

    def _object(self, name: str) -> str:
        return object_name(self._key, name, TABLE_SUFFIX)


def keys_below(lake: Lake, key: str) -> list[str]:
    """Return the names below a key that have tables below them, sorted."""
    parts = (name.split("/") for name in lake.objects.names(key))
    return sorted({found[1] for found in parts if len(found) > 2})
