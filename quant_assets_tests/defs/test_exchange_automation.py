"""The schedule that fetches from exchanges, and the sensor that scans what was fetched."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.universe import LIST_COLUMNS
from quant_assets.common.clock import Clock
from quant_assets.common.timeframes import STEP_MS
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.defs.exchanges.fetches import fetch_every_quarter_hour
from quant_assets.defs.exchanges.scans import FOLLOW_SECONDS, fetched_bars
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.resources import CandleFolder, MarketRules
from quant_assets.orchestration.run_requests import SCAN_SECONDS
from quant_assets.storage.lake import Lake

#: The end of a window, and of no 4h bar.
END = datetime(2026, 1, 19, 17, 0, tzinfo=UTC)
WINDOW = Window(END)
CHOICE = 'exchanges = ["BYBIT", "OKX"]\n'
BYBIT = [f"C{number:02}USDT" for number in range(20)]


class Installation:
    """A data folder with the market lists of two exchanges, 21 markets in all, and the test's own clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, Lake(folder / "lake")
        self.source = ExchangeSource(data_dir=str(folder))
        self.store: BarStore = self.source.store()
        self.now = END
        self.cursor: str | None = None
        (folder / "exchanges.toml").write_text(CHOICE)
        os.utime(folder / "exchanges.toml", (END.timestamp() - 86_400,) * 2)

    def list_markets(self, at: datetime = END) -> None:
        """Store the market lists, fetched at a moment."""
        rows = [("BYBIT", symbol, True) for symbol in BYBIT] + [("OKX", "BTC-USDT-SWAP", True), ("OKX", "X", False)]
        table = pd.DataFrame(rows, columns=["exchange", "symbol", "selected"]).reindex(columns=list(LIST_COLUMNS))
        self.lake.write(["exchange_markets"], None, table.assign(fetched_at_ms=at.timestamp() * 1000))

    def watch(self, *symbols: str) -> None:
        """Store a watchlist of the window before."""
        table = pd.DataFrame({"exchange": "BYBIT", "symbol": symbols, "rank": range(len(symbols))})
        self.lake.write(["watchlist"], Window(END - WINDOW_LENGTH).key, table)

    def fetch(self, exchange: str, *symbols: str, end: datetime = END, timeframe: str = "15m") -> None:
        """Store the bar of these markets that closed at a moment."""
        open_ms = int(end.timestamp() * 1000) - STEP_MS[timeframe]
        numbers = dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0)
        self.store.merge(exchange, timeframe, pd.DataFrame({"symbol": symbols, "time_ms": open_ms, **numbers}))

    def tick(self, after_seconds: float) -> dg.RunRequest | None:
        """Evaluate the sensor so many seconds after the window's end."""
        self.now = END + timedelta(seconds=after_seconds)
        context = dg.build_sensor_context(cursor=self.cursor, resources=self._resources(fetched_bars))
        found = fetched_bars(context)
        self.cursor = context.cursor
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found if isinstance(found, dg.RunRequest) else None

    def schedule(self, tick: datetime = END, late: timedelta = timedelta(seconds=2)) -> dg.RunRequest | dg.SkipReason:
        """Evaluate the schedule that fetches."""
        self.now = tick + late
        resources = self._resources(fetch_every_quarter_hour)
        found = fetch_every_quarter_hour(dg.build_schedule_context(scheduled_execution_time=tick, resources=resources))
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found

    def _resources(self, automation: dg.SensorDefinition | dg.ScheduleDefinition) -> dict[str, object]:
        every = {
            "clock": Clock(seconds=self.now.timestamp),
            "lake": self.lake,
            "candle_folder": CandleFolder(path=str(self.folder / "candles")),
            "exchange_source": self.source,
            "market_rules": MarketRules(path=str(self.folder / "rules.toml")),
        }
        return {name: every[name] for name in automation.required_resource_keys}


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    found = Installation(tmp_path)
    found.list_markets()
    found.fetch("BYBIT", *BYBIT, end=END - WINDOW_LENGTH)
    return found


def is_fetch_of_lists(request: dg.RunRequest | dg.SkipReason) -> bool:
    assert isinstance(request, dg.RunRequest)
    return request.asset_selection is None


def test_fetch_starts_at_the_end_of_each_window_and_ends_before_the_next(installation: Installation) -> None:
    request = installation.schedule()
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == f"fetch {WINDOW.key}"
    seconds = request.run_config["ops"]["exchange_candles"]["config"]["max_wait_seconds"]
    assert 840 <= seconds < 900
    assert float(request.tags["dagster/max_runtime"]) > seconds
    late = installation.schedule(late=WINDOW_LENGTH)
    assert isinstance(late, dg.SkipReason)


def test_market_lists_are_fetched_once_an_hour(installation: Installation) -> None:
    fetched = [is_fetch_of_lists(installation.schedule(END + quarter * WINDOW_LENGTH)) for quarter in range(5)]
    assert fetched == [False, False, False, False, True]


