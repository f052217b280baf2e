"""Serve the public APIs of exchanges over real HTTP on loopback, for the demo and the tests."""

from quant_assets.emulator.exchanges.accounting import AcceptedRequest, ExchangeAccounting
from quant_assets.emulator.exchanges.emulator import ExchangeEmulator
from quant_assets.emulator.exchanges.emulators import ExchangeEmulators
from quant_assets.emulator.exchanges.faults import HOSTILE_NAMES, ExchangeFaults
from quant_assets.emulator.exchanges.registry import APIS
from quant_assets.emulator.exchanges.universe import (
    ExchangeUniverse,
    exchanges_of_candles,
    exchanges_of_universe,
)

__all__ = [
    "APIS",
    "HOSTILE_NAMES",
    "AcceptedRequest",
    "ExchangeAccounting",
    "ExchangeEmulator",
    "ExchangeEmulators",
    "ExchangeFaults",
    "ExchangeUniverse",
    "exchanges_of_candles",
    "exchanges_of_universe",
]
