"""Two machines that publish two windows in the wrong order."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import pytest

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.storage.documents import Document
from quant_assets_tests.defs.workers import FEED, Cluster, published_feed

pytestmark = pytest.mark.cluster
FEED_PATH = "/" + urlsplit(FEED).netloc + urlsplit(FEED).path


@pytest.fixture
def windows(cluster: Cluster) -> tuple[str, str]:
    """Return an old and a new window, which are analysed; no feed is published yet."""
    new = cluster.world.window
    old = Window(new.end - WINDOW_LENGTH)
    cluster.succeeded("scan", new.key)
    with closing(psycopg2.connect(cluster.databases[1])) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM quant_assets.published_feed")
        connection.commit()
    Document.at(FEED).objects.delete(FEED_PATH.rpartition("/")[2])
    return old.key, new.key


def test_older_window_that_is_scanned_later_does_not_replace_the_newer(
    cluster: Cluster, windows: tuple[str, str]
) -> None:
    old, new = windows
    assert cluster.execute("worker-1", "order-new", "analyse", new).wait(120) == 0
    assert cluster.execute("worker-2", "order-old", "analyse", old).wait(120) == 0
    assert published_feed()["window"] == new


def test_older_window_of_a_machine_that_stood_still_does_not_stand(cluster: Cluster, windows: tuple[str, str]) -> None:
    """The machine stops while it puts its feed, for longer than its lock lasts."""
    old, new = windows
    is_put, goes_on, order = threading.Event(), threading.Event(), list[str]()

    def hold_the_first(method: str, path: str, _: str) -> None:
        if method != "PUT" or path != FEED_PATH:
            return
        order.append("old" if not is_put.is_set() else "new" if not goes_on.is_set() else "again")
        if not is_put.is_set():
            is_put.set()
            goes_on.wait(120)

    cluster.objects.before = hold_the_first
    slow = cluster.execute("worker-1", "order-slow", "analyse", old)
    try:
        assert is_put.wait(120)
        os.killpg(slow.pid, signal.SIGSTOP)
        assert cluster.execute("worker-2", "order-fast", "analyse", new).wait(120) == 0
        assert published_feed()["window"] == new
    finally:
        goes_on.set()
        os.killpg(slow.pid, signal.SIGCONT)
    assert slow.wait(120) != 0  # the lease of its window has ended too
    assert f"the lock 'window {old}' ended" in cluster.log("order-slow")
    assert order[:2] == ["old", "new"]
    assert "again" in order
    assert published_feed()["window"] == new
