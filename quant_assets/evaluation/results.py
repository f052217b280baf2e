"""The result of trades in R: multiples of the distance from the entry to the stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant_assets.evaluation.costs import Costs
from quant_assets.evaluation.exits import Exits, Orders
from quant_assets.evaluation.price_bars import Floats


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


def results(orders: Orders, exits: Exits, costs: Costs, funding_pct: Floats, funding_known: Floats) -> Results:
    """Return the results of trades of one side.

    `funding_pct` is what a LONG of the market pays while the trade is open, percent; `funding_known` the share that is
    known.
    """
    risk = np.abs(orders.entry - orders.stop)
    gross = orders.sign * (exits.exit - orders.entry) / risk
    return Results(
        gross_r=gross,
        net_r=gross - paid(orders.sign, orders.entry, exits.exit, costs, funding_pct) / risk,
        funding_known=funding_known,
        mfe_r=orders.sign * (exits.best - orders.entry) / risk,
        mae_r=orders.sign * (exits.worst - orders.entry) / risk,
    )


def paid(sign: Floats | float, entry: Floats, exit_price: Floats, costs: Costs, funding_pct: Floats) -> Floats:
    """Return what trades cost, in quote for one base unit: fees and slippage of both sides, and funding."""
    return costs.of_a_side * (entry + exit_price) + sign * funding_pct / 100.0 * entry
