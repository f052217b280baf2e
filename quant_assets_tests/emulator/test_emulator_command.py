"""Test the emulator as a program: it prints its URL, and ends on an interrupt."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import orjson
import pytest
import requests

from quant_assets.cli.emulator import EXCHANGE_PORTS
from quant_assets.common.settings import Settings
from quant_assets.emulator import SimulatedUniverse, run_emulator, write_candle_files
from quant_assets.emulator.exchanges import APIS
from quant_assets.storage.origins import record_origin
from quant_assets_tests.servers import running


def test_prints_its_url_and_ends_on_interrupt():
    asked = []

    def ask_and_interrupt(url, exchange_urls):
        assert exchange_urls == {}
        asked.append(requests.get(url + "/exchanges", headers={"api_key": "mine"}, timeout=5).status_code)
        raise KeyboardInterrupt

    run_emulator(key="mine", on_ready=ask_and_interrupt)
    assert asked == [200]


def test_missing_folder_is_reported_before_serving(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_emulator(candles=tmp_path / "nowhere")


@contextmanager
def emulator(data_dir: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the command on a data folder; yield the line it prints for another terminal."""
    environment = {**os.environ, "QUANT_DATA_DIR": str(data_dir)}
    with running("emulator", environment, data_dir, *options) as (program, line):
        yield line, program


def exchange_urls_in(exports: str) -> dict[str, str]:
    """Return the exchanges that a printed line exports, by name."""
    (value,) = [word for word in shlex.split(exports) if word.startswith("QUANT_EXCHANGE_URLS=")]
    urls = orjson.loads(value.partition("=")[2])
    return {str(name): str(url) for name, url in urls.items()}


def test_exchanges_are_served_beside_coinalyze(tmp_path: Path) -> None:
    with emulator(tmp_path, "--exchanges") as (exports, program):
        urls = exchange_urls_in(exports)
        assert set(urls) == set(APIS)
        assert len(urls) == EXCHANGE_PORTS
        assert "COINALYZE_BASE_URL" in exports
        listed = requests.get(f"{urls['MEXC']}/api/v1/contract/detail", timeout=30).json()["data"]
        assert len(listed) > 130
        assert "Coinalyze and 8 exchanges" in read_line(program.stderr)
        program.terminate()
        assert program.wait(timeout=60) == 0


def test_exchanges_serve_the_bars_of_candle_files(universe: SimulatedUniverse, tmp_path: Path) -> None:
    folder = tmp_path / "candles"
    some = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[:2])
    write_candle_files(some, folder, datetime(2026, 1, 19, 17, 5, tzinfo=UTC))
    with emulator(tmp_path, "--exchanges", "--candles", str(folder)) as (exports, _):
        url = exchange_urls_in(exports)["BINANCE"]
        for timeframe in ("15m", "4h"):
            fields = {"symbol": "BTCUSDT", "interval": timeframe, "limit": 1500}
            rows = requests.get(f"{url}/fapi/v1/klines", params=fields, timeout=30).json()
            bars = orjson.loads((folder / f"BINANCE_BTCUSDT_{timeframe}.json").read_bytes())
            assert [[row[0], *(float(value) for value in row[1:6])] for row in rows] == [
                [bar[name] for name in ("time", "open", "high", "low", "close", "volume")] for bar in bars
            ]


def test_port_without_room_for_the_exchanges_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "quant_assets", "emulator", "--exchanges", "--port", "65530"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert "65530" in done.stderr
    assert "65527" in done.stderr


def demo_in(data_dir: Path, origin: str = "loopback") -> Path:
    """Return the folder of an earlier demo."""
    folder = data_dir / "demo"
    folder.mkdir()
    record_origin(Settings(data_dir=folder), "coinalyze", origin)
    record_origin(Settings(data_dir=folder), "BYBIT", "loopback")
    return folder


def read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.mark.parametrize("inside", [False, True], ids=["data folder", "demo folder"])
def test_emulator_prints_the_folder_of_the_demo_and_what_else_it_needs(tmp_path: Path, inside: bool) -> None:
    folder = demo_in(tmp_path)
    with emulator(folder if inside else tmp_path) as (exports, program):
        assert f" QUANT_DATA_DIR={folder}\n" in exports
        said = [read_line(program.stderr) for _ in range(2)]
        assert "--exchanges" in said[1]


@pytest.mark.parametrize("why", ["no demo", "another origin", "candles of its own"])
def test_emulator_prints_no_folder_with_other_data(universe: SimulatedUniverse, tmp_path: Path, why: str) -> None:
    options = []
    if why != "no demo":
        demo_in(tmp_path, "api.coinalyze.net" if why == "another origin" else "loopback")
    if why == "candles of its own":
        some = SimulatedUniverse(universe.listings, seed=universe.seed, scanned=universe.scanned[:2])
        write_candle_files(some, tmp_path / "candles", datetime(2026, 1, 19, 17, 5, tzinfo=UTC))
        options = ["--candles", str(tmp_path / "candles")]
    with emulator(tmp_path, *options) as (exports, program):
        assert "COINALYZE_BASE_URL" in exports
        assert "QUANT_DATA_DIR" not in exports
        program.terminate()
        assert program.communicate(timeout=60)[1].splitlines()[1:] == ["stopped"]
