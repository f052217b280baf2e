"""Test how local exchanges are started, and how they are built from candle files."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from quant_assets.emulator import SimulatedUniverse, simulated_universe, write_candle_files
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeUniverse, exchanges_of_candles
from quant_assets_tests.emulator.conftest import Clock

WRITTEN = datetime(2026, 1, 19, 17, 5, tzinfo=UTC)


def test_only_named_exchanges_are_served(exchange_universe: ExchangeUniverse, clock: Clock) -> None:
    with ExchangeEmulators(exchange_universe, clock=clock, names=["OKX", "GATE"]) as exchanges:
        assert exchanges.names == ("OKX", "GATE")
        assert set(exchanges.urls) == {"OKX", "GATE"}
        with pytest.raises(KeyError):
            exchanges["BYBIT"]
    with pytest.raises(requests.ConnectionError):
        requests.get(exchanges.urls["OKX"] + "/api/v5/public/time", timeout=5)


def test_unknown_exchange_is_refused(exchange_universe: ExchangeUniverse) -> None:
    with pytest.raises(KeyError, match="KRAKEN"):
        ExchangeEmulators(exchange_universe, names=["OKX", "KRAKEN"])


def test_port_in_use_is_refused_and_the_others_are_closed(exchange_universe: ExchangeUniverse) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
        other.close()
        ports = {"OKX": free, "GATE": taken.getsockname()[1]}
        with pytest.raises(OSError, match="in use"):
            ExchangeEmulators(exchange_universe, names=["OKX", "GATE"], ports=ports)
        with ExchangeEmulators(exchange_universe, names=["OKX"], ports={"OKX": free}) as exchanges:
            assert exchanges.urls == {"OKX": f"http://127.0.0.1:{free}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    whole = simulated_universe()
    names = {("KUCOIN", "XBTUSDTM"), ("KUCOIN", "DASHUSDTM"), ("HYPERLIQUID", "kPEPEUSDT"), ("MEXC", "PUMPUSDT")}
    some = tuple(scanned for scanned in whole.scanned if (scanned.exchange, scanned.symbol) in names)
    write_candle_files(SimulatedUniverse(whole.listings, seed=whole.seed, scanned=some), tmp_path, WRITTEN)
    (tmp_path / "KRAKEN_BTCUSD_15m.json").write_bytes(b"[]")
    return tmp_path


def test_candle_files_become_contracts_of_their_exchanges(folder: Path) -> None:
    universe = exchanges_of_candles(folder)
    found = {
        (name, contract.symbol): contract.id
        for name in ("KUCOIN", "HYPERLIQUID", "MEXC", "OKX")
        for contract in universe.contracts(name)
        if contract.symbol
    }
    # The 15-minute file of DASH is truncated.
    assert found == {
        ("KUCOIN", "XBTUSDTM"): "XBTUSDTM",
        ("HYPERLIQUID", "kPEPEUSDT"): "kPEPE",
        ("MEXC", "PUMPUSDT"): "PUMP_USDT",
    }
    assert any(contract.inverse for contract in universe.contracts("KUCOIN"))
    assert universe.contracts("OKX") == ()


def test_recorded_bars_are_served_in_the_units_of_the_api(folder: Path, clock: Clock) -> None:
    universe = exchanges_of_candles(folder)
    contract = universe.contract("KUCOIN", "XBTUSDTM")
    clock.moment = WRITTEN
    with ExchangeEmulators(universe, clock=clock, names=["KUCOIN"]) as exchanges:
        fields = {"symbol": "XBTUSDTM", "granularity": 15, "to": int(WRITTEN.timestamp() * 1000)}
        rows = requests.get(exchanges["KUCOIN"].url + "/api/v1/kline/query", params=fields, timeout=5).json()["data"]
        listed = requests.get(exchanges["KUCOIN"].url + "/api/v1/contracts/active", timeout=5).json()["data"]
    newest = contract.source.bars(900, rows[-1][0] // 1000, rows[-1][0] // 1000 + 1)
    assert len(rows) == 200
    assert rows[-1][5] * contract.size == pytest.approx(newest.v[0])
    (row,) = [row for row in listed if row["symbol"] == "XBTUSDTM"]
    assert float(row["openInterest"]) > 0
    assert row["lastTradePrice"] == pytest.approx(newest.c[0], rel=0.01)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        exchanges_of_candles(tmp_path / "nowhere")
