"""Measure what is stored for a window: objects of the lake in S3, requests to it, and Dagster's records in PostgreSQL.

    python -m quant_assets_tests.storage.measure_sizes [MARKETS]

A scan is followed by a run of 16 windows as a backfill does. Records are what the database grows by, indexes included.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg2

from quant_assets.emulator import Emulator, plain_universe
from quant_assets.storage.lake import Lake
from quant_assets_tests.bench.folders import simulated_folder
from quant_assets_tests.defs.measure_backfill import cost, places_of_records
from quant_assets_tests.s3 import BUCKET, s3_process
from quant_assets_tests.storage.measure_s3_scan import kinds
from quant_assets_tests.world import CALLS_PER_MINUTE, World, environment

MARKETS, WINDOWS = 300, 16
LAKE = f"s3://{BUCKET}/lake"


def records_bytes(url: str) -> int:
    """Return the size of a database."""
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        found = cursor.fetchone()
        assert found is not None
        return int(found[0])


def main() -> None:
    markets, moment = int((sys.argv[1:] or [MARKETS])[0]), datetime.now(UTC)
    with (
        tempfile.TemporaryDirectory() as name,
        s3_process() as store,
        environment(**store.server.environment),
        Emulator(plain_universe(markets), calls_per_minute=CALLS_PER_MINUTE) as emulator,
    ):
        folder = Path(name)
        world = World(folder, emulator, simulated_folder(folder / "candles", markets, moment), moment)
        world.scan(lake_url=LAKE)
        sizes: Counter[str] = Counter()
        for stored in Lake(LAKE).objects.listing():
            asset, _, partition = stored.name.rpartition("/")
            sizes[asset or f"{partition} (once)"] += stored.size
        for asset, size in sizes.most_common():
            print(f"{size / 1024:9.1f} KiB {asset}")
        by_window = sum(size for asset, size in sizes.items() if "(once)" not in asset)
        print(
            f"{by_window / 1024:9.1f} KiB for a window of {markets} markets, {by_window / markets:.0f} bytes for each"
        )
        with places_of_records(world) as places:
            variables = {**places["PostgreSQL"], **store.server.environment, "QUANT_LAKE_URL": LAKE}
            cost(world, variables, 1)  # creates the tables
            before = records_bytes(variables["DAGSTER_POSTGRES_URL"])
            store.taken()
            events = cost(world, variables, WINDOWS)["events"]
            grown = records_bytes(variables["DAGSTER_POSTGRES_URL"]) - before
            print(f"Dagster's records of {WINDOWS} windows: {events:.0f} events, {grown / 1024:.0f} KiB")
            print(f"requests of {WINDOWS} windows: {dict(kinds(store.taken()))}")


if __name__ == "__main__":
    main()
