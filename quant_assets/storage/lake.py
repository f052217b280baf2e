"""Tables and documents on disk: a Parquet file for each asset and partition, and feeds as compressed JSON."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.files import atomic_write, replace_file

MAX_CACHED_TABLES: Final = 16
#: What pyarrow raises for a file with damaged pages, schema or pandas metadata.
DAMAGE_ERRORS: Final = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError)
TABLE_SUFFIX: Final = ".parquet"
DOCUMENT_SUFFIX: Final = ".json.gz"


class LakeError(RuntimeError):
    """A table is damaged or its name is invalid; the message names it. Materialize the asset to write it again."""


class Lake:
    """Tables and documents below the folder `root`.

    A key is an asset's path, like `["signals", "legacy"]`. A partition is a window's key, None if the asset has no
    partitions. The last tables are cached in memory, so that an asset need not read what another has just written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cache: OrderedDict[Path, tuple[FileIdentity, pd.DataFrame]] = OrderedDict()

    def path(self, key: Sequence[str], partition: str | None = None, suffix: str = TABLE_SUFFIX) -> Path:
        """Return the path of a table or document. The file name omits the colon of a partition's key.

        Raises LakeError for a name that would lead out of the folder.
        """
        for name in (*key, *([] if partition is None else [partition])):
            if name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise LakeError(f"invalid name of a table: {name!r}")
        base = self.root.joinpath(*key)
        if partition is None:
            return base.with_name(base.name + suffix)
        return base / (_file_stem(partition) + suffix)

    def has(self, key: Sequence[str], partition: str) -> bool:
        """Return whether a partition exists, as a table or as a document."""
        return any(self.path(key, partition, suffix).exists() for suffix in (TABLE_SUFFIX, DOCUMENT_SUFFIX))

    def write(self, key: Sequence[str], partition: str | None, table: pd.DataFrame) -> Path:
        """Write a table atomically, unless the same table is already there. Return its path."""
        path = self.path(key, partition)
        if self._is_unchanged(path, table):
            return path
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        categories = [field.name for field in arrow.schema if pa.types.is_dictionary(field.type)]
        with atomic_write(path) as temporary:
            pq.write_table(arrow, temporary, compression="lz4", use_dictionary=categories, write_page_checksum=True)
            # The rename keeps the identity; a file that another process writes has another one.
            identity = FileIdentity.of(temporary.stat())
        self._add_to_cache(path, identity, table)
        return path

    def read(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; return None if it does not exist. Raises LakeError if it is damaged."""
        path = self.path(key, partition)
        identity = FileIdentity.at(path)
        if identity is None:
            self._cache.pop(path, None)
            return None
        cached = self._cache.get(path)
        if cached is None or cached[0] != identity:
            try:
                self._add_to_cache(path, identity, _read(path))
            except DAMAGE_ERRORS as error:
                raise LakeError(f"{path} is damaged ({error}); delete it and materialize its asset") from error
        # A shallow copy is enough: pandas copies on write, so changes do not reach the cache.
        return self._cache[path][1].copy(deep=False)

    def read_undamaged(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; return None if it does not exist, or if it is damaged, with a warning in the log."""
        try:
            return self.read(key, partition)
        except LakeError as error:
            logging.getLogger(__name__).warning("%s", error)
            return None

    def newest_undamaged(self, key: Sequence[str], up_to: str) -> pd.DataFrame:
        """Read the newest undamaged partition up to the window `up_to`; return an empty table if there is none."""
        stems = sorted(path.stem for path in self.root.joinpath(*key).glob("[0-9]*.parquet"))
        for stem in reversed([stem for stem in stems if stem <= _file_stem(up_to)]):
            table = self.read_undamaged(key, stem)
            if table is not None:
                return table
        return pd.DataFrame()

    def write_document(self, key: Sequence[str], partition: str, content: bytes) -> Path:
        """Write a JSON document atomically, compressed by gzip; equal documents give equal bytes. Return its path."""
        path = self.path(key, partition, DOCUMENT_SUFFIX)
        replace_file(path, gzip.compress(content, mtime=0))
        return path

    def read_document(self, key: Sequence[str], partition: str) -> bytes | None:
        """Read a JSON document; return None if it does not exist. Raises LakeError if it is damaged."""
        path = self.path(key, partition, DOCUMENT_SUFFIX)
        try:
            return gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error) as error:
            raise LakeError(f"{path} is damaged ({error}); delete it and materialize its asset") from error

    def _is_unchanged(self, path: Path, table: pd.DataFrame) -> bool:
        """Return whether `path` still holds the version that was cached, and that equals `table`."""
        cached = self._cache.get(path)
        return cached is not None and cached[0] == FileIdentity.at(path) and cached[1].equals(table)

    def _add_to_cache(self, path: Path, identity: FileIdentity, table: pd.DataFrame) -> None:
        self._cache[path] = (identity, table.copy(deep=False))
        self._cache.move_to_end(path)
        while len(self._cache) > MAX_CACHED_TABLES:
            self._cache.popitem(last=False)


def _read(path: Path) -> pd.DataFrame:
    """Read a Parquet file column by column, to need little memory, and verify the checksum of each page."""
    with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        table: pd.DataFrame = file.read().to_pandas(split_blocks=True, self_destruct=True)
        return table


def _file_stem(partition: str) -> str:
    return partition.replace(":", "")
