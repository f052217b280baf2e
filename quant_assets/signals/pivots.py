"""Pivots: values that stand out from their neighbours on both sides.

Here: where a series turns, for any number of neighbours. Not here: what is drawn through the pivots.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from quant_assets.signals.bars import Floats, Ints


def pivots(values: Floats, order: int, margin: float = 0.0) -> tuple[Ints, Ints]:
    """Return the indices of the highs and of the lows among `values`, rising.

    A high is greater than each of the `order` values before and after it by more than `margin`, all of them present;
    a low is smaller. A neighbour that is NaN makes neither.
    """
    count = len(values) - 2 * order
    if count <= 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    neighbours = values[_neighbours(count, order)]
    middle = values[order:-order]
    (highs,) = (middle - np.maximum.reduce(neighbours) > margin).nonzero()
    (lows,) = (np.minimum.reduce(neighbours) - middle > margin).nonzero()
    return highs + order, lows + order


@cache
def _neighbours(count: int, order: int) -> Ints:
    offsets = np.array([offset for offset in range(2 * order + 1) if offset != order])
    return offsets[:, None] + np.arange(count)
