"""What a trade costs: fees, slippage, and funding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import load_config
from quant_assets.derivatives.funding import FUNDING_HOURS, FUNDING_INTERVAL_HOURS
from quant_assets.evaluation.price_bars import Floats, Ints, Market

HOUR_MS: Final = 3_600_000


class EvaluationConfigError(ValueError):
    """An invalid evaluation.toml; the message names the file, the key and what is wrong with it."""


class Costs(BaseModel):
    """The file `evaluation.toml`: costs of each side of a trade, in percent of the price."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    fee_pct: float = Field(default=0.05, ge=-1, le=10)
    slippage_pct: float = Field(default=0.02, ge=0, le=10)

    @property
    def of_a_side(self) -> float:
        """The costs of one side as a fraction of its price."""
        return (self.fee_pct + self.slippage_pct) / 100.0


def load_costs(path: Path) -> Costs:
    """Return the costs of a file, the defaults if it does not exist. Raises EvaluationConfigError if it is invalid."""
    return load_config(path, Costs, EvaluationConfigError)


@dataclass(frozen=True, slots=True)
class FundingRates:
    """Funding rates of one market, oldest first; the arrays have the same length."""

    known_ms: Ints
    """When each rate became known, epoch ms."""
    rate_pct: Floats
    """Percent that a LONG pays at each settlement."""


NO_RATES: Final = FundingRates(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Funding:
    """What a LONG of one market pays between two moments."""

    settled_ms: Ints
    """The settlement times, epoch ms."""
    paid_pct: Floats
    """The sum of the rates of all settlements before each of them, and at last of all; unknown rates count 0."""
    known: Ints
    """The number of known rates before each settlement, and at last of all."""

    @classmethod
    def of(cls, exchange: str, rates: FundingRates, first_ms: int, last_ms: int) -> Funding:
        """Return the funding of a market of an exchange for trades between two moments (epoch ms).

        An exchange settles each hour or each so many hours from 00:00 UTC; the rate is the last one known by then.
        """
        interval = int(FUNDING_INTERVAL_HOURS.get(exchange.casefold(), FUNDING_HOURS) * HOUR_MS)
        settled = np.arange(first_ms // interval * interval, last_ms + interval, interval, dtype=np.int64)
        newest = rates.known_ms.searchsorted(settled, side="right") - 1
        is_known = newest >= 0
        paid = np.where(is_known, rates.rate_pct[newest], 0.0) if len(rates.rate_pct) else np.zeros(len(settled))
        return cls(settled, np.append(0.0, paid.cumsum()), np.append(0, is_known.cumsum()))

    def between(self, entry_ms: Ints, exit_ms: Ints) -> tuple[Floats, Floats]:
        """Return for each trade the sum of the rates (percent) of settlements inside it, and the share that is known.

        The share is 1 if there was no settlement.
        """
        first = self.settled_ms.searchsorted(entry_ms, side="right")
        last = np.maximum(self.settled_ms.searchsorted(exit_ms, side="left"), first)
        count = last - first
        known = np.where(count > 0, (self.known[last] - self.known[first]) / np.maximum(count, 1), 1.0)
        return self.paid_pct[last] - self.paid_pct[first], known


def funding_rates(table: pd.DataFrame) -> Mapping[Market, FundingRates]:
    """Return the rates of each market of a table with exchange, symbol, closed_at_ms, and value (percent)."""
    rows = table.dropna(subset=["closed_at_ms", "value"]).sort_values("closed_at_ms", kind="stable")
    return {
        (str(exchange), str(symbol)): FundingRates(
            of_market["closed_at_ms"].to_numpy(np.int64), of_market["value"].to_numpy(np.float64)
        )
        for (exchange, symbol), of_market in rows.groupby(["exchange", "symbol"], observed=True)
    }
