"""What differs from one exchange to another. An exchange that needs none of it needs no entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange.

    Attributes:
        name: as the provider's list of exchanges writes it.
        other_names: names of the same exchange in candle files, upper case.
        tag: its short name in the feed; empty for the first three letters.
        funding_interval_hours: None if it is 8 hours or unknown, which count alike.
        publishes_liquidations: whether it publishes any.
        has_contract_suffix: whether its symbols end with an M behind the quote (`XBTUSDTM`).
        has_k_multiplier: whether a small k in front of a base means 1,000 units (`kPEPE`).
        has_candle_source: whether existing pages can draw its candles.
        default_quote: the quote of its symbols that name none, as candle files write it.
    """

    name: str
    other_names: tuple[str, ...] = ()
    tag: str = ""
    funding_interval_hours: float | None = None
    publishes_liquidations: bool = True
    has_contract_suffix: bool = False
    has_k_multiplier: bool = False
    has_candle_source: bool = False
    default_quote: str = ""


EXCHANGES: Final = (
    Exchange(name="Binance", other_names=("BINANCEFUTURES", "BINANCEUSDM"), tag="BIN"),
    Exchange(name="Bybit", tag="BYB"),
    Exchange(name="OKX", other_names=("OKEX",), tag="OKX"),
    Exchange(
        name="Hyperliquid",
        other_names=("HL",),
        tag="HL",
        funding_interval_hours=1.0,
        publishes_liquidations=False,
        has_k_multiplier=True,
        has_candle_source=True,
        default_quote="USDT",
    ),
    Exchange(name="Gate.io", other_names=("GATE", "GATEIO")),
    Exchange(
        name="KuCoin", other_names=("KUCOINFUTURES",), tag="KUC", has_contract_suffix=True, has_candle_source=True
    ),
    Exchange(name="MEXC", tag="MEX", has_candle_source=True),
    Exchange(name="Huobi", other_names=("HTX",)),
    Exchange(name="WOO X", other_names=("WOO",)),
    Exchange(name="Aster", other_names=("ASTERDEX",)),
    Exchange(name="Coinbase", other_names=("COINBASEINTERNATIONAL",)),
    Exchange(name="Kraken", other_names=("KRAKENFUTURES",)),
)