def test_market_lists_are_fetched_for_a_new_exchange_and_a_changed_choice(installation: Installation) -> None:
    path = installation.folder / "exchanges.toml"
    os.utime(path, (END.timestamp() + 1,) * 2)
    assert is_fetch_of_lists(installation.schedule())
    path.write_text('exchanges = ["BYBIT", "MEXC"]\n')
    os.utime(path, (END.timestamp() - 86_400,) * 2)
    assert is_fetch_of_lists(installation.schedule())


def test_first_fetch_gets_the_market_lists(tmp_path: Path) -> None:
    assert is_fetch_of_lists(Installation(tmp_path).schedule())


def test_nothing_is_fetched_without_a_choice_of_exchanges(installation: Installation) -> None:
    (installation.folder / "exchanges.toml").unlink()
    skipped = installation.schedule()
    assert isinstance(skipped, dg.SkipReason)
    assert "names no exchange" in str(skipped.skip_message)
    assert installation.tick(60) is None


def test_invalid_choice_of_exchanges_starts_a_run_that_says_so(installation: Installation) -> None:
    (installation.folder / "exchanges.toml").write_text("exchanges = 7\n")
    assert is_fetch_of_lists(installation.schedule())


def test_window_is_scanned_when_most_of_the_watchlist_has_its_bar(installation: Installation) -> None:
    installation.watch(*BYBIT)
    installation.fetch("OKX", "BTC-USDT-SWAP")  # is not watched
    installation.fetch("BYBIT", *BYBIT[:18])
    assert installation.tick(5) is None
    installation.fetch("BYBIT", BYBIT[18])
    request = installation.tick(6)
    assert request is not None
    assert (request.job_name, request.partition_key) == ("scan", WINDOW.key)
    assert request.run_config["ops"]["derivatives"]["config"]["max_wait_seconds"] == SCAN_SECONDS


def test_window_is_scanned_20_seconds_after_its_end_whatever_has_come(installation: Installation) -> None:
    assert installation.tick(19) is None
    assert installation.tick(20) is not None
    assert installation.tick(25) is None


def test_late_bars_are_followed_at_most_three_times(installation: Installation) -> None:
    assert installation.tick(20) is not None
    requests = []
    for second in range(25, 900, 5):
        installation.fetch("BYBIT", BYBIT[second // 50])  # a new bar every 50 s
        requests += [(second, found) for found in [installation.tick(second)] if found is not None]
    assert [second for second, _ in requests] == [int(seconds) for seconds in FOLLOW_SECONDS]
    assert {request.job_name for _, request in requests} == {"analyse"}
    assert len({request.run_key for _, request in requests}) == len(FOLLOW_SECONDS)


def test_late_bars_are_followed_at_once_when_the_last_one_has_come(installation: Installation) -> None:
    installation.fetch("BYBIT", *BYBIT)
    assert installation.tick(5) is not None  # without a watchlist all markets count, and 20 of 21 are 95 %
    assert installation.tick(20) is None
    installation.fetch("OKX", "BTC-USDT-SWAP")
    assert installation.tick(25) is not None
    assert all(installation.tick(second) is None for second in (60, 180, 420))


def test_bars_that_do_not_come_cause_no_further_scan(installation: Installation) -> None:
    installation.fetch("BYBIT", *BYBIT[:5])
    assert installation.tick(20) is not None
    assert all(installation.tick(second) is None for second in (25, 60, 180, 420, 800))


def test_bar_of_4h_counts_where_one_closes(installation: Installation) -> None:
    end = datetime(2026, 1, 19, 16, 0, tzinfo=UTC)
    seconds = (end - END).total_seconds()
    for exchange, symbols in (("BYBIT", BYBIT), ("OKX", ["BTC-USDT-SWAP"])):
        installation.fetch(exchange, *symbols, end=end)
    assert installation.tick(seconds + 5) is None
    for exchange, symbols in (("BYBIT", BYBIT), ("OKX", ["BTC-USDT-SWAP"])):
        installation.fetch(exchange, *symbols, end=end, timeframe="4h")
    assert installation.tick(seconds + 6) is not None


def test_market_is_watched_under_the_name_of_its_file(installation: Installation) -> None:
    table = pd.DataFrame({"exchange": ["OKX"], "symbol": ["BTCUSDT"], "rank": [0]})
    installation.lake.write(["watchlist"], Window(END - WINDOW_LENGTH).key, table)
    installation.fetch("OKX", "BTC-USDT-SWAP")
    assert installation.tick(3) is not None


def test_each_window_is_scanned_anew(installation: Installation) -> None:
    assert installation.tick(20) is not None
    following = installation.tick(920)
    assert following is not None
    assert following.partition_key == Window(END + WINDOW_LENGTH).key


def test_nothing_is_scanned_before_the_first_market_list(tmp_path: Path) -> None:
    assert Installation(tmp_path).tick(60) is None


def test_nothing_is_scanned_before_the_first_bar_unless_there_are_files(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.list_markets()
    assert installation.tick(120) is None
    (installation.folder / "candles").mkdir()
    assert installation.tick(120) is not None
