"""Locks in files and in a database: one holder at a time, freed by the holder's death."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg2
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.locks import exclusive
from quant_assets.storage.opening import open_database

FORK = multiprocessing.get_context("fork")
#: How long a lock in the database lasts here after its holder died.
LOCK_SECONDS = 1.5


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | DatabaseServer:
    if request.param == "file":
        return tmp_path / "locks"
    return DatabaseServer(request.getfixturevalue("database_url"))


def _hold_and_die(place: Path | DatabaseServer, told: Connection) -> None:
    with exclusive(place, "scan", lock_seconds=LOCK_SECONDS):
        told.send("held")
        with suppress(EOFError):
            told.recv()
        os.kill(os.getpid(), signal.SIGKILL)


def test_lock_of_a_killed_process_is_free_again(place: Path | DatabaseServer) -> None:
    mine, theirs = FORK.Pipe()
    process = FORK.Process(target=_hold_and_die, args=(place, theirs))
    process.start()
    assert mine.recv() == "held"
    waited = []

    def on_wait() -> None:
        waited.append(True)
        mine.send("die")

    with exclusive(place, "scan", on_wait):
        assert waited == [True]
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_locks_of_other_names_do_not_wait(place: Path | DatabaseServer) -> None:
    with exclusive(place, "one") as one, exclusive(place, "other") as other:
        one.require()
        other.require()
    with exclusive(place, "one"):
        pass


def _count(place: Path | DatabaseServer, file: Path, times: int) -> None:
    for _ in range(times):
        with exclusive(place, "count"):
            file.write_text(str(int(file.read_text()) + 1))


def test_holders_exclude_each_other(place: Path | DatabaseServer, tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")
    processes = [FORK.Process(target=_count, args=(place, file, 3)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert file.read_text() == "6"


@pytest.mark.slow
def test_holder_keeps_its_lock_for_longer_than_it_lasts(database_url: str) -> None:
    server = DatabaseServer(database_url)
    with exclusive(server, "scan", lock_seconds=LOCK_SECONDS) as lock:
        until = time.monotonic() + 2 * LOCK_SECONDS
        waited, got = threading.Event(), threading.Event()

        def take() -> None:
            with exclusive(server, "scan", waited.set):
                got.set()

        other = threading.Thread(target=take)
        other.start()
        assert waited.wait(30)
        assert not got.wait(until - time.monotonic())
        lock.require()
    other.join(30)
    assert got.is_set()


@pytest.mark.slow
def test_long_write_of_the_store_does_not_end_a_lock(database_url: str) -> None:
    server = DatabaseServer(database_url)
    with (
        closing(open_database(server)) as database,
        exclusive(server, "scan", lock_seconds=LOCK_SECONDS) as lock,
        database.write(),
    ):
        threading.Event().wait(2 * LOCK_SECONDS)
        lock.require()


@pytest.mark.slow
def test_lock_that_ended_is_reported_to_its_holder(database_url: str) -> None:
    server = DatabaseServer(database_url)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        with exclusive(server, "scan", lock_seconds=LOCK_SECONDS) as lock:
            cursor.execute("UPDATE quant_assets.locks SET until_ms = 0")
            with exclusive(server, "scan") as other:
                with pytest.raises(LostLock, match="'scan' ended"):
                    lock.require()
                other.require()
        cursor.execute("SELECT count(*) FROM quant_assets.locks")
        assert cursor.fetchall() == [(0,)]
