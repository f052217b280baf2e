"""Read a folder of candle files into tables."""

from quant_assets.candles.candle_file import CandleFileError
from quant_assets.candles.candle_folder import (
    CandleFolderError,
    FileStatus,
    check_candle_folder,
    list_markets,
    source_is_simulated,
)
from quant_assets.candles.candle_tables import CandleTables, read_candles, read_scannable_candles

__all__ = [
    "CandleFileError",
    "CandleFolderError",
    "CandleTables",
    "FileStatus",
    "check_candle_folder",
    "list_markets",
    "read_candles",
    "read_scannable_candles",
    "source_is_simulated",
]
