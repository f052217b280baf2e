"""Pivots: values that exceed their neighbours on both sides."""

from __future__ import annotations

import numpy as np

from quant_assets.signals.features.bars import Bools, Floats


def pivot_highs(rows: Floats, order: int, margin: float = 0.0) -> Bools:
    """Return which values of each row are pivot highs; `rows` and the result have the shape (series, bars).

    A pivot high is greater than each of the `order` values before and after it by more than `margin`. A value with
    fewer neighbours, or one that is NaN, is none. The lows are the highs of `-rows`.
    """
    found = np.zeros(rows.shape, dtype=bool)
    count = rows.shape[1] - 2 * order
    if count <= 0:
        return found
    highest = rows[:, :count].copy()
    for offset in range(1, 2 * order + 1):
        if offset != order:
            np.maximum(highest, rows[:, offset : offset + count], out=highest)
    found[:, order:-order] = rows[:, order:-order] - highest > margin
    return found
