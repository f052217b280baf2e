"""What happenings ask for, and what is told of failures. Stale data: test_stale_alarm.py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from quant_assets.common.clock import SYSTEM, Clock
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.definitions import build_definitions
from quant_assets.defs.alerts import tell_of_failed_runs
from quant_assets.defs.scans import new_candles
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.resources import CandleFolder, Notifier
from quant_assets.storage.lake import Lake
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer

NOON = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)


class Watch:
    """The sensor over a folder, looked at by a clock of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder / "candles", Lake(folder / "lake")
        self.seconds = NOON.timestamp()
        self.cursor: str | None = None

    def look(self, after_seconds: float = 0) -> dg.RunRequest | dg.SkipReason:
        self.seconds += after_seconds
        clock = Clock(seconds=lambda: self.seconds, sleep=SYSTEM.sleep)
        resources = {"candle_folder": CandleFolder(path=str(self.folder)), "lake": self.lake, "clock": clock}
        context = dg.build_sensor_context(cursor=self.cursor, resources=resources)
        found = new_candles(context)
        self.cursor = context.cursor
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found

    def write(self, symbol: str, text: str = "[]", age_seconds: float = 0) -> Path:
        file = self.folder / f"BINANCE_{symbol}_15m.json"
        file.write_text(text)
        os.utime(file, (self.seconds - age_seconds,) * 2)
        return file

    def at_rest(self) -> bool:
        """Whether a scan follows once nothing changes any more."""
        return isinstance(self.look(), dg.RunRequest) or isinstance(self.look(30), dg.RunRequest)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    (tmp_path / "candles").mkdir()
    return Watch(tmp_path)


def test_candles_that_are_still_being_written_are_waited_for(watch: Watch) -> None:
    for number in range(4):
        watch.write(f"COIN{number}")
        assert isinstance(watch.look(15), dg.SkipReason)
    assert isinstance(watch.look(30), dg.RunRequest)


def test_files_that_come_one_by_one_with_old_times_are_waited_for_too(watch: Watch) -> None:
    for number in range(4):
        watch.write(f"COIN{number}", age_seconds=3600)
        assert isinstance(watch.look(15), dg.SkipReason)


def test_new_candles_are_scanned_once(watch: Watch) -> None:
    watch.write("BTCUSDT")
    watch.look()
    request = watch.look(30)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "scan"
    assert not watch.at_rest()


def test_a_new_file_that_is_older_than_the_others_is_scanned(watch: Watch) -> None:
    watch.write("BTCUSDT")
    assert watch.at_rest()
    watch.write("ETHUSDT", age_seconds=86_400)
    assert watch.at_rest()


def test_a_file_that_is_gone_is_a_change(watch: Watch) -> None:
    watch.write("BTCUSDT")
    file = watch.write("ETHUSDT")
    assert watch.at_rest()
    file.unlink()
    assert watch.at_rest()


def test_a_file_from_the_future_blocks_no_later_one(watch: Watch) -> None:
    watch.write("BTCUSDT", age_seconds=-86_400)
    assert watch.at_rest()
    watch.write("BTCUSDT", "[1]", age_seconds=-86_400)
    assert watch.at_rest()


def test_links_that_lead_nowhere_in_the_candle_folder_are_passed_over(watch: Watch) -> None:
    (watch.folder / "BINANCE_ADAUSDT_15m.json").symlink_to("nowhere")
    (watch.folder / "BINANCE_SOLUSDT_15m.json").symlink_to("BINANCE_SOLUSDT_15m.json")
    (watch.folder / "BINANCE_TIAUSDT_15m.json").symlink_to("BINANCE_BTCUSDT_15m.json/below")
    watch.write("BTCUSDT")
    assert watch.at_rest()


def test_a_folder_without_candle_files_asks_for_nothing(watch: Watch) -> None:
    assert not watch.at_rest()


def test_new_candles_of_a_window_whose_derivatives_were_asked_for_are_analysed_without_asking_again(
    watch: Watch,
) -> None:
    watch.write("BTCUSDT")
    window = Window.last_complete(NOON)
    for dataset in DATASETS:
        watch.lake.write([dataset], window.key, pd.DataFrame({"value": [1.0]}))
    watch.look()
    request = watch.look(30)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "analyse"
    assert request.partition_key == window.key


def test_a_candle_folder_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    assert isinstance(Watch(tmp_path).look(), dg.SkipReason)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(Canned(body=b"ok")) as server:
        monkeypatch.setenv("TEST_WEBHOOK", server.url)
        yield server


def told(server: ScriptedServer) -> list[str]:
    return [json.loads(body)["text"] for body in server.bodies]


def test_a_failed_run_is_told_with_its_window_and_its_reason(tmp_path: Path, webhook: ScriptedServer) -> None:
    (tmp_path / "candles").mkdir()
    definitions = build_definitions(Settings(data_dir=tmp_path, candles_dir=tmp_path / "candles"))
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("scan").execute_in_process(
            instance=instance, partition_key="2026-01-19-16:45", raise_on_error=False
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"notifier": Notifier(address_variable="TEST_WEBHOOK")},
        ).for_run_failure()
        tell_of_failed_runs(context)
    (text,) = told(webhook)
    assert text.startswith("scan of window 2026-01-19-16:45 failed\n")
    assert "candles: " in text
    assert "EXCHANGE_SYMBOL_TIMEFRAME" in text
    assert result.run_id in text
