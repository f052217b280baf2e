"""Tables and documents in an object store: a Parquet object for each asset and partition, feeds as compressed JSON."""

from __future__ import annotations

import gzip
import logging
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quant_assets.common.files import UnreachableObject
from quant_assets.common.windows import WINDOW_LENGTH, Window, WindowError
from quant_assets.storage.objects import MISSING_ERRORS, ObjectStore, open_objects

MAX_CACHED_TABLES: Final = 16
#: Partitions that are tried before all are listed: the newest is nearly always one of the last two.
MAX_TRIED_PARTITIONS: Final = 8
#: What pyarrow raises for an object with damaged pages, schema or pandas metadata.
DAMAGE_ERRORS: Final = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError)
TABLE_SUFFIX: Final = ".parquet"
DOCUMENT_SUFFIX: Final = ".json.gz"


class LakeError(RuntimeError):
    """A table is damaged or cannot be read, or its name is invalid; the message names it, and what to do."""


class DamagedTable(LakeError):
    """A table or document is cut, of another format, or has other columns; the message names it."""


class Lake:
    """Tables and documents in a folder, at a URL, or in an object store. Methods raise UnreachableObject for a URL.

    A key is an asset's path, like `["signals", "legacy"]`. A partition is a window's key, None if the asset has no
    partitions. A few tables are cached in memory, so that an asset need not read what another has just written.
    """

    def __init__(self, place: str | Path | ObjectStore) -> None:
        self.objects = place if isinstance(place, ObjectStore) else open_objects(place)
        self._cache: OrderedDict[str, tuple[Hashable, pd.DataFrame]] = OrderedDict()

    def describe(self, key: Sequence[str], partition: str | None = None, suffix: str = TABLE_SUFFIX) -> str:
        """Return where a table or document is, for messages: in a folder, its path."""
        return self.objects.describe(object_name(key, partition, suffix))

    def describe_partitions(self, key: Sequence[str]) -> str:
        """Return where the partitions of an asset are, for messages: in a folder, the path of their folder."""
        return self.objects.describe(object_name(key, None, ""))

    def has(self, key: Sequence[str], partition: str | None = None) -> bool:
        """Return whether an asset or a partition of it exists, as a table or as a document."""
        return any(
            self.objects.exists(object_name(key, partition, suffix)) for suffix in (TABLE_SUFFIX, DOCUMENT_SUFFIX)
        )

    def version(self, key: Sequence[str], partition: str | None = None, suffix: str = TABLE_SUFFIX) -> Hashable | None:
        """Return a value that changes when the table or document does; None if it does not exist or if that is unknown.

        Do not cache what has no version.
        """
        return self.objects.version(object_name(key, partition, suffix))

    def partitions_version(self, key: Sequence[str]) -> Hashable | None:
        """Return a value that changes when a partition is added or removed; None if there is none or it is unknown."""
        return self.objects.version(object_name(key, None, ""))

    def partitions(self, key: Sequence[str], suffix: str = TABLE_SUFFIX) -> list[str]:
        """Return the keys of the windows whose tables or documents are stored, newest first."""
        windows = [window_of(name) for name in self._newest_first(key, suffix)]
        return [window.key for window in windows if window is not None]

    def partitions_besides(self, key: Sequence[str], known: Container[str], suffix: str = TABLE_SUFFIX) -> list[str]:
        """Return the keys of the stored windows that are not `known`, oldest first."""
        stems = [name.rpartition("/")[2].removesuffix(suffix) for name in reversed(self._newest_first(key, suffix))]
        windows = [window_of(f"{stem}{suffix}") for stem in stems if f"{stem[:-2]}:{stem[-2:]}" not in known]
        return [window.key for window in windows if window is not None]

    def write(self, key: Sequence[str], partition: str | None, table: pd.DataFrame) -> int:
        """Write a table as a whole, unless the same table is already there; return its size. Raises WriteError."""
        name = object_name(key, partition, TABLE_SUFFIX)
        if self._is_unchanged(name, table):
            return self.objects.size(name)
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        categories = [field.name for field in arrow.schema if pa.types.is_dictionary(field.type)]

        size = 0

        def serialise(stream: pa.NativeFile) -> None:
            nonlocal size
            pq.write_table(arrow, stream, compression="lz4", use_dictionary=categories, write_page_checksum=True)
            size = stream.tell()

        self._cache_table(name, self.objects.put_stream(name, serialise), table)
        return size

    def read(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; return None if it does not exist. Raises LakeError if it cannot be read."""
        name = object_name(key, partition, TABLE_SUFFIX)
        cached = self._cache.get(name)
        if cached is not None and cached[0] == self.objects.version(name):
            table = cached[1]
        else:
            try:
                source, version = self.objects.open_version(name)
                with source:
                    table = _read(source)
            except MISSING_ERRORS:
                self._cache.pop(name, None)
                return None
            except (UnreachableObject, MemoryError):
                raise
            except DAMAGE_ERRORS as error:
                raise self._unreadable(name, error) from error
            self._cache_table(name, version, table)
        # A shallow copy is enough: pandas copies on write, so changes do not reach the cache.
        return table.copy(deep=False)

    def read_undamaged(self, key: Sequence[str], partition: str | None = None) -> pd.DataFrame | None:
        """Read a table; return None if it does not exist, or if it cannot be read, with a warning in the log."""
        try:
            return self.read(key, partition)
        except LakeError as error:
            logging.getLogger(__name__).warning("%s", error)
            return None

    def read_market(self, key: Sequence[str], partition: str | None, exchange: str, symbol: str) -> pa.Table | None:
        """Read the rows of one market; return None if the table does not exist, or is damaged, with a warning."""
        name = object_name(key, partition, TABLE_SUFFIX)
        is_market = [("exchange", "=", exchange), ("symbol", "=", symbol)]
        try:
            with self.objects.open(name) as source:
                return pq.read_table(source, filters=is_market, page_checksum_verification=True)
        except MISSING_ERRORS:
            return None
        except (UnreachableObject, MemoryError):
            raise
        except DAMAGE_ERRORS as error:
            logging.getLogger(__name__).warning("%s", self._unreadable(name, error))
            return None

    def newest_undamaged(self, key: Sequence[str], up_to: str) -> pd.DataFrame:
        """Read the newest undamaged partition up to the window `up_to`; return an empty table if there is none."""
        return self.newest_window(key, up_to)[1]

    def newest_window(self, key: Sequence[str], up_to: str) -> tuple[str, pd.DataFrame]:
        """Return the newest window up to `up_to` with an undamaged table, and the table; "" and an empty one if none.

        This tries windows backwards, and lists the partitions only if none of the last ones is there.
        """
        last = Window.of_key(up_to)
        oldest_tried = object_name(key, Window(last.end - (MAX_TRIED_PARTITIONS - 1) * WINDOW_LENGTH).key, TABLE_SUFFIX)
        for back in range(MAX_TRIED_PARTITIONS):
            tried = Window(last.end - back * WINDOW_LENGTH).key
            table = self.read_undamaged(key, tried)
            if table is not None:
                return tried, table
        for name in self._newest_first(key, TABLE_SUFFIX):
            window = window_of(name) if name < oldest_tried else None
            table = self.read_undamaged(key, window.key) if window is not None else None
            if window is not None and table is not None:
                return window.key, table
        return "", pd.DataFrame()

    def newest_of_each(self, key: Sequence[str], windows: Iterable[str]) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each of several windows with what `newest_undamaged` returns for it.

        The partitions are listed once, and a table that serves windows in succession is read once.
        """
        stored = self._newest_first(key, TABLE_SUFFIX)[::-1]
        last, table = 0, pd.DataFrame()
        for up_to in windows:
            count = bisect_right(stored, object_name(key, up_to, TABLE_SUFFIX))
            if count != last:
                last, table = count, self._first_undamaged(key, reversed(stored[:count]))
            yield up_to, table

    def _first_undamaged(self, key: Sequence[str], names: Iterable[str]) -> pd.DataFrame:
        """Return the first table that can be read among names of what may be partitions, an empty one if none can."""
        windows = (window for window in map(window_of, names) if window is not None)
        tables = (self.read_undamaged(key, window.key) for window in windows)
        return next((table for table in tables if table is not None), pd.DataFrame())

    def write_document(self, key: Sequence[str], partition: str, compressed: bytes) -> None:
        """Write a JSON document that `compress_document` compressed as a whole. Raises WriteError."""
        self.objects.put(object_name(key, partition, DOCUMENT_SUFFIX), compressed)

    def read_document(self, key: Sequence[str], partition: str) -> bytes | None:
        """Read a JSON document; return None if it does not exist. Raises LakeError if it is damaged."""
        name = object_name(key, partition, DOCUMENT_SUFFIX)
        try:
            content = self.objects.get(name)
            return None if content is None else gzip.decompress(content)
        except UnreachableObject:
            raise
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(name, error) from error

    def _newest_first(self, key: Sequence[str], suffix: str) -> list[str]:
        """Return the names of what may be partitions of an asset, sorted backwards."""
        folder = object_name(key, None, "")
        names = self.objects.names(folder)
        return sorted((n for n in names if n.endswith(suffix) and n.rpartition("/")[0] == folder), reverse=True)

    def _unreadable(self, name: str, error: BaseException) -> LakeError:
        if is_system_error(error):
            return LakeError(f"{self.objects.describe(name)} cannot be read ({error})")
        return DamagedTable(f"{self.objects.describe(name)} is damaged ({error}); delete it and materialize its asset")

    def _is_unchanged(self, name: str, table: pd.DataFrame) -> bool:
        """Return whether the version that was cached is still stored, and equals `table`."""
        cached = self._cache.get(name)
        return cached is not None and cached[0] == self.objects.version(name) and cached[1].equals(table)

    def _cache_table(self, name: str, version: Hashable | None, table: pd.DataFrame) -> None:
        if version is None:  # a change of the object would not be noticed
            return
        self._cache[name] = (version, table.copy(deep=False))
        self._cache.move_to_end(name)
        while len(self._cache) > MAX_CACHED_TABLES:
            self._cache.popitem(last=False)


def compress_document(content: bytes) -> bytes:
    """Compress a JSON document as it is stored, by gzip. Equal documents give equal bytes."""
    return gzip.compress(content, mtime=0)


def is_system_error(error: BaseException) -> bool:
    """Return whether the system failed to read an object, whose content may be whole: only then there is a number."""
    return isinstance(error, OSError) and error.errno is not None


def object_name(key: Sequence[str], partition: str | None, suffix: str) -> str:
    """Return the name of a table's or document's object. It omits the colon of a partition's key.

    Raises LakeError for a name that would lead out of the folder.
    """
    parts = [*key, *([] if partition is None else [partition.replace(":", "")])]
    for part in parts:
        if part in {"", ".", ".."} or "/" in part or "\0" in part:
            raise LakeError(f"invalid name of a table: {part!r}")
    return "/".join(parts) + suffix


def window_of(name: str) -> Window | None:
    """Return the window of the partition that an object is; None if it is none."""
    stem, _, suffix = name.rpartition("/")[2].partition(".")
    key = f"{stem[:-2]}:{stem[-2:]}"
    try:
        window = Window.of_key(key)
    except WindowError:
        return None
    return window if window.key == key and f".{suffix}" in {TABLE_SUFFIX, DOCUMENT_SUFFIX} else None


def _read(source: pa.NativeFile) -> pd.DataFrame:
    """Read a Parquet object column by column, to need little memory, and verify the checksum of each page."""
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        table: pd.DataFrame = file.read().to_pandas(split_blocks=True, self_destruct=True)
        return table
