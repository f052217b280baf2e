"""Tests of the refresh with an emulator over HTTP and a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pandas as pd
import pytest
import requests
from pydantic import SecretStr

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import min_minutes
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import DatasetReport, RefreshReport, StopReason
from quant_assets.derivatives.snapshot import snapshot
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.emulator import Faults, Universe, plain_universe
from quant_assets.providers.coinalyze import BudgetUnusable, CallBudget, CoinalyzeClient
from quant_assets_tests.derivatives.conftest import Provider
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer

Provide = Callable[..., Provider]


def test_refresh_of_empty_store_requests_all_symbols_once_in_full_batches(provide: Provide) -> None:
    provider = provide(plain_universe(30))
    _, report = provider.refresh()
    accepted = provider.emulator.accounting.accepted
    asked = [(request.endpoint, symbol) for request in accepted for symbol in request.symbols]
    assert len(asked) == len(set(asked)) == 30 * 4
    assert report.calls == 120
    assert report.requests == 8
    assert max(len(request.symbols) for request in accepted) == 20
    assert all(report.datasets[dataset].fetched == 30 for dataset in DATASETS)
    assert report.stopped == StopReason.COMPLETED


def watchlist_of(provider: Provider, setups: int, near: int) -> pd.DataFrame:
    """Return a watchlist: the first `setups` markets have a setup, the first `near` are near one; volume rises."""
    number = pd.Series(range(len(provider.markets)))
    return provider.markets.assign(setup=number < setups, near=number < near, volume=number.astype(float))


def test_short_refresh_requests_near_a_setup_then_setups_then_the_rest(provide: Provide) -> None:
    provider = provide(plain_universe(60), calls_per_minute=40)
    _, report = provider.refresh(
        watchlist=watchlist_of(provider, setups=5, near=10), deadline=provider.clock.seconds() + 30
    )
    accepted = provider.emulator.accounting.accepted
    asked = [(request.endpoint, len(request.symbols)) for request in accepted]
    # 10 calls for open interest near a setup, 15 for the other datasets of 5 setups, and the other 15 of the minute.
    assert asked == [
        ("/open-interest-history", 10),
        ("/funding-rate-history", 5),
        ("/long-short-ratio-history", 5),
        ("/liquidation-history", 5),
        ("/open-interest-history", 15),
    ]
    markets = set(provider.markets["symbol"].head(5))
    for request in accepted[1:4]:
        assert {symbol.partition("_")[0] for symbol in request.symbols} == markets
    assert report.stopped == StopReason.OUT_OF_TIME


@pytest.mark.parametrize("near", [0, 3, 38, 60])
def test_empty_store_is_filled_in_the_minimum_time(provide: Provide, near: int) -> None:
    """With 38 near a setup, 2 of 40 calls are left in the first minute: too few for a batch, but they must be used."""
    provider = provide(plain_universe(60), calls_per_minute=40)
    _, report = provider.refresh(watchlist=watchlist_of(provider, setups=near // 3, near=near))
    accepted = provider.emulator.accounting.accepted
    assert report.calls == provider.emulator.accounting.calls == 240
    taken = (accepted[-1].moment - accepted[0].moment).total_seconds()
    assert taken == pytest.approx(60 * min_minutes(240, 40), abs=5)


def test_second_refresh_of_a_window_costs_no_call(provide: Provide) -> None:
    provider = provide(plain_universe(25))
    provider.refresh()
    spent = provider.emulator.accounting.calls
    _, report = provider.refresh()
    assert provider.emulator.accounting.calls == spent
    assert (report.calls, report.cache_hits) == (0, 100)


def test_next_window_requests_only_datasets_that_are_due(provide: Provide) -> None:
    provider = provide(plain_universe(10))
    provider.refresh()
    provider.clock.moment += WINDOW_LENGTH
    _, report = provider.refresh()
    assert {dataset: report.datasets[dataset].calls for dataset in DATASETS} == {
        "open_interest": 10,
        "funding_rate": 0,
        "long_short_ratio": 0,
        "liquidations": 0,
    }
    provider.clock.moment += timedelta(minutes=45)
    _, report = provider.refresh()
    assert report.calls == 40


def test_backfill_within_the_retention_costs_one_call_per_symbol(provide: Provide) -> None:
    provider = provide(plain_universe(5))
    newest = Window.last_complete(provider.clock.moment)
    days_ago = Window(newest.end - timedelta(days=6))
    _, first = provider.refresh(window=days_ago)
    assert first.calls == 20
    for step in range(1, 12):
        _, later = provider.refresh(window=Window(days_ago.end + step * 7 * WINDOW_LENGTH))
        assert later.calls == 0
    _, last = provider.refresh(window=newest)
    assert last.calls == 0


def test_crash_loses_at_most_the_batch_in_flight(provide: Provide) -> None:
    class Killed(BaseException):
        pass

    provider = provide(plain_universe(60))

    def kill_after_five(stage: str, done: int, total: int, note: str = "") -> None:
        if done >= 100:
            raise Killed

    with pytest.raises(Killed):
        provider.refresh(progress=kill_after_five)
    _, report = provider.refresh()
    assert provider.emulator.accounting.calls <= 240 + 20
    assert report.cache_hits >= 80


def test_symbols_beyond_the_deadline_are_pending_and_fetched_later(provide: Provide) -> None:
    provider = provide(plain_universe(50), calls_per_minute=40)
    now = provider.clock.seconds()
    symbol_map, report = provider.refresh(deadline=now + 30)
    assert report.stopped == StopReason.OUT_OF_TIME
    assert report.calls == 40
    assert report.datasets["open_interest"].pending == 10
    table = snapshot(provider.store(), symbol_map, "open_interest", Window.last_complete(provider.clock.moment))
    assert table["value"].notna().sum() == 40
    _, report = provider.refresh(deadline=now + 3600)
    assert report.stopped == StopReason.COMPLETED
    assert report.rate_limited == 0
    assert provider.emulator.accounting.calls == 200
    assert provider.emulator.accounting.rate_limited == 0


def test_expired_deadline_costs_no_call(provide: Provide) -> None:
    provider = provide(plain_universe(3))
    _, report = provider.refresh(deadline=provider.clock.seconds())
    assert (report.calls, report.stopped) == (0, StopReason.OUT_OF_TIME)


def test_transient_errors_are_retried_without_data_loss(provide: Provide) -> None:
    provider = provide(plain_universe(60))
    provider.emulator.faults = Faults(seed=3, server_error=0.2, cut=0.1, closed=0.05)
    for _ in range(4):
        _, report = provider.refresh()
        if not report.stopped and not any(account.failed for account in report.datasets.values()):
            break
    assert report.cache_hits + sum(account.fetched for account in report.datasets.values()) == 240


def test_refresh_stops_after_three_failed_requests_in_a_row(provide: Provide) -> None:
    provider = provide(plain_universe(100))
    provider.emulator.faults = Faults(server_error=1.0)
    symbol_map, report = provider.refresh()
    assert report.stopped == StopReason.PROVIDER_UNAVAILABLE
    assert report.requests == 15
    assert report.problems
    assert len(snapshot(provider.store(), symbol_map, "funding_rate", Window.last_complete(provider.clock()))) == 100


@pytest.mark.parametrize(
    ("key", "stopped", "requests"), [(None, StopReason.NO_KEY, 0), ("wrong", StopReason.KEY_REFUSED, 1)]
)
def test_missing_or_rejected_key_stops_the_refresh(
    provide: Provide, key: str | None, stopped: StopReason, requests: int
) -> None:
    provider = provide(plain_universe(100))
    _, report = provider.refresh(client=provider.client(key))
    assert report.stopped == stopped
    assert report.requests == requests
    assert provider.emulator.accounting.calls == 0


def _with_empty_interest(universe: Universe, symbols: set[str]) -> Universe:
    listings = {
        symbol: replace(listing, empty=frozenset({"open_interest"})) if symbol in symbols else listing
        for symbol, listing in universe.listings.items()
    }
    return Universe(listings)


def test_symbol_that_is_empty_twice_is_replaced_by_the_next_best_market(provide: Provide) -> None:
    base = plain_universe(4)
    first = next(iter(base.listings))
    row = base.listings[first].row
    other = replace(base.listings[first], row=replace(row, symbol="STANDIN.6", exchange="6"))
    universe = _with_empty_interest(Universe({**base.listings, "STANDIN.6": other}), {first})
    provider = provide(universe)
    provider.markets = provider.markets[provider.markets["exchange"] == "BINANCE"]

    def status_of(symbol_map: object) -> tuple[str, str]:
        market = symbol_map[symbol_map["symbol"] == row.symbol_on_exchange].iloc[0]  # type: ignore[index]
        return str(market["open_interest_symbol"]), str(market["status"])

    symbol_map, _ = provider.refresh()
    assert status_of(symbol_map) == (first, "resolved")
    provider.clock.moment += WINDOW_LENGTH
    symbol_map, _ = provider.refresh()
    assert status_of(symbol_map) == ("STANDIN.6", "aggregated")
    table = snapshot(provider.store(), symbol_map, "open_interest", Window.last_complete(provider.clock()))
    assert table.loc[table["symbol"] == row.symbol_on_exchange, "value"].notna().all()
    # The funding rate of the same market still comes from the first symbol.
    assert (symbol_map["funding_rate_symbol"] == "STANDIN.6").sum() == 0
    # After a new market list the first symbol is tried again.
    provider.market_list["fetched_at_ms"] = int(provider.clock.seconds() * 1000) + 1
    provider.clock.moment += WINDOW_LENGTH
    symbol_map, _ = provider.refresh()
    assert status_of(symbol_map) == (first, "resolved")


def test_markets_that_share_a_symbol_cost_one_call(provide: Provide) -> None:
    provider = provide(plain_universe(3))
    provider.markets["exchange"] = ["BINANCE", "MEXC", "KUCOIN"]
    provider.markets["symbol"] = provider.markets["symbol"].iloc[0]
    _, report = provider.refresh()
    assert report.calls == 4


def test_open_bar_is_not_stored(provide: Provide) -> None:
    provider = provide(plain_universe(2))
    window = Window.last_complete(provider.clock.moment)
    provider.clock.moment += timedelta(minutes=7)
    symbol_map, _ = provider.refresh()
    store = provider.store()
    bars = store.bars("open_interest", list(provider.emulator.universe.listings), 0, 2**40)
    assert max(bar[1] for bar in bars) == window.end_seconds - 900
    table = snapshot(store, symbol_map, "open_interest", window)
    assert (table["closed_at_ms"] == window.end_ms).all()


def test_later_bars_do_not_change_an_older_window(provide: Provide) -> None:
    provider = provide(plain_universe(8))
    window = Window.last_complete(provider.clock.moment)
    symbol_map, _ = provider.refresh()
    before = {dataset: snapshot(provider.store(), symbol_map, dataset, window) for dataset in DATASETS}
    provider.clock.moment += timedelta(hours=5)
    provider.refresh()
    for dataset in DATASETS:
        after = snapshot(provider.store(), symbol_map, dataset, window)
        assert after.equals(before[dataset])


def test_rejected_batch_is_split_until_only_the_bad_symbol_fails(provide: Provide) -> None:
    provider = provide(plain_universe(20))
    rejected = sorted(provider.emulator.universe.listings)[7]

    class RejectingClient(type(provider.client())):  # type: ignore[misc]
        """The real client, with a provider that rejects one symbol."""

        def history(self, endpoint: str, symbols: object, **options: object) -> object:
            if rejected in symbols:  # type: ignore[operator]
                return super().history(endpoint, symbols, **{**options, "interval": "7min"})
            return super().history(endpoint, symbols, **options)

    client = provider.client()
    client.__class__ = RejectingClient
    _, report = provider.refresh(client=client, datasets=["open_interest"])
    assert report.datasets["open_interest"].fetched == 19
    assert report.datasets["open_interest"].failed == 1
    assert Counter(report.problems).total() == 1


def test_error_of_a_provider_is_reported_without_its_address(provide: Provide) -> None:
    provider = provide(plain_universe(20))

    class LeakingClient(type(provider.client())):  # type: ignore[misc]
        """A client of another package, which lets errors of requests through."""

        def bars(self, *_: object, **__: object) -> object:
            return requests.get("http://127.0.0.1:9/v1/oi?api_key=secret", timeout=5)

    client = provider.client()
    client.__class__ = LeakingClient
    _, report = provider.refresh(client=client, datasets=["open_interest"])
    assert report.problems
    assert all(problem.startswith("open_interest: ConnectionError: ") for problem in report.problems)
    assert "secret" not in str(report.as_dict())


def test_bars_off_the_grid_or_out_of_range_are_skipped(tmp_path: Path) -> None:
    window = Window.last_complete(datetime(2026, 1, 19, 17, 0, 30, tzinfo=UTC))
    points = [{"t": window.end_seconds - 900 * n, "o": 1, "h": 1, "l": 1, "c": n} for n in range(20, 0, -1)]
    odd = [{"t": window.end_seconds - 897, "o": 1, "h": 1, "l": 1, "c": 9}, {**points[0], "t": 900, "c": 1e308}]
    body = orjson.dumps([{"symbol": "A", "history": [*points, *odd]}])
    symbol_map = pd.DataFrame({"exchange": ["X"], "symbol": ["A"]})
    for dataset in DATASETS:
        for part, value in (("symbol", "A"), ("exchange", "X"), ("status", "resolved"), ("unit", "")):
            symbol_map[f"{dataset}_{part}"] = value
    with (
        ScriptedServer(Canned(body=body)) as server,
        closing(DerivativesStore(tmp_path / "s.sqlite")) as store,
        closing(CallBudget(tmp_path / "b.sqlite", 100)) as budget,
        closing(CoinalyzeClient(SecretStr("k"), server.url, budget)) as client,
    ):
        options = RefreshOptions(window, since_ms=0.0, datasets=["open_interest"])
        _, report = Refresh(store, client, lambda _: symbol_map, options).run()
        table = snapshot(store, symbol_map, "open_interest", window)
    assert report.invalid_points == 2
    assert table["closed_at_ms"].tolist() == [window.end_ms]
    assert table["points"].tolist() == [20]


def test_long_wait_for_the_budget_is_no_difference_of_clocks(provide: Provide) -> None:
    provider = provide(plain_universe(20))
    client = provider.client()
    client.budget.pause(75)  # as another process does after a 429
    _, report = provider.refresh(client=client, datasets=["open_interest"])
    assert report.waited_seconds >= 75
    assert report.datasets["open_interest"].fetched == 20
    assert report.problems == []


def test_unusable_budget_file_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "budget.sqlite").mkdir()
    with pytest.raises(BudgetUnusable, match=r"budget\.sqlite.*move it away"):
        CallBudget(tmp_path / "budget.sqlite", 40)


def test_rejected_symbols_are_requested_once_and_do_not_stop_the_refresh(provide: Provide) -> None:
    provider = provide(plain_universe(60), calls_per_minute=100_000)
    rejected = set(sorted(provider.emulator.universe.listings)[7:40:16])

    class RejectingClient(type(provider.client())):  # type: ignore[misc]
        """The real client, with a provider that rejects some symbols."""

        def history(self, endpoint: str, symbols: object, **options: object) -> object:
            if rejected & set(symbols):  # type: ignore[call-overload]
                return super().history(endpoint, symbols, **{**options, "interval": "7min"})
            return super().history(endpoint, symbols, **options)

    client = provider.client()
    client.__class__ = RejectingClient
    _, report = provider.refresh(client=client)
    assert report.stopped == StopReason.COMPLETED
    assert {dataset: report.datasets[dataset].fetched for dataset in DATASETS} == dict.fromkeys(DATASETS, 57)
    _, report = provider.refresh(client=client)
    assert report.calls == 0


def test_symbols_that_are_no_longer_needed_cost_no_calls(provide: Provide) -> None:
    provider = provide(plain_universe(20))
    client = provider.client()
    symbols = sorted(provider.emulator.universe.listings)
    client.history(
        "open-interest-history", symbols, interval="15min", start=1, end=2, still_needed=lambda found: list(found)[:3]
    )
    assert provider.emulator.accounting.calls == client.budget.spent() == 3


@pytest.mark.parametrize("status", [400, 404, 302])
def test_provider_that_rejects_all_requests_marks_no_symbol_empty(provide: Provide, status: int) -> None:
    """For example after a changed path or parameter, or behind a login page: the symbols are not at fault."""
    provider = provide(plain_universe(60))
    week_ago = Window.last_complete(provider.clock.moment - timedelta(days=5))
    for window in (None, week_ago):
        with ScriptedServer(Canned(status, b"<html>not here</html>")) as server:
            client = provider.client(url=server.url)
            _, report = provider.refresh(client=client, window=window, datasets=["open_interest"])
        assert report.stopped in {StopReason.BAD_REQUESTS, StopReason.PROVIDER_UNAVAILABLE}
        assert report.problems
        assert report.calls <= 60
        _, report = provider.refresh(window=window, datasets=["open_interest"])
        assert report.datasets["open_interest"].fetched == 60


def test_calls_left_over_by_the_market_list_are_used_in_the_same_minute(provide: Provide) -> None:
    provider = provide(plain_universe(60), calls_per_minute=40)
    client = provider.client()
    client.exchanges()
    client.future_markets()
    deadline = provider.clock.seconds() + 30
    _, report = provider.refresh(client=client, datasets=["open_interest"], deadline=deadline)
    assert report.datasets["open_interest"].fetched == 38
    _, report = provider.refresh(client=client, datasets=["open_interest"])
    assert report.stopped == StopReason.COMPLETED
    assert report.requests <= 3
    assert provider.emulator.accounting.rate_limited == 0


def test_report_is_stored_under_the_names_of_earlier_versions() -> None:
    counts = DatasetReport(requested=8, cached=7, fetched=6, empty=5, failed=4, pending=3, calls=2, requests=1)
    report = RefreshReport({"open_interest": counts}, invalid_points=9, stopped=StopReason.NO_KEY, problems=["no key"])
    stored = report.as_dict()
    assert orjson.dumps(stored) == (
        b'{"datasets":{"open_interest":{"wanted":8,"known":7,"fetched":6,"empty":5,"failed":4,"waiting":3,"calls":2,'
        b'"requests":1}},"calls":0,"requests":0,"rate_limited":0,"retries":0,"waited_seconds":0.0,"broken_points":9,'
        b'"stopped":"no_key","problems":["no key"],"cache_hits":7}'
    )
    assert type(stored["stopped"]) is str
