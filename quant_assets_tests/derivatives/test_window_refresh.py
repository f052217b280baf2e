"""The refresh of the windows of a run, with an emulator over HTTP and a real store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from quant_assets.common.clock import Clock
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.market_sources import MarketLists, MarketSources
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.derivatives.provider_choice import DEFAULT_CHOICE
from quant_assets.derivatives.report import StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore, ExchangeSnapshot
from quant_assets.derivatives.window_refresh import WindowRefresh, time_limit
from quant_assets.emulator import plain_universe
from quant_assets.markets import ResolutionRules
from quant_assets.providers.registry import DEFAULT
from quant_assets_tests.derivatives.conftest import Provider

Provide = Callable[..., Provider]


def window_refresh(provider: Provider, count: int = 2) -> WindowRefresh:
    """Return a refresh of the last `count` windows and all datasets."""
    last = Window.last_complete(provider.clock.moment)
    lists = MarketLists({DEFAULT.name: provider.market_list}, DEFAULT_CHOICE, ResolutionRules(), provider.clock.moment)
    return WindowRefresh(
        [Window(last.end - back * WINDOW_LENGTH) for back in range(count - 1, -1, -1)],
        DATASETS,
        DATASETS,
        MarketSources(provider.resolve({}), lists),
        pd.DataFrame(),
        RefreshPolicy(),
    )


def clock_of(provider: Provider) -> Clock:
    return Clock(provider.clock.seconds, provider.clock.sleep, provider.clock.seconds)


def test_each_window_has_its_table_of_what_is_known_after_the_refresh(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider), provider.store()
    found = refresh.run(store, provider.connect, 60, clock_of(provider))
    assert found.report.stopped == StopReason.COMPLETED
    keys = [window.key for window in refresh.windows]
    assert {dataset: list(tables) for dataset, tables in found.tables.items()} == dict.fromkeys(DATASETS, keys)
    for window in refresh.windows:
        expected = snapshot(store, refresh.sources.symbol_map, "open_interest", window)
        assert found.tables["open_interest"][window.key].equals(expected)
        assert (expected["closed_at_ms"] == window.end_ms).all()


def test_report_is_stored_for_the_newest_window_and_applies_to_all(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider), provider.store()
    found = refresh.run(store, provider.connect, 60, clock_of(provider))
    assert found.reports == {window.key: found.report.as_dict() for window in refresh.windows}
    assert [store.load_report(window.key) is None for window in refresh.windows] == [True, False]


def test_without_datasets_nothing_is_requested_and_stored_reports_apply(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider, 1), provider.store()
    first = refresh.run(store, provider.connect, 60, clock_of(provider))
    calls = provider.emulator.accounting.calls
    found = replace(refresh, datasets=(), returned=("open_interest",)).run(
        store, provider.connect, 60, clock_of(provider)
    )
    assert provider.emulator.accounting.calls == calls
    assert list(found.tables) == ["open_interest"]
    assert found.reports == first.reports


def test_symbols_of_another_provider_are_dropped_after_a_change(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    sources = window_refresh(provider).sources
    assert (sources.resolve({})["open_interest_symbol"] != "").all()
    changed = replace(sources.lists, by_provider={}, choice=dict.fromkeys(DATASETS, "other"))
    assert (replace(sources, lists=changed).resolve({})["open_interest_symbol"] == "").all()


def test_refresh_is_limited_to_markets_and_time(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider, 1), provider.store()
    refresh.run(store, provider.connect, 0, clock_of(provider))
    assert provider.emulator.accounting.calls == 0
    chosen = refresh.sources.symbol_map.iloc[0]
    limited = replace(refresh, exchange=chosen["exchange"], symbol=chosen["symbol"])
    found = limited.run(store, provider.connect, 60, clock_of(provider))
    assert provider.emulator.accounting.calls == len(DATASETS)
    assert (
        found.tables["open_interest"][refresh.windows[0].key]["closed_at_ms"].notna().tolist()
        == (refresh.sources.symbol_map["symbol"] == chosen["symbol"]).tolist()
    )


def test_without_a_store_nothing_is_known_and_the_report_says_why(provide: Provide) -> None:
    refresh = window_refresh(provide(plain_universe(5)))
    found = refresh.without_store("the disk is full")
    assert found.report.stopped == StopReason.STORE
    assert found.report.problems == ["the disk is full"]
    assert set(found.report.datasets) == set(DATASETS)
    assert found.reports == {window.key: found.report.as_dict() for window in refresh.windows}
    for tables in found.tables.values():
        for table in tables.values():
            assert len(table) == 5
            assert table["closed_at_ms"].isna().all()


@pytest.mark.parametrize(
    ("late_seconds", "is_backfill", "expected"),
    [
        (60, False, 120.0),  # as long as it may
        (840, False, 60.0),  # until the next window ends
        (901, False, 120.0),  # an older window, which nothing follows
        (840, True, 60.0),  # until the next quarter hour
        (901, True, 120.0),
        (3 * 900 + 850, True, 50.0),
    ],
)
def test_time_limit_ends_a_refresh_before_the_next(late_seconds: float, is_backfill: bool, expected: float) -> None:
    window = Window.of_key("2026-01-19-16:45")
    now = (window.end + timedelta(seconds=late_seconds)).timestamp()
    assert time_limit(window, now, 120, is_backfill=is_backfill) == expected


def observe(store: DerivativesStore, refresh: WindowRefresh, windows: tuple[int, ...]) -> None:
    """Store what each market's own exchange said at the ends of some windows of a refresh."""
    store.add_snapshots(
        ExchangeSnapshot(
            exchange=exchange,
            symbol=symbol,
            closed_at_ms=refresh.windows[number].end_ms,
            observed_at_ms=refresh.windows[number].end_ms + 2000,
            open_interest=1000.0 + number,
            funding_rate_pct=0.5,
            interval_hours=4.0,
            simulated=False,
        )
        for exchange, symbol in refresh.sources.symbol_map[["exchange", "symbol"]].itertuples(index=False)
        for number in windows
    )


