"""What the four datasets are to the API and to the store.

Here: endpoint, fields and cadence of each. Not here: rules about when or in which order they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from quant_assets.markets.datasets import DATASETS, Dataset

BAR_SECONDS: Final = 900
INTERVAL: Final = "15min"

__all__ = ["BAR_SECONDS", "DATASETS", "INTERVAL", "SPECS", "Dataset", "DatasetSpec"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """One dataset: its history endpoint, the columns of a stored bar, and how often it is worth asking for.

    `fields` are the endpoint's names of the values in a bar, `columns` ours, in the same order.
    """

    endpoint: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    cadence: timedelta


SPECS: Final[dict[Dataset, DatasetSpec]] = {
    "open_interest": DatasetSpec(
        "open-interest-history", ("o", "h", "l", "c"), ("open", "high", "low", "close"), timedelta(minutes=15)
    ),
    "funding_rate": DatasetSpec(
        "funding-rate-history", ("o", "h", "l", "c"), ("open", "high", "low", "close"), timedelta(minutes=60)
    ),
    "long_short_ratio": DatasetSpec(
        "long-short-ratio-history", ("r", "l", "s"), ("ratio", "longs_pct", "shorts_pct"), timedelta(minutes=60)
    ),
    "liquidations": DatasetSpec("liquidation-history", ("l", "s"), ("longs", "shorts"), timedelta(minutes=60)),
}
