"""What happenings ask for, and what is told of failures and of stale data."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from quant_assets.clock import SYSTEM
from quant_assets.definitions import build_definitions
from quant_assets.defs.resources import CandleFolder, Notifier
from quant_assets.defs.sensors import KEPT_FRESH, new_candles, tell_of_failed_runs, tell_of_stale_assets
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.lake import Lake
from quant_assets.settings import Settings
from quant_assets.windows import Window
from quant_assets_tests.coinalyze.scripted import Canned, ScriptedServer


def look(folder: Path, lake: Lake, cursor: str | None = None) -> tuple[object, str | None]:
    context = dg.build_sensor_context(
        cursor=cursor,
        resources={"candle_folder": CandleFolder(path=str(folder)), "lake": lake, "clock": SYSTEM},
    )
    return new_candles(context), context.cursor


def candle_file(folder: Path, age_seconds: float) -> Path:
    file = folder / "BINANCE_BTCUSDT_15m.json"
    file.write_text("[]")
    moment = time.time() - age_seconds
    os.utime(file, (moment, moment))
    return file


def test_candles_that_are_still_being_written_are_waited_for(tmp_path: Path) -> None:
    candle_file(tmp_path, 0)
    assert isinstance(look(tmp_path, Lake(tmp_path / "lake"))[0], dg.SkipReason)


def test_new_candles_are_scanned_once(tmp_path: Path) -> None:
    candle_file(tmp_path, 60)
    request, cursor = look(tmp_path, Lake(tmp_path / "lake"))
    assert isinstance(request, dg.RunRequest)
    assert request.job_name == "scan"
    assert isinstance(look(tmp_path, Lake(tmp_path / "lake"), cursor)[0], dg.SkipReason)


def test_new_candles_of_a_window_whose_derivatives_were_asked_for_are_analysed_without_asking_again(
    tmp_path: Path,
) -> None:
    candle_file(tmp_path, 60)
    lake = Lake(tmp_path / "lake")
    window = Window.last_complete(SYSTEM.now())
    for dataset in DATASETS:
        lake.write([dataset], window.key, pd.DataFrame({"value": [1.0]}))
    request, _ = look(tmp_path, lake)
    assert isinstance(request, dg.RunRequest)
    if Window.last_complete(SYSTEM.now()) == window:
        assert request.job_name == "analyse"
        assert request.partition_key == window.key


def test_a_candle_folder_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    assert isinstance(look(tmp_path / "none", Lake(tmp_path / "lake"))[0], dg.SkipReason)


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


def test_an_asset_that_gets_stale_is_told_once_and_once_when_it_is_fresh_again(webhook: ScriptedServer) -> None:
    from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange  # noqa: PLC0415

    notifier = {"notifier": Notifier(address_variable="TEST_WEBHOOK")}
    cursor = None
    with dg.DagsterInstance.ephemeral() as instance:
        for state in ("PASS", "FAIL", "FAIL", "PASS"):
            instance._report_runless_asset_event(
                FreshnessStateChange(
                    key=dg.AssetKey("master_feed"),
                    new_state=FreshnessState(state),
                    previous_state=FreshnessState.UNKNOWN,
                    state_change_timestamp=time.time(),
                )
            )
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=notifier)
            tell_of_stale_assets(context)
            cursor = context.cursor
    assert [text.splitlines()[0] for text in told(webhook)] == ["master_feed is stale", "master_feed is fresh again"]


def test_every_asset_with_a_freshness_policy_is_watched(tmp_path: Path) -> None:
    specs = build_definitions(Settings(data_dir=tmp_path)).resolve_all_asset_specs()
    assert {spec.key.to_user_string() for spec in specs if spec.freshness_policy} == set(KEPT_FRESH)
