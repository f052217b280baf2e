"""A row of an exchange's market list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeMarket:
    """A row of an exchange's market list.

    Attributes:
        symbol: the exchange's own id, such as `BTC-USDT-SWAP`.
        base, quote, settle: the assets, as the exchange names them; `settle` is what margin and profit are paid in.
        is_perpetual: whether the contract has no expiry.
        is_linear: whether margin is not paid in the base asset.
        is_active: whether it can be traded.
        contract_size: base assets in a contract; 1 where volumes are counted in the base asset.
        tick_size: the smallest step of the price; None if unknown.
        listed_ms: when it was listed, UNIX milliseconds; None if unknown.
        quote_volume: turnover of 24 hours in the quote asset; None if unknown.
        last_price: in the quote asset; None if unknown.
    """

    symbol: str
    base: str
    quote: str
    settle: str
    is_perpetual: bool
    is_linear: bool
    is_active: bool
    contract_size: float
    tick_size: float | None
    listed_ms: int | None
    quote_volume: float | None
    last_price: float | None
