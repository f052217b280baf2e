"""Candles: the folder of candle files, and the tables of their bars."""

from quant_assets.candles.candle_file import CandleFileError
from quant_assets.candles.candle_folder import (
    STEP_MS,
    CandleFolderError,
    CandleTables,
    check_candle_folder,
    read_candles,
    require_readable_candles,
    source_is_simulated,
)

__all__ = [
    "STEP_MS",
    "CandleFileError",
    "CandleFolderError",
    "CandleTables",
    "check_candle_folder",
    "read_candles",
    "require_readable_candles",
    "source_is_simulated",
]
