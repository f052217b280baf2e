"""Objects are whole or not there, in a local folder and in an object store without paths, folders and renaming."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from quant_assets.common.files import WriteError
from quant_assets.storage.objects import LocalObjectStore, ObjectStore, open_objects
from quant_assets_tests.storage.places import PLACES, Place

NAME = "master_feed/2026-01-19-1645.json.gz"


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path / "lake")


@pytest.fixture
def objects(place: Place) -> ObjectStore:
    return place.objects


def names(objects: ObjectStore, prefix: str = "") -> set[str]:
    return {stored.name for stored in objects.listing(prefix)}


def test_object_is_read_as_it_was_put(objects: ObjectStore) -> None:
    for content in (b"first", b"second, and longer", b""):
        objects.put(NAME, content)
        assert objects.get(NAME) == content
        assert objects.exists(NAME)
        assert objects.size(NAME) == len(content)


def test_missing_object_is_none_and_false(objects: ObjectStore) -> None:
    objects.put("a/file", b"x")
    for name in ("b", "a/b", "a/file/b"):
        assert objects.get(name) is None
        assert not objects.exists(name)
        assert objects.size(name) == 0
        assert objects.version(name) is None
    assert not objects.delete("b")
    assert names(objects, "b") == set()


def test_listing_has_the_objects_below_a_prefix(objects: ObjectStore) -> None:
    for name in ("one", "signals/two", "signals/legacy/three", "signals_old/four"):
        objects.put(name, name.encode())
    assert names(objects) == {"one", "signals/two", "signals/legacy/three", "signals_old/four"}
    assert names(objects, "signals") == {"signals/two", "signals/legacy/three"}
    assert {stored.size for stored in objects.listing("signals/legacy")} == {len("signals/legacy/three")}
    assert objects.delete("signals/two")
    assert names(objects, "signals") == {"signals/legacy/three"}


def test_old_object_stands_until_the_new_one_is_whole(place: Place) -> None:
    place.objects.put(NAME, b"old")

    def serialise(stream: pa.NativeFile) -> None:
        stream.write(b"n" * 1_000_000)
        stream.flush()
        assert place.reopened().get(NAME) == b"old"
        stream.write(b"ew")

    place.objects.put_stream(NAME, serialise)
    assert place.objects.get(NAME) == b"n" * 1_000_000 + b"ew"


@pytest.mark.parametrize("old", [None, b"old"])
def test_failed_serialisation_leaves_the_old_object_or_none(place: Place, old: bytes | None) -> None:
    if old is not None:
        place.objects.put(NAME, old)
    before = names(place.objects)

    def serialise(stream: pa.NativeFile) -> None:
        stream.write(b"half of it")
        raise ValueError("cannot be serialised")

    with pytest.raises(ValueError, match="cannot be serialised"):
        place.objects.put_stream(NAME, serialise)
    assert place.reopened().get(NAME) == old
    assert names(place.objects) == before


def test_failed_upload_names_the_object_and_leaves_the_old_one(tmp_path: Path) -> None:
    place = Place("object store", tmp_path)
    place.objects.put(NAME, b"old")
    place.memory.limit = 1000
    with pytest.raises(WriteError, match=rf"{NAME} cannot be written \(the connection was reset\)"):
        place.objects.put(NAME, b"x" * 2000)
    assert place.objects.get(NAME) == b"old"


def die_while_writing(folder: Path) -> None:
    """Write half of an object, then die as by kill -9."""

    def serialise(stream: pa.NativeFile) -> None:
        stream.write(b"half of it" * 100_000)
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    LocalObjectStore(folder).put_stream(NAME, serialise)


@pytest.mark.parametrize("old", [None, b"old"])
def test_killed_writer_leaves_the_old_object_or_none(tmp_path: Path, old: bytes | None) -> None:
    objects = LocalObjectStore(tmp_path)
    if old is not None:
        objects.put(NAME, old)
    writer = multiprocessing.get_context("fork").Process(target=die_while_writing, args=(tmp_path,))
    writer.start()
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    assert objects.get(NAME) == old
    assert any(name.endswith(".tmp") for name in names(objects)), "the writer was killed before it wrote"


def test_version_changes_with_every_put_of_a_file(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path)
    versions = []
    for _ in range(5):
        versions.append(objects.put(NAME, b"same"))
        assert objects.version(NAME) == versions[-1]
    assert len(set(versions)) == 5


def test_version_of_a_folder_changes_when_a_file_is_added(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path)
    assert objects.version("master_feed") is None
    objects.put(NAME, b"{}")
    before = objects.version("master_feed")
    objects.put(f"{NAME}2", b"{}")
    assert None is not before != objects.version("master_feed")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_pipe_or_folder_in_place_of_an_object_is_an_error(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "object")
    with pytest.raises(OSError, match="not a file"):
        LocalObjectStore(tmp_path).get("object")


def test_listing_does_not_follow_a_link_out_of_the_folder(tmp_path: Path) -> None:
    objects = LocalObjectStore(tmp_path / "lake")
    objects.put("inside/object", b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "object").write_bytes(b"x")
    (tmp_path / "lake" / "link").symlink_to(tmp_path / "outside")
    assert names(objects) == {"inside/object"}


def test_folder_is_opened_by_its_path_or_url(tmp_path: Path) -> None:
    open_objects(tmp_path).put(NAME, b"x")
    for place in (str(tmp_path), tmp_path.as_uri()):
        assert open_objects(place).get(NAME) == b"x"
        assert open_objects(place).describe(NAME) == str(tmp_path / NAME)


def test_other_filesystem_is_opened_by_its_url() -> None:
    opened = open_objects("fsspec+memory://test_objects/lake")
    opened.put(NAME, b"x")
    assert open_objects("fsspec+memory://test_objects/lake").get(NAME) == b"x"
    assert names(opened) == {NAME}
    assert opened.describe(NAME).endswith(f"://test_objects/lake/{NAME}")
    assert opened.delete(NAME)


def test_url_of_an_unknown_filesystem_is_an_error() -> None:
    with pytest.raises(ValueError, match="ftp"):
        open_objects("ftp://127.0.0.1/lake")


def test_relative_folder_is_described_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = LocalObjectStore(Path("lake"))
    objects.put(NAME, b"x")
    assert objects.get(NAME) == b"x"
    assert objects.describe(NAME) == f"lake/{NAME}"


CUT = """
import os, sys
from quant_assets.storage.objects import open_objects
folder = sys.argv[1]
objects = open_objects(folder)
objects.put("table", b"x" * 100_000)
with objects.open("table") as file:
    os.truncate(f"{folder}/table", 100)
    print(len(file.read()))
"""


def test_file_that_is_cut_while_it_is_read_does_not_end_the_process(tmp_path: Path) -> None:
    """As one that is copied over another, and not put in its place at once."""
    command = [sys.executable, "-c", CUT, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "100\n"), done.stderr
