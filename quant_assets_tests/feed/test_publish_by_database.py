"""Publishing from several machines: an older window never replaces a newer one, whoever is slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.files import WriteError
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.feed import FeedPlace, Publication, StoredFeed, publish
from quant_assets.storage.documents import Document
from quant_assets_tests.feed.test_publish import feed_of
from quant_assets_tests.s3 import BUCKET, S3, s3_server

pytestmark = pytest.mark.slow
NOW = datetime(2026, 2, 1, tzinfo=UTC)
OLD = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
NEW = Window(OLD.end + WINDOW_LENGTH)
URL = f"s3://{BUCKET}/master_feed.json"


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def place(server: S3, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeedPlace]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    Document.at(URL).objects.delete("master_feed.json")
    yield FeedPlace(URL, tmp_path, DatabaseServer(database_url))
    server.before, server.refuses = (lambda *_: None), (lambda *_: False)


def published(place: FeedPlace) -> bytes | None:
    return Document.at(place.place).read()


def test_newer_window_replaces_the_feed_and_an_older_one_does_not(place: FeedPlace) -> None:
    assert publish(feed_of(OLD), place, NOW) is Publication.PUBLISHED
    assert publish(feed_of(NEW), place, NOW) is Publication.PUBLISHED
    assert publish(feed_of(OLD), place, NOW) is Publication.NEWER_WINDOW
    assert published(place) == feed_of(NEW).content
    assert publish(feed_of(NEW, "again", 900), place, NOW) is Publication.PUBLISHED
    assert publish(feed_of(NEW, "older candles", 800), place, NOW) is Publication.NEWER_CANDLES
    assert published(place) == feed_of(NEW, "again", 900).content


def test_feed_from_before_the_database_is_not_replaced_by_an_older_one(place: FeedPlace) -> None:
    Document.at(place.place).write(feed_of(NEW).content)
    assert publish(feed_of(OLD), place, NOW) is Publication.NEWER_WINDOW
    assert published(place) == feed_of(NEW).content


def while_it_is_put(server: S3, do: Callable[[], object]) -> None:
    """Do something once, just before the server gets the next feed."""

    def before(method: str, path: str, query: str) -> None:
        if method == "PUT":
            server.before = lambda *_: None
            do()

    server.before = before


def test_older_window_that_is_put_late_does_not_stand(place: FeedPlace, server: S3, database_url: str) -> None:
    """The machine of the older window stands still before it puts, until its lock has ended."""
    finished: list[Publication] = []

    def publish_newer() -> None:
        with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE quant_assets.locks SET until_ms = 0")
            connection.commit()
        finished.append(publish(feed_of(NEW), place, NOW))

    while_it_is_put(server, publish_newer)
    assert publish(feed_of(OLD), place, NOW) is Publication.PUBLISHED
    assert finished == [Publication.PUBLISHED]
    assert published(place) == feed_of(NEW).content


def test_feed_that_could_not_be_put_is_put_by_the_next_attempt(place: FeedPlace, server: S3) -> None:
    publish(feed_of(OLD), place, NOW)
    server.refuses = lambda method, path, query: method == "PUT"
    with pytest.raises(WriteError):
        publish(feed_of(NEW), place, NOW)
    assert published(place) == feed_of(OLD).content
    server.refuses = lambda *_: False
    assert publish(feed_of(NEW), place, NOW) is Publication.PUBLISHED
    assert published(place) == feed_of(NEW).content


def test_feed_of_a_file_is_decided_on_by_the_database(place: FeedPlace, tmp_path: Path) -> None:
    one, other = (FeedPlace(tmp_path / name / "master_feed.json", tmp_path, place.database) for name in ("a", "b"))
    assert publish(feed_of(NEW), one, NOW) is Publication.PUBLISHED
    assert publish(feed_of(OLD), other, NOW) is Publication.NEWER_WINDOW
    assert not (tmp_path / "b").exists()


def test_feed_at_a_url_without_a_database_is_locked_in_a_folder(place: FeedPlace, tmp_path: Path) -> None:
    alone = FeedPlace(URL, tmp_path)
    assert publish(feed_of(NEW), alone, NOW) is Publication.PUBLISHED
    assert publish(feed_of(OLD), alone, NOW) is Publication.NEWER_WINDOW
    stored = StoredFeed.of(published(place) or b"")
    assert stored is not None
    assert stored.window == NEW
    assert (tmp_path / "master_feed.json.lock").exists()
