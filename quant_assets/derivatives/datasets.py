"""What the four datasets are to the API and to the store.

Here: endpoint and fields of each. Not here: how often and in which order they are asked for (planner.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quant_assets.markets.datasets import DATASETS, Dataset

BAR_SECONDS: Final = 900
INTERVAL: Final = "15min"

__all__ = ["BAR_SECONDS", "DATASETS", "INTERVAL", "SPECS", "Dataset", "DatasetSpec"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One dataset: its history endpoint, and the columns of a stored bar.

    `fields` are the endpoint's names of the values in a bar, `columns` ours, in the same order.
    """

    endpoint: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]


SPECS: Final[dict[Dataset, DatasetSpec]] = {
    "open_interest": DatasetSpec("open-interest-history", ("o", "h", "l", "c"), ("open", "high", "low", "close")),
    "funding_rate": DatasetSpec("funding-rate-history", ("o", "h", "l", "c"), ("open", "high", "low", "close")),
    "long_short_ratio": DatasetSpec("long-short-ratio-history", ("r", "l", "s"), ("ratio", "longs_pct", "shorts_pct")),
    "liquidations": DatasetSpec("liquidation-history", ("l", "s"), ("longs", "shorts")),
}
