"""Objects in a local folder or on another filesystem of pyarrow. An object appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.files import CHECK_STORE, UnreachableObject, WriteError, atomic_write

#: What `open` raises if there is no object.
MISSING_ERRORS: Final = (FileNotFoundError, NotADirectoryError)
#: Reads of an object that other writers replace all the time, before it counts as unreachable.
MAX_READS: Final = 5
#: How often a request to an object store is tried, with growing pauses of half a minute in all, and the limits on each.
MAX_ATTEMPTS: Final = 8
CONNECT_TIMEOUT_SECONDS: Final = 5.0
REQUEST_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The name of an object below the root, its size in bytes, and when it was written (UNIX seconds, None: unknown).

    The time is for retention only: filesystems differ in its precision, and some have none.
    """

    name: str
    size: int
    modified_seconds: float | None


class ObjectStore:
    """Objects below `root` of a pyarrow filesystem; a name is a relative path with slashes.

    An object is serialised in memory and put by one stream, since a stream that is broken off could leave half of it,
    and it is read as a whole, so that no reader mixes two versions. Nothing relies on folders, on renaming, on times or
    on the order of a listing, so object stores will do. All methods raise UnreachableObject.
    """

    def __init__(self, filesystem: pa.fs.FileSystem, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    def describe(self, name: str) -> str:
        """Return where an object is, for messages. It has no credentials, unlike the URL of a store may."""
        return f"{self._filesystem.type_name}://{self._path(name).lstrip('/')}"

    def exists(self, name: str) -> bool:
        """Return whether there is an object."""
        return self._size(name) is not None

    def size(self, name: str) -> int:
        """Return the size of an object in bytes, 0 if there is none."""
        return self._size(name) or 0

    def version(self, name: str) -> Hashable | None:
        """Return a value that changes when the object does; None if there is no object, or if that is unknown.

        It is the ETag, and unknown if the store has none: two objects can have the same size and time.
        """
        try:
            with self._reached(name), self._filesystem.open_input_file(self._path(name)) as file:
                return _etag(file)
        except MISSING_ERRORS:
            return None

    def open(self, name: str) -> pa.NativeFile:
        """Open an object for reading at any position. Raises one of MISSING_ERRORS, or UnreachableObject."""
        return self.open_version(name)[0]

    def open_version(self, name: str) -> tuple[pa.NativeFile, Hashable | None]:
        """Open an object as `open` does; return also the version that is read, None if that is unknown."""
        for _ in range(MAX_READS):
            with self._reached(name), self._filesystem.open_input_file(self._path(name)) as file:
                etag, content = _etag(file), file.read()
            # The size was asked for before the content: of a longer object written between them, the end is missing.
            if etag is None or _is_etag_of(etag, content) or self.version(name) == etag:
                return pa.BufferReader(content), etag
        raise UnreachableObject(f"{self.describe(name)} cannot be read (it changes all the time)")

    def get(self, name: str) -> bytes | None:
        """Return the content of an object, None if there is none. Raises OSError."""
        try:
            with self.open(name) as file:
                content: bytes = file.read()
        except MISSING_ERRORS:
            return None
        return content

    def put(self, name: str, content: bytes) -> Hashable | None:
        """Write an object; return its version, None if that is unknown. Raises WriteError."""
        return self.put_stream(name, lambda stream: stream.write(content))

    def put_stream(self, name: str, serialise: Callable[[pa.NativeFile], object]) -> Hashable | None:
        """Write what `serialise` writes into a stream as an object; return its version, None if that is unknown.

        After any exception of `serialise` the old object is unchanged. Raises WriteError.
        """
        buffer = pa.BufferOutputStream()
        serialise(buffer)
        content = buffer.getvalue()
        try:
            # Without compression=None, pyarrow compresses what is named *.gz once more.
            stream = self._filesystem.open_output_stream(self._path(name), compression=None)
            stream.write(content)
            stream.close()  # only now: closing completes the object
        except OSError as error:
            raise WriteError(error.errno, error.strerror or str(error), self.describe(name)) from error
        return _md5(content) if self._has_etags else None

    def delete(self, name: str) -> bool:
        """Delete an object; return False if there is none."""
        try:
            with self._reached(name):
                self._filesystem.delete_file(self._path(name))
        except MISSING_ERRORS:
            return False
        return True

    def listing(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects below a prefix, like `signals/legacy`, in any order."""
        base = self._path(prefix)
        selector = pa.fs.FileSelector(base, allow_not_found=True, recursive=True)
        with self._reached(prefix):
            found = self._filesystem.get_file_info(selector)
        for info in found:
            if info.type == pa.fs.FileType.File:
                modified = None if info.mtime_ns is None else info.mtime_ns / 1e9
                yield StoredObject(info.path[len(self._root) :].lstrip("/"), info.size, modified)

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of the objects below a prefix, in any order."""
        return (stored.name for stored in self.listing(prefix))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _size(self, name: str) -> int | None:
        """Return the size of an object, None if there is none, by one request: pyarrow's file info also lists."""
        try:
            with self._reached(name), self._filesystem.open_input_file(self._path(name)) as file:
                size: int = file.size()
        except MISSING_ERRORS:
            return None
        return size

    @property
    def _has_etags(self) -> bool:
        return bool(self._filesystem.type_name == "s3")

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        """Raise UnreachableObject for an error that does not say that the object is missing."""
        try:
            yield
        except MISSING_ERRORS:
            raise
        except OSError as error:
            raise UnreachableObject(f"{self.describe(name)} cannot be reached ({error}); {CHECK_STORE}") from error


class LocalObjectStore(ObjectStore):
    """Objects as files below a folder.

    They are not read by memory mapping: a file that is cut meanwhile would end the process. An object is serialised
    into a temporary file, which replaces the object when it is whole: this needs no memory for a large table. A killed
    writer leaves a temporary file, which `listing` shows too.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(pa.fs.LocalFileSystem(), str(folder))
        self._folder = folder

    def describe(self, name: str) -> str:
        """Return the path of an object."""
        return str(self._folder / name)

    def version(self, name: str) -> FileIdentity | None:
        """Return the identity of the file, or of a folder, whose identity changes when a file is added or removed."""
        try:
            return FileIdentity.of((self._folder / name).stat())
        except OSError:
            return None

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading. Raises one of MISSING_ERRORS, or another OSError, also for a pipe or a device."""
        path = self._folder / name
        if not path.is_file() and path.exists():  # reading a pipe would never end
            raise OSError(errno.EINVAL, "not a file")
        return self._filesystem.open_input_file(self._path(name))

    def open_version(self, name: str) -> tuple[pa.NativeFile, Hashable | None]:
        """Open a file as `open` does; return also its identity, taken before, so that a change is noticed later."""
        version = self.version(name)
        return self.open(name), version

    def put_stream(self, name: str, serialise: Callable[[pa.NativeFile], object]) -> FileIdentity:
        """Write what `serialise` writes into a stream as a file; return its identity.

        After any exception the old file is unchanged. Raises WriteError.
        """
        with atomic_write(self._folder / name) as temporary:
            with pa.OSFile(str(temporary), "wb") as stream:
                serialise(stream)
            # The rename keeps the identity; a file that another process writes has another one.
            return FileIdentity.of(temporary.stat())

    def delete(self, name: str) -> bool:
        """Delete a file; return False if there is none."""
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:  # another process removed it
            return False
        return True

    def listing(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the files below a folder, temporary ones included, but not what links to other folders lead to."""
        for name in self.names(prefix):
            try:
                status = (self._folder / name).stat()
            except FileNotFoundError:  # removed since, or a broken link
                continue
            yield StoredObject(name, status.st_size, status.st_mtime)

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of the files below a folder, without a system call for each."""
        for folder, _, files in os.walk(self._folder / prefix):
            below = os.path.relpath(folder, self._folder)
            yield from files if below == "." else (f"{below}/{file}" for file in files)

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:  # noqa: ARG002 - errors of a disk say which file and what to do
        yield


def open_objects(place: str | Path, environment: Mapping[str, str] = os.environ) -> ObjectStore:
    """Open a folder, or a URL: `file:///folder`, `s3://bucket/prefix`, or of another filesystem that pyarrow knows.

    The usual variables of AWS in the environment name endpoint, region and credentials. Raises ValueError if pyarrow
    does not know the URL.
    """
    if isinstance(place, Path):
        return LocalObjectStore(place)
    if place.startswith("s3://"):
        return ObjectStore(_s3(environment), place.removeprefix("s3://"))
    filesystem, root = pa.fs.FileSystem.from_uri(place)
    return LocalObjectStore(Path(root)) if filesystem.type_name == "local" else ObjectStore(filesystem, root)


def _s3(environment: Mapping[str, str]) -> pa.fs.FileSystem:
    """Connect to S3, or to a server that speaks its protocol, with what the environment says."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    credentials = tuple(
        environment.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    )
    return _connected_s3(os.getpid(), endpoint, region, credentials)


@lru_cache(maxsize=4)
def _connected_s3(_process: int, endpoint: str, region: str, _credentials: tuple[str | None, ...]) -> pa.fs.FileSystem:
    """Connect once in a process: pyarrow would wait for all requests in flight before it connects again.

    Writes in the background are left on: without them, pyarrow completes a large object whose last parts failed.
    """
    address = urlsplit(endpoint)
    return pa.fs.S3FileSystem(
        region=region,
        **({"scheme": address.scheme, "endpoint_override": address.netloc} if address.netloc else {}),
        allow_delayed_open=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        request_timeout=REQUEST_TIMEOUT_SECONDS,
        retry_strategy=pa.fs.AwsStandardS3RetryStrategy(max_attempts=MAX_ATTEMPTS),
    )


def _etag(file: pa.NativeFile) -> str | None:
    found = file.metadata().get("ETag")
    return None if found is None else found.decode().strip('"')


def _is_etag_of(etag: str, content: bytes) -> bool:
    """Return whether an ETag is that of a content, as it is of an object that was put by one request, unencrypted."""
    return "-" not in etag and etag == _md5(content)


def _md5(content: bytes | pa.Buffer) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
