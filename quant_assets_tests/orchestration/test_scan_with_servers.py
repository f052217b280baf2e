"""A scan whose tables are in an object store and whose records are in PostgreSQL, beside one of a data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import orjson
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import LOOPBACK_ORIGIN
from quant_assets.dashboard.feed_repository import FeedError, FeedRepository
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.orchestration.job_names import SCAN
from quant_assets.providers.budget import CallBudget
from quant_assets.signals import discover_strategies
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake
from quant_assets.storage.origins import recorded_origins
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD, new_database
from quant_assets_tests.s3 import BUCKET, SECRET, s3_server
from quant_assets_tests.world import World, environment, kept_in_memory

pytestmark = pytest.mark.system
LAKE = f"s3://{BUCKET}/lake"
FEED = f"s3://{BUCKET}/feeds/master_feed.json"


@pytest.fixture(scope="module")
def database(database_server: str) -> str:
    return new_database(database_server)


@pytest.fixture(scope="module")
def scanned(world: World, database: str) -> Iterator[World]:
    with (
        s3_server() as server,
        environment(**server.environment, QUANT_DATABASE_URL=database),
        kept_in_memory(world) as kept,
    ):
        kept.scan("folder")
        kept.scan("urls", lake_url=LAKE, database_url=database, feed_url=FEED)
        yield kept


def test_tables_are_those_of_a_scan_into_a_folder(scanned: World) -> None:
    folder, s3 = Lake(scanned.settings("folder").lake_dir), Lake(LAKE)
    for strategy in discover_strategies().strategies:
        key = ["signals", strategy.key]
        expected, found = (lake.read(key, scanned.window.key) for lake in (folder, s3))
        assert expected is not None
        assert found is not None
        assert expected.equals(found)
    stored = [sorted(each.name for each in lake.objects.listing()) for lake in (folder, s3)]
    assert stored[0] == stored[1]


def test_data_folder_has_no_file(scanned: World) -> None:
    assert not list(scanned.settings("urls").data_dir.iterdir())


def test_published_feed_is_the_stored_one(scanned: World) -> None:
    published = Document.at(FEED).read()
    assert published is not None
    assert Lake(LAKE).read_document(["master_feed"], scanned.window.key) == published
    assert orjson.loads(published)["window"] == scanned.window.key
    assert Lake(LAKE).describe(["master_feed"], scanned.window.key, DOCUMENT_SUFFIX).startswith(f"{LAKE}/master_feed/")


def test_dashboard_reads_the_feeds_at_the_urls(scanned: World) -> None:
    feeds = FeedRepository(scanned.settings("urls", lake_url=LAKE, feed_url=FEED))
    assert feeds.windows() == [scanned.window.key]
    assert feeds.read().etag == feeds.read(scanned.window.key).etag
    assert feeds.newest_version() is not None
    missing = FeedRepository(scanned.settings("urls", lake_url=LAKE, feed_url=f"{FEED}.missing"))
    with pytest.raises(FeedError, match="no feed yet"):
        missing.read()


def test_database_has_the_bars_the_calls_and_the_origin(scanned: World, database: str) -> None:
    settings = scanned.settings("urls", database_url=database)
    served = []
    for store in (DerivativesStore(scanned.settings("folder").store_path), DerivativesStore(DatabaseServer(database))):
        with closing(store):
            served.append({dataset: store.served_symbols(dataset) for dataset in DATASETS})
            assert store.simulated
            assert store.load_report(scanned.window.key) is not None
    assert served[0] == served[1]
    assert served[0]["open_interest"]
    with closing(CallBudget(settings.budget_path, settings.calls_per_minute)) as budget:
        assert budget.spent() > 0
    assert recorded_origins(settings) == {"coinalyze": LOOPBACK_ORIGIN}


def test_scanning_again_costs_no_call(scanned: World, database: str) -> None:
    with environment(QUANT_DATABASE_URL=database):
        again = scanned.scan("other machine", lake_url=LAKE, database_url=database, feed_url=FEED)
    assert again.api["calls"] == 0


def test_password_is_in_no_record_of_a_run_that_cannot_use_the_database(scanned: World, database: str) -> None:
    wrong = database.replace(DATABASE_PASSWORD, f"{DATABASE_PASSWORD}-wrong")
    settings = scanned.settings("wrong", database_url=wrong)
    with scanned.opened("wrong") as instance, environment(QUANT_DATABASE_URL=wrong):
        job = build_definitions(settings).resolve_job_def(SCAN)
        result = job.execute_in_process(instance=instance, partition_key=scanned.window.key, raise_on_error=False)
        records = [str(entry) for entry in instance.all_logs(result.run_id)]
    assert not result.success
    assert any("password authentication failed" in line for line in records)
    assert [line for line in records if DATABASE_PASSWORD in line] == []


def test_secrets_are_in_no_record_of_dagster(scanned: World) -> None:
    with scanned.opened("urls") as instance:
        runs = instance.get_runs()
        records = [str(entry) for run in runs for entry in instance.all_logs(run.run_id)] + list(map(str, runs))
    assert len(records) > 50
    assert [line for line in records if SECRET in line or DATABASE_PASSWORD in line] == []
