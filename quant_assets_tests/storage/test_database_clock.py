"""The clock of machines that share a database goes by the database's time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from quant_assets.cli.arguments import parse_window
from quant_assets.common.clock import SYSTEM
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.definitions import build_definitions
from quant_assets.storage.database import DatabaseError
from quant_assets.storage.database_clock import clock_of

HOUR = 3600.0


def test_clock_without_a_database_is_that_of_the_machine(tmp_path: Path) -> None:
    assert clock_of(Settings(data_dir=tmp_path)) is SYSTEM


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_windows_go_by_the_database_on_a_machine_with_another_time(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    true, clock = time.time, clock_of(Settings(data_dir=tmp_path, database_url=database_url))
    monkeypatch.setattr(time, "time", lambda: true() + ahead)
    assert clock.seconds() == pytest.approx(true(), abs=HOUR / 10)
    before = Window.last_complete(clock.now())
    assert parse_window("", clock=clock) in {before, Window.last_complete(clock.now())}


@pytest.mark.slow
def test_definitions_load_while_the_database_cannot_be_reached(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://127.0.0.1:1/none")
    resources = build_definitions(settings).resources
    assert resources is not None
    with pytest.raises(DatabaseError, match="refused"):
        resources["clock"].now()
