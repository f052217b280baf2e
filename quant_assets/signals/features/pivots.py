"""Pivots: values that stand out from their neighbours on both sides."""

from __future__ import annotations

import numpy as np

from quant_assets.signals.features.bars import Floats, Truths


def highs(rows: Floats, order: int, margin: float = 0.0) -> Truths:
    """Tell which values of each row are highs; `rows` has the shape (series, bars), and so has the answer.

    A high is greater than each of the `order` values before and after it by more than `margin`, all of them present;
    a neighbour that is NaN makes none. The lows are the highs of `-rows`.
    """
    found = np.zeros(rows.shape, dtype=bool)
    count = rows.shape[1] - 2 * order
    if count <= 0:
        return found
    most = rows[:, :count].copy()
    for offset in range(1, 2 * order + 1):
        if offset != order:
            np.maximum(most, rows[:, offset : offset + count], out=most)
    found[:, order:-order] = rows[:, order:-order] - most > margin
    return found
