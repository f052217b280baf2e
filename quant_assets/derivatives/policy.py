"""How often each dataset is worth asking for: the defaults, and the user's changes to them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import load_config
from quant_assets.derivatives.datasets import Dataset

#: A year. A cadence beyond is a slip of the pen, and an infinite one no time at all.
MAX_MINUTES: Final = 525_600


class PolicyError(ValueError):
    """A policy file that cannot be used; the message names the file, the key and what is wrong with it."""


class RefreshPolicy(BaseModel):
    """Cadences in minutes of data time, and the age from which on an item comes before all that is known.

    Where the budget does not suffice for the cadences, ages grow in proportion to them; open interest, which scores up
    to twenty points, grows older more slowly by its weight.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    open_interest_minutes: float = Field(default=15, ge=15, le=MAX_MINUTES)
    funding_rate_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    long_short_ratio_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    liquidations_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    oldest_minutes: float = Field(default=105, ge=15, le=MAX_MINUTES)
    open_interest_weight: float = Field(default=1.25, ge=1, le=100)

    def cadence_seconds(self, dataset: Dataset) -> float:
        """Return a dataset's cadence."""
        minutes: float = getattr(self, f"{dataset}_minutes")
        return minutes * 60


def load_policy(path: Path) -> RefreshPolicy:
    """Read a TOML file whose keys are the fields of RefreshPolicy; the defaults where there is no file.

    Raises PolicyError for a file that cannot be read, is no TOML, or holds an unknown or impossible value.
    """
    return load_config(path, RefreshPolicy, PolicyError)
