"""The result of trades in R: multiples of the distance from the entry to the stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_assets.evaluation.costs import Costs, Funding
from quant_assets.evaluation.exits import Exits, Orders
from quant_assets.evaluation.price_bars import Floats, Ints


@dataclass(frozen=True, slots=True)
class Results:
    """Results of trades; the arrays have the same length, and are NaN for a lost trade."""

    gross_r: Floats
    net_r: Floats
    """After fees, slippage and funding."""
    funding_known: Floats
    """The share of settlements whose rate is known."""
    mfe_r: Floats
    """Maximum favourable excursion."""
    mae_r: Floats
    """Maximum adverse excursion, 0 or negative."""


def results(orders: Orders, exits: Exits, entry_ms: Ints, costs: Costs, funding: Funding) -> Results:
    """Return the results of trades of one market and side."""
    risk = np.abs(orders.entry - orders.stop)
    gross = orders.sign * (exits.exit - orders.entry) / risk
    paid_pct, known = funding.between(entry_ms, exits.exit_ms)
    paid = costs.of_a_side * (orders.entry + exits.exit) + orders.sign * paid_pct / 100.0 * orders.entry
    return Results(
        gross_r=gross,
        net_r=gross - paid / risk,
        funding_known=known,
        mfe_r=orders.sign * (exits.best - orders.entry) / risk,
        mae_r=orders.sign * (exits.worst - orders.entry) / risk,
    )
