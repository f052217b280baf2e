"""An implausible market list is rejected, and a list with new names loses no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from quant_assets.definitions import build_definitions
from quant_assets.emulator import Universe
from quant_assets.orchestration.market_list_run import MarketListRun, fetch_market_lists_if_due
from quant_assets.storage.lake import Lake
from quant_assets_tests.faults.conftest import Scanned, stored_in
from quant_assets_tests.faults.seeding import seeded_random
from quant_assets_tests.world import World

A_DAY_MS = 86_400_000


def renamed(universe: Universe, chosen: set[str]) -> Universe:
    """Return the universe with other symbols for some markets, and everything else unchanged."""
    listings = {}
    for symbol, listing in universe.listings.items():
        name = f"N-{symbol}" if symbol in chosen else symbol
        listings[name] = replace(listing, row=replace(listing.row, symbol=name))
    return replace(universe, listings=listings)


def shortened(universe: Universe, count: int, random: Random) -> Universe:
    return universe.without(set(random.sample(sorted(universe.listings), count)))


def with_rows(universe: Universe, **changes: Any) -> Universe:
    listings = {name: replace(each, row=replace(each.row, **changes)) for name, each in universe.listings.items()}
    return replace(universe, listings=listings)


def with_exchanges_of_markets_alone(universe: Universe) -> Universe:
    """Return the universe with only the exchanges that have markets, which are less than half of all."""
    used = {each.row.exchange for each in universe.listings.values()}
    kept = tuple((name, code) for name, code in universe.exchanges if code in used)
    assert 0 < 2 * len(kept) < len(universe.exchanges)
    return replace(universe, exchanges=kept)


def half(universe: Universe) -> int:
    return len(universe.listings) // 2


def half_of_each_kind(universe: Universe, random: Random) -> set[str]:
    """Return half of the perpetuals and half of the others; a list that lost more of either is rejected."""
    chosen: set[str] = set()
    for kind in (True, False):
        symbols = sorted(name for name, each in universe.listings.items() if each.row.is_perpetual is kind)
        chosen.update(random.sample(symbols, len(symbols) // 2))
    return chosen


@contextmanager
def listing(world: World, universe: Universe) -> Iterator[None]:
    """Make the provider serve another market list within the block."""
    before = world.emulator.universe
    world.emulator.universe = universe
    try:
        yield
    finally:
        world.emulator.universe = before


def age(world: World, name: str) -> None:
    """Make the market list a day old, so that it is due."""
    lake = Lake(world.settings(name).lake_dir)
    table = lake.read(["coinalyze_markets"])
    assert table is not None
    lake.write(["coinalyze_markets"], None, table.assign(fetched_at_ms=table["fetched_at_ms"] - A_DAY_MS))


def fetch(world: World, name: str) -> MarketListRun:
    settings = world.settings(name)
    with world.opened(name) as instance:
        return fetch_market_lists_if_due(settings, build_definitions(settings), instance)


@pytest.fixture(scope="module")
def listed(scanned: Scanned) -> Scanned:
    """Return a scan whose market list is a day old."""
    folder = scanned.copied("faults_list")
    age(scanned.world, "faults_list")
    return replace(scanned, folder=folder)


REFUSED: Mapping[str, Callable[[Universe, Random], Universe]] = {
    "empty": lambda universe, _: replace(universe, listings={}),
    "without more than half": lambda universe, random: shortened(universe, half(universe) + 1, random),
    "as long, with other names": lambda universe, _: renamed(universe, set(universe.listings)),
    "without a perpetual": lambda universe, _: with_rows(universe, is_perpetual=False),
    "without an exchange": lambda universe, _: replace(universe, exchanges=()),
    "without the exchanges that have no market": lambda universe, _: with_exchanges_of_markets_alone(universe),
    "with other exchanges": lambda universe, _: replace(
        universe, exchanges=tuple((name, f"{code}{code}") for name, code in universe.exchanges)
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_implausible_market_list_is_rejected_and_the_last_one_kept(listed: Scanned, kind: str) -> None:
    world = listed.world
    path = world.settings(listed.name).lake_dir / "coinalyze_markets.parquet"
    before = path.read_bytes()
    with listing(world, REFUSED[kind](world.emulator.universe, seeded_random(kind))):
        run = fetch(world, listed.name)
    assert "is kept" in run.problem
    assert (run.calls, run.requests, run.key_refused) == (2, 2, False)
    assert path.read_bytes() == before


def test_changed_market_list_is_accepted_once_the_last_one_is_removed(scanned: Scanned) -> None:
    world, name = scanned.world, "faults_changed"
    scanned.copied(name)
    age(world, name)
    path = world.settings(name).lake_dir / "coinalyze_markets.parquet"
    changed = renamed(world.emulator.universe, set(world.emulator.universe.listings))
    with listing(world, changed):
        assert f"remove {path}" in fetch(world, name).problem
        path.unlink()
        assert fetch(world, name).problem == ""
    table = Lake(world.settings(name).lake_dir).read(["coinalyze_markets"])
    assert table is not None
    assert set(table["symbol"]) == set(changed.listings)


def test_scan_with_a_rejected_list_gives_the_same_signals_and_says_so(listed: Scanned) -> None:
    world = listed.world
    with listing(world, replace(world.emulator.universe, listings={})):
        result = world.scan(listed.name, window=world.window)
    assert any("market list" in note and "empty" in note for note in result.notes)
    assert result.api["calls"] == 2
    assert orjson.dumps(result.feed["signals"]) == orjson.dumps(listed.result.feed["signals"])


def test_list_that_renames_half_of_its_symbols_loses_no_data(scanned: Scanned) -> None:
    world, name = scanned.world, "faults_renamed"
    store = scanned.copied(name) / "store" / "loopback"
    age(world, name)
    before = stored_in(store)
    given = world.emulator.universe
    accepted = len(world.emulator.accounting.accepted)
    with listing(world, renamed(given, half_of_each_kind(given, seeded_random("renamed")))):
        result = world.scan(name, window=world.window)
    asked = [symbol for request in world.emulator.accounting.accepted[accepted:] for symbol in request.symbols]
    after = stored_in(store)
    for dataset, rows in before.items():
        assert set(rows) <= set(after[dataset]), dataset
    # Only symbols with a new name are fetched.
    assert asked
    assert all(symbol.startswith("N-") for symbol in asked)
    assert result.feed["stats"]["resolution"] == scanned.result.feed["stats"]["resolution"]
    # The contracts are the same, and so are their values.
    now, then = (
        {(s["exchange"], s["symbol"], s["strategy"]): (s["score"], s["oi_metadata"]["value"]) for s in feed["signals"]}
        for feed in (result.feed, scanned.result.feed)
    )
    assert now == then
