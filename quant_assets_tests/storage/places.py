"""Places for objects: a local folder, and an object store in memory without paths, folders, renaming or appending."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystemHandler, FileType, PyFileSystem

from quant_assets.storage.objects import LocalObjectStore, ObjectStore

PLACES = ("folder", "object store")
BUCKET = "bucket/lake"


class MemoryObjects(FileSystemHandler):  # type: ignore[misc]
    """Objects in memory. An object appears when its stream is closed, even if not everything was written.

    `modified` has the times of the last writes; writing fails after `limit` bytes.
    """

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.limit = 1 << 40
        self.listings = 0

    def get_type_name(self) -> str:
        return "memory"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        self.listings += 1
        names = [name for name in self.content if name.startswith(f"{selector.base_dir}/")]
        return [self._info(name) for name in sorted(names, key=hash)]

    def open_input_file(self, path: str) -> pa.PythonFile:
        if path not in self.content:
            raise FileNotFoundError(path)
        return pa.PythonFile(io.BytesIO(self.content[path]), mode="r")

    open_input_stream = open_input_file

    def open_output_stream(self, path: str, _: object) -> pa.PythonFile:
        return pa.PythonFile(_Upload(self, path), mode="w")

    def delete_file(self, path: str) -> None:
        if self.content.pop(path, None) is None:
            raise FileNotFoundError(path)

    def _info(self, path: str) -> FileInfo:
        if path not in self.content:
            return FileInfo(path, FileType.NotFound)
        return FileInfo(path, FileType.File, size=len(self.content[path]), mtime=self.modified.get(path))

    def _unsupported(self, *_: Any) -> NoReturn:
        raise NotImplementedError("object stores have no folders, no renaming and no appending")

    move = copy_file = create_dir = delete_dir = open_append_stream = _unsupported
    delete_dir_contents = delete_root_dir_contents = _unsupported


class _Upload(io.BytesIO):
    """An upload that is complete when it is closed, and lost if a part of it failed."""

    def __init__(self, objects: MemoryObjects, path: str) -> None:
        super().__init__()
        self._objects, self._path, self._failed = objects, path, False

    def write(self, content: Any) -> int:
        written = super().write(content)
        if self.tell() > self._objects.limit:
            self._failed = True
            raise OSError("the connection was reset")
        return written

    def close(self) -> None:
        if not self.closed and not self._failed:
            self._objects.content[self._path] = self.getvalue()
        super().close()


class Place:
    """An empty store of either kind, what tests do to its objects, and a second view of the same objects."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder = folder if kind == "folder" else None
        self.memory = MemoryObjects()
        self.objects = self.reopened()

    def reopened(self) -> ObjectStore:
        """Return the same objects as another process sees them."""
        if self.folder is not None:
            return LocalObjectStore(self.folder)
        return ObjectStore(PyFileSystem(self.memory), BUCKET)

    def set_time(self, name: str, seconds: float) -> None:
        """Set when an object was written."""
        if self.folder is not None:
            os.utime(self.folder / name, (seconds, seconds))
        self.memory.modified[f"{BUCKET}/{name}"] = seconds
