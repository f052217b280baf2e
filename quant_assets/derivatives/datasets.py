"""The four datasets: their endpoints in the API and their columns in the store.

Their names are in quant_assets/markets/datasets.py, since symbols are resolved for each dataset, and `markets` does not
import from `derivatives`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quant_assets.markets.datasets import DATASETS, Dataset
from quant_assets.providers.coinalyze.client import HISTORY_FIELDS

BAR_SECONDS: Final = 900
INTERVAL: Final = "15min"

__all__ = ["BAR_SECONDS", "DATASETS", "INTERVAL", "SPECS", "Dataset", "DatasetSpec"]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """The history endpoint of a dataset, and the columns of a stored bar, in the order of `fields`."""

    endpoint: str
    columns: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of a bar's values in the API, in the order of the client's points."""
        return tuple(HISTORY_FIELDS[self.endpoint].split())


SPECS: Final[dict[Dataset, DatasetSpec]] = {
    "open_interest": DatasetSpec("open-interest-history", ("open", "high", "low", "close")),
    "funding_rate": DatasetSpec("funding-rate-history", ("open", "high", "low", "close")),
    "long_short_ratio": DatasetSpec("long-short-ratio-history", ("ratio", "longs_pct", "shorts_pct")),
    "liquidations": DatasetSpec("liquidation-history", ("longs", "shorts")),
}
