"""A local Coinalyze over real HTTP, and a simulated market to feed it; for the demo and the tests alone."""

from quant_assets.emulator.candle_files import MARKER, write_candle_files
from quant_assets.emulator.candle_keeper import CandleKeeper
from quant_assets.emulator.catalogue import REAL_ROWS
from quant_assets.emulator.faults import Faults
from quant_assets.emulator.recorded_universe import universe_of_candles
from quant_assets.emulator.run import run_emulator
from quant_assets.emulator.server import (
    DEFAULT_CALLS_PER_MINUTE,
    DEFAULT_KEY,
    Accepted,
    Accounting,
    Emulator,
    system_clock,
)
from quant_assets.emulator.simulated import Candles, SimulatedMarket, candles
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
    "CandleKeeper",
    "Candles",
    "Emulator",
    "Faults",
    "Listing",
    "MarketRow",
    "ScannedMarket",
    "SimulatedMarket",
    "SimulatedUniverse",
    "Universe",
    "candles",
    "plain_universe",
    "run_emulator",
    "simulated_universe",
    "system_clock",
    "universe_of_candles",
    "write_candle_files",
]
