"""Define a contract of a local exchange, in terms that no API has: base units, UNIX seconds, fractions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log10

import numpy as np

from quant_assets.emulator.exchanges.bar_source import BarSource
from quant_assets.emulator.noise import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One contract of an exchange's list.

    Attributes:
        id: the exchange's own id.
        symbol: what candle files call it; empty if it has none.
        base, quote, settle: as the exchange writes them (1000PEPE, kPEPE, XBT).
        size: base units of one contract where the API counts contracts; quote units of an inverse contract.
        price_decimals, amount_decimals: of a price, and of an amount of the base.
        source: its bars.
        listed: when trading began, UNIX seconds.
        expires: when a dated future is settled, None for a perpetual.
        delisted: when trading ended, None for never.
        inverse: whether it is margined and settled in the base.
        funding_hours: how often funding is paid.
    """

    id: str
    base: str
    quote: str
    settle: str
    size: float
    price_decimals: int
    amount_decimals: int
    source: BarSource = field(compare=False, repr=False)
    listed: int
    symbol: str = ""
    expires: int | None = None
    delisted: int | None = None
    inverse: bool = False
    funding_hours: int = 8

    @property
    def perpetual(self) -> bool:
        """Tell whether it has no date of settlement."""
        return self.expires is None

    @property
    def ends(self) -> int | None:
        """Return when its bars end, UNIX seconds; None for never."""
        ends = [moment for moment in (self.expires, self.delisted, self.source.ends) if moment is not None]
        return min(ends, default=None)

    @property
    def tick(self) -> float:
        """Return the smallest step of a price."""
        return float(f"1e-{self.price_decimals}")

    def trades_at(self, now: float) -> bool:
        """Tell whether it is traded at `now` (UNIX seconds)."""
        return self.listed <= now and all(end is None or now < end for end in (self.expires, self.delisted))

    def contracts(self, amount: float, price: float) -> float:
        """Return an amount of the base in contracts; those of an inverse contract are worth `size` of the quote."""
        return float(self.all_contracts(np.array([amount]), np.array([price]))[0])

    def all_contracts(self, amounts: Floats, prices: Floats) -> Floats:
        """Return amounts of the base in contracts, each at its price."""
        if self.inverse:
            return np.asarray(np.round(amounts * prices / self.size), dtype=np.float64)
        decimals = max(0, self.amount_decimals + ceil(log10(self.size)))
        return np.asarray(np.round(amounts / self.size, decimals), dtype=np.float64)
