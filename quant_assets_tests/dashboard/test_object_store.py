"""A dashboard whose feeds and tables are in an object store that is slow, or refuses requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import orjson
import pytest

from quant_assets.common.settings import Settings
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import Lake, compress_document
from quant_assets_tests.dashboard.serving import Json, Site, serving
from quant_assets_tests.dashboard.test_events import events_of, listening
from quant_assets_tests.s3 import BUCKET, S3, s3_server
from quant_assets_tests.world import environment

LAKE = f"s3://{BUCKET}/lake"
FEED = f"s3://{BUCKET}/feeds/master_feed.json"


@dataclass
class RemoteSite:
    """A dashboard, and the store that it reads."""

    site: Site
    server: S3
    feed: Json

    def refuse(self, *methods: str) -> None:
        """Refuse requests with these methods from now on."""
        self.server.refuses = lambda method, path, query: method in methods

    def problem(self, path: str) -> tuple[int, str]:
        """Return status and code of an error."""
        answer = self.site.get(path)
        return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running, environment(**running.environment):
        yield running


@pytest.fixture
def remote(server: S3, scanned: Settings) -> Iterator[RemoteSite]:
    feed = orjson.loads(scanned.feed_path.read_bytes())
    Document.at(FEED).write(orjson.dumps(feed))
    Lake(LAKE).write_document(["master_feed"], feed["window"], compress_document(orjson.dumps(feed)))
    before = replace(server)
    with serving(scanned.model_copy(update={"lake_url": LAKE, "feed_url": FEED})) as site:
        assert site.get("/api/openapi.json").status_code == 200  # it has started
        yield RemoteSite(site, server, feed)
        server.refuses, server.before = before.refuses, before.before


def test_slow_request_to_the_store_delays_no_other_visitor(remote: RemoteSite) -> None:
    asked, released = threading.Event(), threading.Event()

    def hold(method: str, path: str, query: str) -> None:
        if "trades" in path:
            asked.set()
            released.wait()

    remote.server.before = hold
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(remote.site.get, "/record")
        assert asked.wait(30)
        other = pool.submit(remote.site.get, "/api/openapi.json")
        try:
            assert other.result(30).status_code == 200
            assert not slow.done()
        finally:
            released.set()
        assert slow.result().status_code == 200


def test_store_that_refuses_is_no_internal_error(remote: RemoteSite) -> None:
    remote.refuse("HEAD", "GET")
    window = remote.feed["window"]
    for path in ("/api/results", f"/api/results?window={window}", "/api/windows", "/api/record", "/api/trades"):
        assert remote.problem(path) == (503, "unreadable")
    for path in ("/", f"/?window={window}", "/record"):
        assert remote.site.get(path).status_code == 503


def test_feed_that_could_not_be_read_is_read_again(remote: RemoteSite) -> None:
    """Its version was known, and has not changed since."""
    remote.refuse("GET")
    window = remote.feed["window"]
    Document.at(FEED).write(orjson.dumps({**remote.feed, "last_updated": remote.feed["last_updated"] + 1}))
    paths = ("/api/results", f"/api/results?window={window}")
    assert [remote.problem(path) for path in paths] == [(503, "unreadable")] * 2
    remote.refuse()
    assert [remote.site.get(path).status_code for path in paths] == [200, 200]


def test_new_feed_is_announced_once_it_can_be_read(remote: RemoteSite) -> None:
    with listening(remote.site) as answer:
        stream = events_of(answer)
        assert next(stream)[0] == "feed"
        remote.refuse("GET")
        changed = {**remote.feed, "last_updated": remote.feed["last_updated"] + 1}
        Document.at(FEED).write(orjson.dumps(changed))
        name, data = next(stream)
        assert (name, data["code"]) == ("problem", "unreadable")
        remote.refuse()
        name, data = next(stream)
        assert (name, data["last_updated"]) == ("feed", changed["last_updated"])


def test_outage_of_the_store_ends_for_the_page_too(remote: RemoteSite) -> None:
    """The feed is that of before."""
    with listening(remote.site) as answer:
        stream = events_of(answer)
        assert next(stream)[0] == "feed"
        remote.refuse("HEAD", "GET")
        assert next(stream)[0] == "problem"
        remote.refuse()
        name, data = next(stream)
        assert (name, data["window"]) == ("feed", remote.feed["window"])
