"""The registry of datasets: the built-in entries, and in later commits those of installed packages.

Everything that does something for each dataset goes by SPECS and DATASETS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quant_assets.derivatives.bar_times import BAR_SECONDS, INTERVAL
from quant_assets.derivatives.dataset_spec import DatasetSpec
from quant_assets.derivatives.entries import BUILT_IN, OPEN_INTEREST
from quant_assets.markets.datasets import Dataset

__all__ = ["BAR_SECONDS", "DATASETS", "ENTRIES", "INTERVAL", "LEADING", "SPECS", "Dataset", "DatasetSpec"]

ENTRIES: Final[tuple[DatasetSpec, ...]] = BUILT_IN
"""The entries, in the order in which datasets are shown."""
SPECS: Final[Mapping[Dataset, DatasetSpec]] = {spec.name: spec for spec in ENTRIES}
"""Name → entry, in the same order."""
DATASETS: Final[tuple[Dataset, ...]] = tuple(SPECS)
LEADING: Final[Dataset] = OPEN_INTEREST.name
"""The dataset that decides a market's status and is fetched first."""
