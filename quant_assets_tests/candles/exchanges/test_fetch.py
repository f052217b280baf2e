"""Bars of a local exchange are fetched and stored, whatever happens on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.connections import connected
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import MIN_GAP_AGE_MS, refresh_bars
from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.common.timeframes import STEP_MS
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.storage.lake import Lake
from quant_assets_tests.faults.exchange_proxy import ExchangeProxy
from quant_assets_tests.providers.coinalyze.scripted import Canned

UNIVERSE = exchanges_of_universe(simulated_universe())
NAME, DAY_MS, STEP = "BYBIT", 86_400_000, STEP_MS["15m"]


@dataclass
class Fetching:
    """A local exchange, a store, and a clock that can be set forward."""

    exchanges: ExchangeEmulators
    folder: Path
    ahead_seconds: float = 0.0
    address: str = ""
    interrupted: Event = field(default_factory=Event)
    store: BarStore = field(init=False)

    def __post_init__(self) -> None:
        """Open the store."""
        self.store = BarStore(Lake(self.folder / "lake"), self.folder / "locks")

    @property
    def now_ms(self) -> int:
        return int((time.time() + self.ahead_seconds) * 1000)

    def faults(self, **faults: object) -> None:
        self.exchanges[NAME].faults = ExchangeFaults(**faults)  # type: ignore[arg-type]

    def fetch(self, days: float = 1.0, markets: int = 4, seconds: float = 60.0) -> FetchReport:
        settings = Settings(data_dir=self.folder, exchange_urls={NAME: self.address or self.exchanges[NAME].url})
        faults, self.exchanges[NAME].faults = self.exchanges[NAME].faults, ExchangeFaults()
        with connected(settings, NAME, 1) as clients:
            listed = [each for each in clients[0].markets() if each.is_perpetual and each.is_active]
        self.exchanges[NAME].faults = faults
        with connected(settings, NAME, clock=Clock(seconds=lambda: time.time() + self.ahead_seconds)) as clients:
            return refresh_bars(
                EXCHANGE_APIS[NAME],
                clients,
                listed[:markets],
                self.store,
                history_from_ms=self.history_from_ms(days),
                deadline=time.monotonic() + seconds,
                clock=lambda: time.time() + self.ahead_seconds,
                interrupted=self.interrupted,
            )

    def history_from_ms(self, days: float) -> int:
        return int(self.now_ms // STEP_MS["4h"] * STEP_MS["4h"] - days * DAY_MS)

    def bars(self, days: float = 1.0) -> int:
        """Return how many bars of 15 minutes a market has."""
        return (self.now_ms - self.history_from_ms(days)) // STEP

    def check_bars(self) -> int:
        """Check every stored bar against the simulated market; return how many of 15 minutes there are."""
        stored = self.store.read(NAME, "15m", 0, 2**62).bars
        assert not stored.duplicated(["symbol", "time_ms"]).any()
        assert int(stored["time_ms"].max()) + STEP <= self.now_ms
        for symbol, bars in stored.groupby("symbol", observed=True):
            contract = next(each for each in UNIVERSE.contracts(NAME) if each.id == symbol)
            first, last = int(bars["time_ms"].iloc[0]), int(bars["time_ms"].iloc[-1])
            true = contract.source.bars(900, first // 1000, last // 1000 + 1)
            there = np.isin(true.t * 1000, bars["time_ms"])
            assert bars["close"].tolist() == true.c[there].tolist()
            assert bars["volume"].tolist() == pytest.approx(true.v[there].tolist(), rel=1e-9)
        return len(stored)


@pytest.fixture(scope="module")
def clock() -> list[float]:
    """How many seconds the clock of the exchanges is ahead."""
    return [0.0]


@pytest.fixture(scope="module")
def exchanges(clock: list[float]) -> Iterator[ExchangeEmulators]:
    with ExchangeEmulators(
        UNIVERSE, clock=lambda: datetime.fromtimestamp(time.time() + clock[0], UTC), names=[NAME]
    ) as running:
        yield running


@pytest.fixture
def fetching(exchanges: ExchangeEmulators, clock: list[float], tmp_path: Path) -> Iterator[Fetching]:
    exchanges[NAME].faults = ExchangeFaults()
    exchanges[NAME].limits_factor = 1.0
    clock[0] = 0.0
    # Start well within a quarter hour, so that no bar closes during a test.
    if (left := 900 - time.time() % 900) < 180:
        clock[0] = left + 1
    yield Fetching(exchanges, tmp_path, clock[0])
    clock[0] = 0.0


def advance(fetching: Fetching, clock: list[float], seconds: float) -> None:
    fetching.ahead_seconds += seconds
    clock[0] += seconds


def test_empty_store_is_filled_and_then_nothing_is_asked(fetching: Fetching) -> None:
    report = fetching.fetch()
    assert (report.problem, report.failed, report.late) == ("", {}, set())
    assert report.stored.new == 4 * (fetching.bars() + 6)
    assert fetching.check_bars() == 4 * fetching.bars()
    again = fetching.fetch()
    assert (again.requested, again.stored.new) == (0, 0)


def test_next_window_costs_one_request_for_each_market(fetching: Fetching, clock: list[float]) -> None:
    fetching.fetch()
    advance(fetching, clock, 900)
    report = fetching.fetch()
    is_4h = fetching.now_ms // STEP % 16 == 0
    assert report.requested == (8 if is_4h else 4)
    assert report.stored.unchanged == (16 if is_4h else 8)
    assert report.stored.new == (8 if is_4h else 4)
    fetching.check_bars()


def test_corrected_bar_is_replaced_and_counted(fetching: Fetching, clock: list[float]) -> None:
    fetching.faults(corrected=1.0, correction_seconds=1000.0)
    fetching.fetch()
    advance(fetching, clock, 1800)
    report = fetching.fetch()
    assert report.stored.revised >= 4
    advance(fetching, clock, 900)
    fetching.faults()
    fetching.fetch()


def test_bars_out_of_order_or_twice_are_stored_once(fetching: Fetching) -> None:
    fetching.faults(shuffled=1.0, repeated=0.3)  # bars that come twice take the place of others in a response
    fetching.fetch()
    assert fetching.check_bars() == 4 * fetching.bars()


def test_bar_that_the_exchange_does_not_have_is_asked_for_once_more(fetching: Fetching) -> None:
    fetching.faults(missing=0.1)
    first = fetching.fetch()
    assert 0 < first.stored.new < 4 * (fetching.bars() + 6)
    settled_ms = fetching.now_ms - MIN_GAP_AGE_MS
    assert any(request.end_ms <= settled_ms for request in fetching.fetch().not_available)
    assert all(request.end_ms > settled_ms for request in fetching.fetch().not_available)
    gaps = BarGaps(fetching.store).between_bars(NAME, "15m")
    assert gaps.loc[gaps["end_ms"] <= settled_ms, "asked"].all()
    fetching.check_bars()


def test_bars_that_come_half_an_hour_late_leave_no_gap(fetching: Fetching, clock: list[float]) -> None:
    fetching.faults(late=0.5, late_seconds=2000.0)
    for _ in range(5):
        fetching.fetch(seconds=2.5)  # without time to wait for late bars
        advance(fetching, clock, 900)
    fetching.faults()
    fetching.fetch()
    assert BarGaps(fetching.store).between_bars(NAME, "15m").empty


def test_exchange_that_answers_nothing_for_a_time_costs_no_history(fetching: Fetching) -> None:
    for _ in range(2):  # without any stored bar, and with some
        fetching.faults(missing=1.0)
        report = fetching.fetch(days=20)
        assert (report.stored.new, report.not_available) == (0, [])
        fetching.faults()
        fetching.fetch(days=1)
    fetching.fetch(days=20)
    assert fetching.check_bars() == 4 * fetching.bars(20)


def test_history_before_the_first_bar_is_asked_for_once(fetching: Fetching) -> None:
    fetching.fetch(days=700, markets=2)
    assert fetching.fetch(days=700, markets=2).requested == 0


def test_faults_that_pass_cost_no_bar(fetching: Fetching) -> None:
    fetching.faults(html=0.1, cut=0.1, server_error=0.1, closed=0.1)
    report = fetching.fetch()
    fetching.faults()
    if report.failed:
        report = fetching.fetch()
    assert report.failed == {}
    assert fetching.check_bars() == 4 * fetching.bars()


def test_exchange_out_of_reach_ends_the_fetch_and_says_so(fetching: Fetching) -> None:
    fetching.faults(down=True)
    report = fetching.fetch(markets=10)
    assert "BYBIT" in report.problem
    assert "out of reach" in report.problem
    assert report.stored.new == 0
    fetching.faults()
    assert fetching.fetch(markets=10).stored.new > 0


def test_ban_pauses_the_exchange_and_the_fetch_ends_at_its_deadline(fetching: Fetching) -> None:
    fetching.faults(ban_seconds=600.0)
    report = fetching.fetch(seconds=2.0)
    assert 1 <= report.usage.rate_limited <= 3  # those that were on their way
    assert report.problem
    assert report.usage.requests <= 1 + 3 + 3  # the market list, and one for each connection


def test_own_requests_are_never_refused_by_the_limit(fetching: Fetching) -> None:
    fetching.exchanges[NAME].limits_factor = 0.8
    before = fetching.exchanges[NAME].accounting
    fetching.fetch(days=60, markets=10)
    after = fetching.exchanges[NAME].accounting
    assert after.rate_limited == before.rate_limited
    assert fetching.check_bars() == 10 * fetching.bars(60)


def test_bar_that_is_late_is_asked_for_again_and_named(fetching: Fetching, clock: list[float]) -> None:
    fetching.fetch()
    advance(fetching, clock, 900)
    fetching.faults(late=1.0, late_seconds=10_000.0)
    report = fetching.fetch()
    assert len(report.late) == 4
    assert report.requested > 4
    fetching.faults()
    assert fetching.fetch().late == set()
    fetching.check_bars()


def test_bar_is_closed_by_the_time_of_the_exchange(fetching: Fetching) -> None:
    """The local clock is fast: by it, a bar has closed which is still open at the exchange."""
    fetching.ahead_seconds += 900
    report = fetching.fetch()
    assert report.is_clock_off
    fetching.ahead_seconds -= 900
    fetching.check_bars()


def test_bar_that_closes_a_moment_later_by_the_exchange_is_asked_for_again(
    fetching: Fetching, clock: list[float]
) -> None:
    fetching.fetch()
    advance(fetching, clock, 900 - fetching.now_ms / 1000 % 900 + 0.5)
    clock[0] -= 2
    report = fetching.fetch()
    assert report.late == set()
    assert {times.newest_ms for times in fetching.store.last_times(NAME, "15m").values()} == {
        fetching.now_ms // STEP * STEP - STEP
    }


def test_bars_that_a_slow_local_clock_does_not_expect_are_fetched_too(fetching: Fetching, clock: list[float]) -> None:
    fetching.fetch()
    clock[0] += 3600
    advance(fetching, clock, 900)
    report = fetching.fetch()
    assert report.late == set()
    newest_ms = (fetching.now_ms + 3_600_000) // STEP * STEP - STEP
    assert {times.newest_ms for times in fetching.store.last_times(NAME, "15m").values()} == {newest_ms}


def test_bar_that_only_a_fast_local_clock_expects_is_not_late(fetching: Fetching, clock: list[float]) -> None:
    fetching.fetch()
    fetching.ahead_seconds += 3600
    report = fetching.fetch()
    assert (report.requested, report.late) == (8 if fetching.now_ms // STEP % 16 < 4 else 4, set())


def test_market_that_always_fails_costs_its_own_bars_alone(fetching: Fetching) -> None:
    def fail(request: str, answer: Canned) -> Canned:
        return Canned(500) if "kline" in request and "symbol=BTCUSDT" in request else answer

    with ExchangeProxy(fetching.exchanges[NAME].url, fail) as proxy:
        fetching.address = proxy.address
        report = fetching.fetch(days=120)
    assert set(report.failed) == {"BTCUSDT"}
    assert report.problem == ""
    assert len(fetching.store.last_times(NAME, "15m")) == 3


def test_interrupted_fetch_ends_at_once_and_keeps_what_it_has(fetching: Fetching) -> None:
    fetching.faults(script=("",) * 6 + ("slow",) * 100, delay_seconds=60.0)
    began = time.monotonic()

    def interrupt() -> None:
        while fetching.exchanges[NAME].accounting.by_endpoint.get("GET /v5/market/kline", 0) < asked + 9:
            time.sleep(0.02)
        fetching.interrupted.set()

    asked = fetching.exchanges[NAME].accounting.by_endpoint.get("GET /v5/market/kline", 0)
    Thread(target=interrupt, daemon=True).start()
    report = fetching.fetch(days=40)
    assert time.monotonic() - began < 45
    assert report.problem == "interrupted"
    assert fetching.exchanges[NAME].accounting.by_endpoint["GET /v5/market/kline"] == asked + 9
    assert fetching.check_bars() > 0
    fetching.interrupted.clear()
    fetching.faults()
    fetching.fetch(days=40)
    assert fetching.check_bars() == 4 * fetching.bars(40)


def test_two_fetches_at_once_store_each_bar_once(fetching: Fetching) -> None:
    reports: list[FetchReport] = []
    both = [Thread(target=lambda: reports.append(fetching.fetch(days=5))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert all(not report.problem for report in reports)
    assert sum(report.stored.new for report in reports) == 4 * (fetching.bars(5) + 5 * 6)
    assert fetching.check_bars() == 4 * fetching.bars(5)
