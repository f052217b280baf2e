"""The number of requests that a scan sends to an object store: each costs money, and the time of a way to and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from quant_assets_tests.s3 import BUCKET, s3_server
from quant_assets_tests.storage.measure_s3_scan import kinds, objects
from quant_assets_tests.world import World, environment, kept_in_memory

pytestmark = pytest.mark.system
#: Of a repeated scan, which writes a window whose tables and feed are there. Two of the HEAD requests are sent only if
#: a newer window has ended. docs/scale.md has the numbers.
MAX_REQUESTS = {"HEAD": 58, "GET": 14, "PUT": 16, "LIST": 3}


@pytest.fixture(scope="module")
def requests(world: World) -> Iterator[list[tuple[str, str, str]]]:
    """Return the requests of a repeated scan."""
    with s3_server() as server, environment(**server.environment), kept_in_memory(world) as kept:
        places = {"lake_url": f"s3://{BUCKET}/lake", "feed_url": f"s3://{BUCKET}/master_feed.json"}
        kept.scan("first", **places)
        server.requests.clear()
        kept.scan("second", **places)
        yield list(server.requests)


def test_repeated_scan_sends_few_requests(requests: list[tuple[str, str, str]]) -> None:
    found = kinds(requests)
    assert found["PUT"] > 10
    more = {kind: count for kind, count in found.items() if count > MAX_REQUESTS[kind]}
    assert more == {}, objects(requests)


def test_no_table_is_put_twice_or_read_more_than_twice(requests: list[tuple[str, str, str]]) -> None:
    """The next step finds a table in memory. A table of the last scan may be replaced, and be read once more."""
    for method, most in (("PUT", 1), ("GET", 2)):
        counts = Counter(path for found, path, query in requests if found == method and "list-type" not in query)
        assert max(counts.values()) <= most, counts
