"""Serve a local Coinalyze over real HTTP with simulated or recorded data, for the demo and the tests."""

from quant_assets.emulator.candle_files import MARKER, write_candle_files
from quant_assets.emulator.catalogue import REAL_ROWS
from quant_assets.emulator.faults import Faults
from quant_assets.emulator.local_service import system_clock
from quant_assets.emulator.recorded_universe import universe_of_candles
from quant_assets.emulator.run import run_emulator
from quant_assets.emulator.server import (
    DEFAULT_CALLS_PER_MINUTE,
    DEFAULT_KEY,
    Accepted,
    Accounting,
    Emulator,
)
from quant_assets.emulator.simulated_market import Candles, SimulatedMarket, simulate_candles
from quant_assets.emulator.simulated_universe import (
    DEFAULT_SEED,
    ScannedMarket,
    SimulatedUniverse,
    simulated_universe,
)
from quant_assets.emulator.universe import EXCHANGES, Listing, MarketRow, Universe, plain_universe

__all__ = [
    "DEFAULT_CALLS_PER_MINUTE",
    "DEFAULT_KEY",
    "DEFAULT_SEED",
    "EXCHANGES",
    "MARKER",
    "REAL_ROWS",
    "Accepted",
    "Accounting",
    "Candles",
    "Emulator",
    "Faults",
    "Listing",
    "MarketRow",
    "ScannedMarket",
    "SimulatedMarket",
    "SimulatedUniverse",
    "Universe",
    "plain_universe",
    "run_emulator",
    "simulate_candles",
    "simulated_universe",
    "system_clock",
    "universe_of_candles",
    "write_candle_files",
]