def test_backfill_takes_snapshots_where_there_are_some_and_history_elsewhere(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider, 4), provider.store()
    observe(store, refresh, (0, 2))
    tables = refresh.run(store, provider.connect, 60, clock_of(provider)).tables
    for dataset in ("open_interest", "funding_rate"):
        of_windows = [tables[dataset][window.key] for window in refresh.windows]
        assert [set(table["provider"]) for table in of_windows] == [{"exchange"}, {"coinalyze"}] * 2
        for window, table in zip(refresh.windows, of_windows, strict=True):
            assert (table["closed_at_ms"] == window.end_ms).all()
    interest = [tables["open_interest"][window.key]["value"] for window in refresh.windows]
    assert [set(values) for values in interest[::2]] == [{1000.0}, {1002.0}]


def test_window_that_neither_source_has_is_unknown(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider, 4), provider.store()
    observe(store, refresh, (2,))
    tables = replace(refresh, datasets=()).run(store, provider.connect, 60, clock_of(provider)).tables
    known = [tables["open_interest"][window.key]["value"].notna().all() for window in refresh.windows]
    assert known == [False, False, True, True]  # the last one has that of the window before, with its age
    newest = tables["open_interest"][refresh.windows[3].key]
    assert (newest["closed_at_ms"] == refresh.windows[2].end_ms).all()


def test_windows_at_once_have_the_tables_of_windows_one_by_one(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    refresh, store = window_refresh(provider, 4), provider.store()
    observe(store, refresh, (0, 2))
    at_once = refresh.run(store, provider.connect, 60, clock_of(provider)).tables
    for window in refresh.windows:
        alone = replace(refresh, windows=[window], datasets=())
        found = alone.run(store, provider.connect, 60, clock_of(provider)).tables
        for dataset in DATASETS:
            pd.testing.assert_frame_equal(found[dataset][window.key], at_once[dataset][window.key])
