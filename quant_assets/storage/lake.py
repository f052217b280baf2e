"""The tables on disk: a Parquet file for each asset and partition, and the feeds as packed JSON."""

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

from quant_assets.common.files import atomic_write, replace_file

TABLES_IN_MEMORY: Final = 16
#: What pyarrow raises where the pages, the schema or the notes for pandas of a file are not what was written.
DAMAGES: Final = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError)
TABLE_SUFFIX: Final = ".parquet"
DOCUMENT_SUFFIX: Final = ".json.gz"

Version = tuple[int, int, int]


class LakeError(RuntimeError):
    """A table is damaged, or its name is none; the message names it. A damaged one is written anew by its asset."""


class Lake:
    """Tables and documents below the folder `root`.

    A key is an asset's path, like `["signals", "legacy"]`; a partition is a window's key, None where the asset has
    no partitions. The last tables are kept in memory, so that what one asset writes the next does not read again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._memory: OrderedDict[Path, tuple[Version, pd.DataFrame]] = OrderedDict()

    def path(self, key: Sequence[str], partition: str | None = None, suffix: str = TABLE_SUFFIX) -> Path:
        """Return where a table lies; a colon in a partition's key is left out of the file's name.

        Raises LakeError for a name that would lead out of the folder, whoever made it.
        """
        for name in (*key, *([] if partition is None else [partition])):
            if name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise LakeError(f"{name!r} names no table")
        base = self.root.joinpath(*key)
        if partition is None:
            return base.with_name(base.name + suffix)
        return base / (_file_stem(partition) + suffix)

    def has(self, key: Sequence[str], partition: str) -> bool:
        """Tell whether a partition is there, as a table or as a document."""
        return any(self.path(key, partition, suffix).exists() for suffix in (TABLE_SUFFIX, DOCUMENT_SUFFIX))

    def write(self, key: Sequence[str], partition: str | None, table: pd.DataFrame) -> Path:
        """Write a table whole, or not at all; one that lies there already, to the last value, stays as it is."""
        path = self.path(key, partition)
        if self._holds(path, table):
            return path
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        categories = [field.name for field in arrow.schema if pa.types.is_dictionary(field.type)]
        with atomic_write(path) as temporary:
            pq.write_table(arrow, temporary, compression="lz4", use_dictionary=categories, write_page_checksum=True)
            version = _version(temporary)  # which it keeps, and another process's file that comes after has not
        self._remember(path, version, table)
        return path

    def read(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; None where there is none. Raises LakeError where it is damaged."""
        path = self.path(key, partition)
        if not path.exists():
            self._memory.pop(path, None)
            return None
        kept = self._memory.get(path)
        if kept is None or kept[0] != _version(path):
            try:
                version = _version(path)
                self._remember(path, version, _read(path))
            except DAMAGES as error:
                raise LakeError(f"{path} is damaged ({error}); delete it and materialize its asset") from error
        # A shallow copy: pandas copies on write, so nobody changes what the next one reads.
        return self._memory[path][1].copy(deep=False)

    def read_sound(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; None where there is none, or where it is damaged: for those who can do without."""
        try:
            return self.read(key, partition)
        except LakeError as error:
            logging.getLogger(__name__).warning("%s", error)
            return None

    def newest_sound(self, key: Sequence[str], up_to: str) -> pd.DataFrame:
        """Read the newest partition that can be read and is not after the window `up_to`; empty where there is none."""
        stems = sorted(path.stem for path in self.root.joinpath(*key).glob("[0-9]*.parquet"))
        for stem in reversed([stem for stem in stems if stem <= _file_stem(up_to)]):
            table = self.read_sound(key, stem)
            if table is not None:
                return table
        return pd.DataFrame()

    def write_document(self, key: Sequence[str], partition: str, content: bytes) -> Path:
        """Write a JSON document, packed by gzip, whole or not at all; the same document gives the same bytes."""
        path = self.path(key, partition, DOCUMENT_SUFFIX)
        replace_file(path, gzip.compress(content, mtime=0))
        return path

    def read_document(self, key: Sequence[str], partition: str) -> bytes | None:
        """Read a JSON document; None where there is none. Raises LakeError where it is damaged."""
        path = self.path(key, partition, DOCUMENT_SUFFIX)
        try:
            return gzip.decompress(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error) as error:
            raise LakeError(f"{path} is damaged ({error}); delete it and materialize its asset") from error

    def _holds(self, path: Path, table: pd.DataFrame) -> bool:
        """Tell whether this is the table at `path`, as it was written or read last, and still is."""
        kept = self._memory.get(path)
        return kept is not None and path.exists() and kept[0] == _version(path) and kept[1].equals(table)

    def _remember(self, path: Path, version: Version, table: pd.DataFrame) -> None:
        self._memory[path] = (version, table.copy(deep=False))
        self._memory.move_to_end(path)
        while len(self._memory) > TABLES_IN_MEMORY:
            self._memory.popitem(last=False)


def _read(path: Path) -> pd.DataFrame:
    """Read a file with as little in memory twice as can be: its columns become the table's one by one.

    Every page is held against its checksum, so that a disk that has changed a value is noticed.
    """
    with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        table: pd.DataFrame = file.read().to_pandas(split_blocks=True, self_destruct=True)
        return table


def _file_stem(partition: str) -> str:
    return partition.replace(":", "")


def _version(path: Path) -> Version:
    state = path.stat()
    return state.st_mtime_ns, state.st_size, state.st_ino
