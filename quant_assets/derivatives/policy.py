"""The refresh policy: how often each dataset is requested, with defaults that users can change in a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from quant_assets.common.toml_config import load_config
from quant_assets.derivatives.datasets import Dataset

#: A year. A longer cadence is a typing error.
MAX_MINUTES: Final = 525_600


class PolicyError(ValueError):
    """An invalid policy file; the message names the file, the key and what is wrong."""


class RefreshPolicy(BaseModel):
    """Cadences in minutes of data time, and the age from which an item comes before all other known items.

    If the budget is too small for the cadences, ages grow in proportion to them. Open interest, which scores up to
    twenty points, is refreshed more often by its weight.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    open_interest_minutes: float = Field(default=15, ge=15, le=MAX_MINUTES)
    funding_rate_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    long_short_ratio_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    liquidations_minutes: float = Field(default=60, ge=15, le=MAX_MINUTES)
    oldest_minutes: float = Field(default=105, ge=15, le=MAX_MINUTES)
    open_interest_weight: float = Field(default=1.25, ge=1, le=100)

    def cadence_seconds(self, dataset: Dataset) -> float:
        """Return the cadence of a dataset in seconds."""
        minutes: float = getattr(self, f"{dataset}_minutes")
        return minutes * 60


def load_policy(path: Path) -> RefreshPolicy:
    """Read a TOML file whose keys are the fields of RefreshPolicy. Return the defaults if there is no file.

    Raise PolicyError if the file cannot be read, is not TOML, or has an unknown key or invalid value.
    """
    return load_config(path, RefreshPolicy, PolicyError)
