"""The sensors `new_candles` and `run_failure_alert`. See test_stale_alarm.py for stale data."""

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
from quant_assets.defs.alerts import run_failure_alert
from quant_assets.defs.scans import new_candles
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.resources import CandleFolder, Notifier
from quant_assets.storage.lake import Lake
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer

NOON = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)


class CandleSensor:
    """The sensor `new_candles` over a folder, with the test's own clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder / "candles", Lake(folder / "lake")
        self.seconds = NOON.timestamp()
        self.cursor: str | None = None

    def tick(self, after_seconds: float = 0) -> dg.RunRequest | dg.SkipReason:
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

    def starts_scan(self) -> bool:
        """Tell whether a scan is requested now or when the files have not changed for 30 seconds."""
        return isinstance(self.tick(), dg.RunRequest) or isinstance(self.tick(30), dg.RunRequest)


@pytest.fixture
def sensor(tmp_path: Path) -> CandleSensor:
    (tmp_path / "candles").mkdir()
    return CandleSensor(tmp_path)


def test_scan_waits_while_candle_files_are_written(sensor: CandleSensor) -> None:
    for number in range(4):
        sensor.write(f"COIN{number}")
        assert isinstance(sensor.tick(15), dg.SkipReason)
    assert isinstance(sensor.tick(30), dg.RunRequest)


def test_scan_waits_for_files_with_old_modification_times(sensor: CandleSensor) -> None:
    for number in range(4):
        sensor.write(f"COIN{number}", age_seconds=3600)
        assert isinstance(sensor.tick(15), dg.SkipReason)


def test_new_candles_are_scanned_once(sensor: CandleSensor) -> None:
    sensor.write("BTCUSDT")
    sensor.tick()
    request = sensor.tick(30)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "scan"
    assert not sensor.starts_scan()


def test_new_file_with_an_old_time_is_scanned(sensor: CandleSensor) -> None:
    sensor.write("BTCUSDT")
    assert sensor.starts_scan()
    sensor.write("ETHUSDT", age_seconds=86_400)
    assert sensor.starts_scan()


def test_removed_file_starts_a_scan(sensor: CandleSensor) -> None:
    sensor.write("BTCUSDT")
    file = sensor.write("ETHUSDT")
    assert sensor.starts_scan()
    file.unlink()
    assert sensor.starts_scan()


def test_file_with_a_future_time_does_not_block_later_changes(sensor: CandleSensor) -> None:
    sensor.write("BTCUSDT", age_seconds=-86_400)
    assert sensor.starts_scan()
    sensor.write("BTCUSDT", "[1]", age_seconds=-86_400)
    assert sensor.starts_scan()


def test_broken_links_in_the_candle_folder_are_ignored(sensor: CandleSensor) -> None:
    (sensor.folder / "BINANCE_ADAUSDT_15m.json").symlink_to("nowhere")
    (sensor.folder / "BINANCE_SOLUSDT_15m.json").symlink_to("BINANCE_SOLUSDT_15m.json")
    (sensor.folder / "BINANCE_TIAUSDT_15m.json").symlink_to("BINANCE_BTCUSDT_15m.json/below")
    sensor.write("BTCUSDT")
    assert sensor.starts_scan()


def test_folder_without_candle_files_starts_no_scan(sensor: CandleSensor) -> None:
    assert not sensor.starts_scan()


def test_new_candles_of_a_refreshed_window_are_analysed_without_calls(
    sensor: CandleSensor,
) -> None:
    sensor.write("BTCUSDT")
    window = Window.last_complete(NOON)
    for dataset in DATASETS:
        sensor.lake.write([dataset], window.key, pd.DataFrame({"value": [1.0]}))
    sensor.tick()
    request = sensor.tick(30)
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "analyse"
    assert request.partition_key == window.key


def test_missing_candle_folder_is_skipped(tmp_path: Path) -> None:
    assert isinstance(CandleSensor(tmp_path).tick(), dg.SkipReason)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(Canned(body=b"ok")) as server:
        monkeypatch.setenv("TEST_WEBHOOK", server.url)
        yield server


def notices(server: ScriptedServer) -> list[str]:
    return [json.loads(body)["text"] for body in server.bodies]


def test_failed_run_sends_a_notice_with_window_and_reason(tmp_path: Path, webhook: ScriptedServer) -> None:
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
        run_failure_alert(context)
    (text,) = notices(webhook)
    assert text.startswith("scan of window 2026-01-19-16:45 failed\n")
    assert "candles: " in text
    assert "EXCHANGE_SYMBOL_TIMEFRAME" in text
    assert result.run_id in text


@dg.op(name="wait")
def _interrupted() -> None:
    raise RuntimeError("interrupted")


@dg.job(name="hanging")
def _hanging() -> None:
    _interrupted()


@pytest.mark.parametrize("has_started", [False, True])
def test_run_that_dagster_ended_sends_a_notice_with_the_reason(webhook: ScriptedServer, *, has_started: bool) -> None:
    """Dagster ends a run whose worker died or that hangs, and records no error with it, but perhaps a failed step."""
    job = dg.Definitions(jobs=[_hanging]).resolve_job_def("hanging")
    with dg.DagsterInstance.ephemeral() as instance:
        if has_started:
            run = job.execute_in_process(instance=instance, raise_on_error=False).dagster_run
        else:
            run = instance.create_run_for_job(job)
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failed_runs",
            dagster_event=instance.report_run_failed(run, "Exceeded maximum runtime of 60 seconds."),
            dagster_instance=instance,
            dagster_run=run,
            resources={"notifier": Notifier(address_variable="TEST_WEBHOOK")},
        ).for_run_failure()
        run_failure_alert(context)
    (text,) = notices(webhook)
    steps = ["wait: interrupted"] if has_started else []
    lines = ["hanging failed", "Exceeded maximum runtime of 60 seconds.", *steps, f"run {run.run_id}"]
    assert [line.replace("RuntimeError: ", "") for line in text.splitlines()] == lines
