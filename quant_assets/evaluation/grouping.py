"""Groups of the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from quant_assets.evaluation.price_bars import Ints


def groups(table: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Ints]]:
    """Yield the texts of each group of rows that agree in these columns, and the positions of its rows, in order."""
    rows = pd.Series(np.arange(len(table)))
    keys = [table[name].astype(str).to_numpy() for name in names]
    for key, of_group in rows.groupby(keys, sort=True):
        yield tuple(map(str, key)), of_group.to_numpy(np.int64)


def keys_of(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the values of these columns, a tuple for each row. For few rows much faster than a MultiIndex."""
    return list(zip(*(table[name].tolist() for name in names), strict=True))


def in_order(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows sorted by these columns, with a new index. For few rows much faster than `sort_values`."""
    keys = keys_of(table, names)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return table.reset_index(drop=True) if order == list(range(len(keys))) else table.take(order).reset_index(drop=True)
