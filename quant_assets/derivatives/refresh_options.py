"""What a refresh requests, for which windows, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS, Dataset
from quant_assets.derivatives.exchange_values import OwnSnapshots
from quant_assets.derivatives.policy import RefreshPolicy
from quant_assets.providers.registry import DEFAULT


@dataclass(frozen=True, slots=True)
class RefreshOptions:
    """What to refresh: the windows from `first` (default: the last one) to `last`, and how.

    `since_ms` is the time of the market list (UNIX milliseconds): empty responses before it do not count. `deadline` is
    in seconds of the budget's clock, None for no limit. `symbols_per_request` is the provider's maximum. `own` are what
    the markets' own exchanges gave, which is not requested for a single window.
    """

    last: Window
    since_ms: float
    first: Window | None = None
    datasets: Sequence[Dataset] = DATASETS
    deadline: float | None = None
    policy: RefreshPolicy = field(default_factory=RefreshPolicy)
    symbols_per_request: int = DEFAULT.symbols_per_request
    own: OwnSnapshots | None = None

    @property
    def first_window(self) -> Window:
        """Return the first window to refresh."""
        return self.first or self.last
