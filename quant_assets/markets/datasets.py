"""Name the four derivative datasets, in the order in which they are shown."""

from __future__ import annotations

from typing import Literal, get_args

Dataset = Literal["open_interest", "funding_rate", "long_short_ratio", "liquidations"]

DATASETS: tuple[Dataset, ...] = get_args(Dataset)
