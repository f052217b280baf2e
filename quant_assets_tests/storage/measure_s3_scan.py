"""Compare scans whose tables are in an S3 store with scans into a folder, and count the requests to the store.

    python -m quant_assets_tests.storage.measure_s3_scan [MARKETS [TIMES]]

A scan is the whole command, repeated with nothing to fetch. The two kinds take turns. The store is moto's server in a
process of its own on the same machine, so that a request takes a few milliseconds. test_s3_requests.py tests the number
of requests of a small scan.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from quant_assets_tests.bench.__main__ import PROGRAM, emulator
from quant_assets_tests.bench.folders import simulated_folder
from quant_assets_tests.bench.timing import Times, run
from quant_assets_tests.s3 import BUCKET, s3_process

MARKETS, TIMES = 1100, 5
PLACES = {"QUANT_LAKE_URL": f"s3://{BUCKET}/lake", "QUANT_FEED_URL": f"s3://{BUCKET}/master_feed.json"}


def kinds(requests: Iterable[tuple[str, str, str]]) -> Counter[str]:
    """Count requests by method, those that list apart."""
    return Counter("LIST" if "list-type" in query else method for method, _, query in requests)


def objects(requests: Iterable[tuple[str, str, str]]) -> Counter[str]:
    """Count requests by method, and object or listed prefix."""
    return Counter(f"{method} {path.removeprefix(f'/{BUCKET}')}?{query[:90]}" for method, path, query in requests)


def main() -> None:
    markets, times = [*map(int, sys.argv[1:]), *(MARKETS, TIMES)[len(sys.argv) - 1 :]]
    now = datetime.now(UTC)
    moment = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as name, s3_process() as store, emulator([str(markets)]) as api:
        folder = simulated_folder(Path(name) / "candles", markets, moment + timedelta(minutes=1))
        command = [*PROGRAM, "scan", str(folder), "--as-of", moment.isoformat(), "--json"]
        local = {"QUANT_DATA_DIR": f"{name}/local", **api}
        shared = {"QUANT_DATA_DIR": f"{name}/shared", **api, **store.server.environment, **PLACES}
        for given in (local, shared):
            run(command, Times(), **given)  # the first scan sends requests
        store.taken()
        of_folder, of_store = Times(), Times()
        requests: list[tuple[str, str, str]] = []
        for _ in range(times):
            run(command, of_folder, **local)
            run(command, of_store, **shared)
            requests = store.taken()
            print(f"folder {of_folder.wall[-1]:.2f} s, store {of_store.wall[-1]:.2f} s", flush=True)
        for unit, here, there in (("wall", of_folder.wall, of_store.wall), ("processor", of_folder.cpu, of_store.cpu)):
            ratios = [there / here for here, there in zip(here, there, strict=True)]
            print(
                f"{unit}: folder {statistics.median(here):.2f} s, store {statistics.median(there):.2f} s; ratio "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print(f"{len(requests)} requests of a scan: {dict(kinds(requests))}")
        for what, count in sorted(objects(requests).items(), key=lambda entry: -entry[1]):
            print(f"{count:4} {what}")


if __name__ == "__main__":
    main()
