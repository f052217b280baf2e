"""Bars in S3, written by several machines that exclude each other by the database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from quant_assets.candles.bar_store import BarStore
from quant_assets.common.database_server import DatabaseServer
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.lake import Lake
from quant_assets_tests.candles.stored_bars import EXCHANGE, everything, last_times, model_of, stored_times, table_of
from quant_assets_tests.s3 import BUCKET, s3_server
from quant_assets_tests.world import environment

pytestmark = pytest.mark.slow
LAKE = f"s3://{BUCKET}/lake"


@pytest.fixture(scope="module")
def _objects() -> Iterator[None]:
    with s3_server() as server, environment(**server.environment):
        yield


@pytest.fixture
def store(_objects: None, database_url: str) -> BarStore:
    return BarStore(Lake(LAKE), DatabaseServer(database_url))


def _merge(server: DatabaseServer, symbol: str) -> None:
    for place in range(4):
        BarStore(Lake(LAKE), server).merge(EXCHANGE, "15m", table_of([(symbol, place, place)]))


def test_machines_that_write_one_day_at_once_lose_no_bar(store: BarStore, database_url: str) -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    machines = [threading.Thread(target=_merge, args=(DatabaseServer(database_url), symbol)) for symbol in symbols]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(60)
    expected = model_of((symbol, place, place) for symbol in symbols for place in range(4))
    assert everything(store) == expected
    assert stored_times(store) == last_times(expected)


def test_writer_that_lost_its_lock_fails_and_lets_the_bars_be_counted_again(store: BarStore, database_url: str) -> None:
    store.merge(EXCHANGE, "4h", table_of([("BTCUSDT", 0, 1)], "4h"))
    counts = f"exchange_bars/{EXCHANGE}/4h.parquet"
    assert store.lake.objects.exists(counts)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        with pytest.raises(LostLock), store.lock(EXCHANGE, "4h"):
            cursor.execute("UPDATE quant_assets.locks SET until_ms = 0")
    assert not store.lake.objects.exists(counts)
    assert store.last_times(EXCHANGE, "4h")["BTCUSDT"].bars == 1
