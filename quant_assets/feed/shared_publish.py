"""Publishing the feed from several machines. Import this module only where there is a database."""

from __future__ import annotations

import gzip
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from quant_assets.common.database_server import DatabaseServer
from quant_assets.feed.publish import FeedPlace, Publication, StoredFeed, reason_to_keep, stored_feed
from quant_assets.storage.lake import compress_document
from quant_assets.storage.locks import exclusive
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import published_feed

NAME: Final = "master_feed"
_NEWEST: Final = sa.select(published_feed.c.number, published_feed.c.content).where(published_feed.c.name == NAME)


def publish_by_database(feed: StoredFeed, place: FeedPlace, server: DatabaseServer, now: datetime) -> Publication:
    """Publish from any of several machines: the database decides which feed is the newest, whoever is slow.

    A writer may be delayed between its decision and its write, even beyond the end of its lock. So each looks again
    after it wrote, and writes the feed that was decided on meanwhile.
    """
    document = place.document
    with closing(open_database(server)) as database, exclusive(server, place.lock_name):
        with database.write() as connection:
            published = _published(connection)
            existing = stored_feed(document) if published is None else StoredFeed.of(published.content)
            reason = reason_to_keep(existing, feed, now)
            if reason is not None:
                return reason
            number = 1 if published is None else published.number + 1
            row = (NAME, number, feed.window.key, compress_document(feed.content))
            database.replace_rows(connection, published_feed, [row])
        written = _Published(number, feed.content)
        while True:
            document.write(written.content)
            newest = database.read(_published)
            if newest is None or newest.number == written.number:
                return Publication.PUBLISHED
            written = newest


@dataclass(frozen=True, slots=True)
class _Published:
    """The feed that the database has as the newest, and how many were published until it."""

    number: int
    content: bytes


def _published(connection: sa.Connection) -> _Published | None:
    row = connection.execute(_NEWEST).first()
    return None if row is None else _Published(row.number, gzip.decompress(row.content))
