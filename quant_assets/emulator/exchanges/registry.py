"""List the exchanges that are served. Adding one is a file with its API and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quant_assets.emulator.exchanges import binance, bitget, bybit, gate, hyperliquid, kucoin, mexc, okx
from quant_assets.emulator.exchanges.api import ExchangeApi

_MODULES = (binance, bitget, bybit, gate, hyperliquid, kucoin, mexc, okx)

APIS: Final[Mapping[str, ExchangeApi]] = {module.API.name: module.API for module in _MODULES}
"""The APIs by exchange name."""
