"""Connections to local exchanges record where the data of a folder come from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_assets.common.clock import Clock
from quant_assets.common.settings import LOOPBACK_ORIGIN
from quant_assets.emulator import simulated_universe
from quant_assets.emulator.exchanges import ExchangeEmulators, ExchangeFaults, exchanges_of_universe
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.providers.errors import ProviderError
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.storage.origins import recorded_origins

CLOCK = Clock(sleep=lambda _: None)


@pytest.fixture(scope="module")
def exchanges() -> Iterator[ExchangeEmulators]:
    with ExchangeEmulators(exchanges_of_universe(simulated_universe()), names=["BYBIT"]) as exchanges:
        yield exchanges


@pytest.fixture
def source(exchanges: ExchangeEmulators, tmp_path: Path) -> Iterator[ExchangeSource]:
    yield ExchangeSource(data_dir=str(tmp_path), addresses=exchanges.urls)
    exchanges["BYBIT"].faults = ExchangeFaults()


def test_origin_is_recorded_also_if_the_fetch_fails_after_a_response(source: ExchangeSource) -> None:
    def fill_a_disk(client: ExchangeClient) -> None:
        assert client.markets()
        raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"), source.connected("BYBIT", CLOCK, 1) as (client,):
        fill_a_disk(client)
    assert recorded_origins(source.settings) == {"BYBIT": LOOPBACK_ORIGIN}


@pytest.mark.parametrize(
    "faults", [ExchangeFaults(down=True), ExchangeFaults(server_error=1.0), ExchangeFaults(html=1.0)]
)
def test_fetch_without_any_valid_response_records_no_origin(
    source: ExchangeSource, exchanges: ExchangeEmulators, faults: ExchangeFaults
) -> None:
    exchanges["BYBIT"].faults = faults
    with pytest.raises(ProviderError), source.connected("BYBIT", CLOCK, 1) as (client,):
        client.markets()
    assert recorded_origins(source.settings) == {}
