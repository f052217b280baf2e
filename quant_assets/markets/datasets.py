"""What the resolution of markets needs to know of a derivative dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from quant_assets.markets.candidates import Candidate

Dataset = str
"""The name of a dataset, such as open_interest."""


class ResolvedDataset(Protocol):
    """A dataset for which symbols are chosen: an entry of the registry in quant_assets/derivatives/datasets.py."""

    @property
    def name(self) -> str:
        """Its name, with which its columns of the symbol map begin."""

    @property
    def is_published(self) -> Callable[[Candidate], bool]:
        """Tells whether the provider has the dataset for a market, by the market list and the rules."""
