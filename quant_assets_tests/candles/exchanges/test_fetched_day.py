"""Windows of a day in time-lapse, with exchanges that fail at random and one that does not.

The clock runs faster than the real one, and jumps to the end of the next window. `make system` runs the first windows
with three exchanges, `make soak` the day with eight.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.connections import CONNECTIONS, USED_SHARE
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import MIN_GAP_AGE_MS, refresh_bars
from quant_assets.common.timeframes import STEP_MS
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import APIS, ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.emulator.exchanges.venue import DaySummaries, Venue
from quant_assets.emulator.faults import KINDS
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.storage.lake import Lake
from quant_assets_tests.faults.seeding import LONG, SEED, rounds, seeded_random
from quant_assets_tests.memory import check_memory_is_flat, resident_mib

pytestmark = pytest.mark.system

BEGIN = datetime(2026, 2, 3, tzinfo=UTC).timestamp()
#: The last of all closes a 4h bar, so that the one before is right.
WINDOWS, SOUND_WINDOWS, MARKETS = rounds(14, 94), 2, rounds(2, 4)
NAMES = tuple(APIS) if LONG else ("BYBIT", "HYPERLIQUID", "KUCOIN")
SOUND = "KUCOIN"
WINDOW_SECONDS, DAY_SECONDS, SPEED = 900, 86_400, 15.0
#: Bars that the exchanges do not have, and what is wrong with others for a time, until the last two windows.
MISSING: dict[str, Any] = {"seed": SEED, "missing": 0.02}
WRONG_FOR_A_TIME: dict[str, Any] = {"corrected": 0.1, "late": 0.05, "shuffled": 0.1}
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"down": True},
    {"ban_seconds": 600.0},
    {"clock_offset_seconds": 400.0},
    {"clock_offset_seconds": -400.0},
)


class FastClock:
    """A clock that runs SPEED times as fast as the real one, and can be set forward. All times are in its seconds."""

    def __init__(self, seconds: float) -> None:
        self._ahead = seconds - time.monotonic() * SPEED

    def seconds(self) -> float:
        return time.monotonic() * SPEED + self._ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)

    def go_to_next_window(self) -> None:
        self._ahead += WINDOW_SECONDS - self.seconds() % WINDOW_SECONDS + 1


@dataclass
class FetchedDay:
    """The windows, and what each fetch of them said."""

    exchanges: ExchangeEmulators
    folder: Path
    clock: FastClock
    reports: dict[str, list[FetchReport]] = field(default_factory=lambda: {name: [] for name in NAMES})
    open_bars: list[str] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the store, and one budget for each exchange."""
        self.store = BarStore(Lake(self.folder / "lake"), self.folder / "locks")
        self.random = seeded_random("fetched day")
        self.history_from_ms = int((BEGIN - DAY_SECONDS) * 1000)

    def run(self) -> None:
        """Run all windows, and two more in which nothing is wrong; fetch once more in the last."""
        with ExitStack() as stack:
            clients = {name: self._connect(name, stack) for name in NAMES}
            markets = {name: self._markets(clients[name][0]) for name in NAMES}
            for number in range(WINDOWS + SOUND_WINDOWS + 1):
                if number < WINDOWS + SOUND_WINDOWS:
                    self.clock.go_to_next_window()
                for name in NAMES:
                    self.exchanges[name].faults = ExchangeFaults(**MISSING, **self._faults(name, number))
                with ThreadPoolExecutor(len(NAMES)) as pool:
                    list(pool.map(lambda name: self._fetch(name, clients[name], markets[name]), NAMES))
                self.memory_mib.append(resident_mib())

    def _connect(self, name: str, stack: ExitStack) -> list[ExchangeClient]:
        api, clock = EXCHANGE_APIS[name], self.clock
        budget = CallBudget(
            self.folder / f"{name}.sqlite",
            int(api.limit * USED_SHARE),
            period_seconds=api.period_seconds,
            clock=clock.seconds,
            sleep=clock.sleep,
        )
        stack.callback(budget.close)
        url = self.exchanges[name].url
        made = [ExchangeClient(api, budget, url, clock=clock.seconds, sleep=clock.sleep) for _ in range(CONNECTIONS)]
        for client in made:
            stack.callback(client.close)
        return made

    def _markets(self, client: ExchangeClient) -> list[ExchangeMarket]:
        return [each for each in client.markets() if each.is_perpetual and each.is_linear and each.is_active][:MARKETS]

    def _faults(self, name: str, number: int) -> dict[str, Any]:
        """Choose what is wrong with an exchange in a window: a state, or faults of its first requests."""
        if number >= WINDOWS or name == SOUND:
            return WRONG_FOR_A_TIME if number < WINDOWS else {}
        script = {"script": tuple(self.random.choice(("", *KINDS)) for _ in range(30))}
        return WRONG_FOR_A_TIME | self.random.choice((*FAULTS, script, script))

    def _fetch(self, name: str, clients: list[ExchangeClient], markets: list[ExchangeMarket]) -> None:
        report = refresh_bars(
            EXCHANGE_APIS[name],
            clients,
            markets,
            self.store,
            history_from_ms=self.history_from_ms,
            deadline=self.clock.seconds() + WINDOW_SECONDS / 2,
            clock=self.clock.seconds,
            monotonic=self.clock.seconds,
        )
        self.reports[name].append(report)
        now = self.clock.seconds() + self.exchanges[name].faults.clock_offset_seconds
        for timeframe, step_ms in STEP_MS.items():
            newest = [times.newest_ms for times in self.store.last_times(name, timeframe).values()]
            if max(newest, default=0) + step_ms > now * 1000 + 1000:
                self.open_bars.append(f"{name} {timeframe} window {len(self.reports[name])}")

    def stored(self, name: str, timeframe: str) -> pd.DataFrame:
        """Return the stored bars."""
        found = self.store.read(name, timeframe, 0, 2**62)
        assert found.damaged == ()
        return found.bars

    def true_bars(self, name: str, symbol: str, timeframe: str) -> pd.DataFrame:
        """Return the bars of a market that had closed by the last window, as the exchange has them for good."""
        step, now = STEP_MS[timeframe] // 1000, self.clock.seconds()
        contracts = {each.id: each for each in self.exchanges[name].contracts}
        venue = Venue(contracts, now, ExchangeFaults(**MISSING), 0, DaySummaries())
        end = now - now % WINDOW_SECONDS
        bars = venue.bars(contracts[symbol], step, -(-self.history_from_ms // 1000 // step) * step, end // step * step)
        columns = {"time_ms": bars.t * 1000, "open": bars.o, "high": bars.h, "low": bars.l, "close": bars.c}
        return pd.DataFrame(columns | {"volume": bars.v})


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FetchedDay]:
    clock = FastClock(BEGIN)
    universe = exchanges_of_universe(simulated_universe())
    with ExchangeEmulators(
        universe, clock=lambda: datetime.fromtimestamp(clock.seconds(), UTC), names=NAMES
    ) as exchanges:
        made = FetchedDay(exchanges, tmp_path_factory.mktemp("day"), clock)
        made.run()
        yield made


@pytest.mark.parametrize("timeframe", STEP_MS)
@pytest.mark.parametrize("name", NAMES)
def test_every_bar_that_the_exchange_has_is_stored_once_as_it_is(day: FetchedDay, name: str, timeframe: str) -> None:
    stored = day.stored(name, timeframe)
    assert stored["symbol"].nunique() == MARKETS
    for symbol, bars in stored.groupby("symbol", observed=True):
        true = day.true_bars(name, str(symbol), timeframe)
        pd.testing.assert_frame_equal(bars[list(true)].reset_index(drop=True), true, rtol=1e-12, check_index_type=False)


@pytest.mark.parametrize("name", NAMES)
def test_every_old_gap_is_recorded_as_asked_for(day: FetchedDay, name: str) -> None:
    gaps = pd.concat([BarGaps(day.store).between_bars(name, timeframe) for timeframe in STEP_MS])
    old = gaps[gaps["end_ms"] <= day.clock.seconds() * 1000 - WINDOW_SECONDS * 1000 - MIN_GAP_AGE_MS]
    assert len(old)
    assert old["asked"].all()


def test_no_open_bar_is_stored(day: FetchedDay) -> None:
    assert day.open_bars == []


def test_no_bar_is_refused(day: FetchedDay) -> None:
    found = {name: report.unexpected for name in NAMES for report in day.reports[name] if report.unexpected}
    assert found == {}


def test_faults_are_named_and_those_of_others_do_no_harm(day: FetchedDay) -> None:
    problems = {name: sum(bool(report.problem or report.failed) for report in day.reports[name]) for name in NAMES}
    assert problems.pop(SOUND) == 0
    assert all(problems.values()), problems
    assert all(not report.problem for reports in day.reports.values() for report in reports[-SOUND_WINDOWS:])


def test_own_requests_are_never_refused(day: FetchedDay) -> None:
    assert {name: day.exchanges[name].accounting.rate_limited for name in NAMES} == dict.fromkeys(NAMES, 0)


@pytest.mark.skipif(not LONG, reason="growth is judged by a whole day: make soak")
def test_memory_does_not_grow(day: FetchedDay) -> None:
    check_memory_is_flat(day.memory_mib)
