"""What the four datasets are to the API and to the store."""

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
    """One dataset: its history endpoint, and the columns of a stored bar: our names of its `fields`, in their order."""

    endpoint: str
    columns: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The endpoint's names of the values in a bar, in the order in which the client gives them."""
        return tuple(HISTORY_FIELDS[self.endpoint].split())


SPECS: Final[dict[Dataset, DatasetSpec]] = {
    "open_interest": DatasetSpec("open-interest-history", ("open", "high", "low", "close")),
    "funding_rate": DatasetSpec("funding-rate-history", ("open", "high", "low", "close")),
    "long_short_ratio": DatasetSpec("long-short-ratio-history", ("ratio", "longs_pct", "shorts_pct")),
    "liquidations": DatasetSpec("liquidation-history", ("longs", "shorts")),
}
