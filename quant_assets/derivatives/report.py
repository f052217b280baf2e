"""The account of a refresh: what became of each dataset's symbols, and what was spent."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class DatasetReport:
    """What became of one dataset, in symbols: `wanted` by the map, `known` before the refresh (the cache hits),
    `fetched` with data, `empty` without, `failed` refused or not answered, `waiting` due but not reached."""

    wanted: int = 0
    known: int = 0
    fetched: int = 0
    empty: int = 0
    failed: int = 0
    waiting: int = 0
    calls: int = 0
    requests: int = 0


@dataclass(slots=True)
class RefreshReport:
    """What a refresh did and spent. `stopped` says why it ended before everything was known ("" if it did not):
    `no_key`, `key_refused`, `out_of_time`, `provider_unavailable`, `bad_requests` or `store`; `problems` are
    lines for a person."""

    datasets: dict[str, DatasetReport] = field(default_factory=dict)
    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    broken_points: int = 0
    stopped: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def cache_hits(self) -> int:
        """Symbols, over all datasets, that nothing had to be spent on."""
        return sum(dataset.known for dataset in self.datasets.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {**asdict(self), "cache_hits": self.cache_hits}
