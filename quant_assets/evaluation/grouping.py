"""Groups of the rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from quant_assets.evaluation.price_bars import Ints


def groups(table: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Ints]]:
    """Yield the texts of each group of rows that agree in these columns, and the positions of its rows, in order."""
    rows = pd.Series(np.arange(len(table)))
    keys = [table[name].astype(str).to_numpy() for name in names]
    for key, of_group in rows.groupby(keys, sort=True):
        yield tuple(map(str, key)), of_group.to_numpy(np.int64)
