"""The report of a refresh: what happened to each dataset's symbols, what was spent, and why it stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

#: The names in stored reports, the feed and Dagster's metadata, of fields that are named differently here.
STORED_NAMES: Final = {
    "requested": "wanted",
    "cached": "known",
    "pending": "waiting",
    "invalid_points": "broken_points",
}


class StopReason(StrEnum):
    """Why a refresh stopped before everything was fetched; COMPLETED if it did not. The values are stored."""

    COMPLETED = ""
    NO_KEY = "no_key"
    KEY_REFUSED = "key_refused"
    OUT_OF_TIME = "out_of_time"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    BAD_REQUESTS = "bad_requests"
    STORE = "store"


@dataclass(slots=True)
class DatasetReport:
    """The symbols of one dataset, counted: `requested` by the symbol map, `cached` before the refresh, `fetched` with
    data, `empty` without, `failed` (rejected or without response), `pending` (due but not requested)."""

    requested: int = 0
    cached: int = 0
    fetched: int = 0
    empty: int = 0
    failed: int = 0
    pending: int = 0
    calls: int = 0
    requests: int = 0


@dataclass(slots=True)
class RefreshReport:
    """What a refresh did and spent. `problems` are messages for people."""

    datasets: dict[str, DatasetReport] = field(default_factory=dict)
    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    invalid_points: int = 0
    stopped: StopReason = StopReason.COMPLETED
    problems: list[str] = field(default_factory=list)

    @property
    def cache_hits(self) -> int:
        """Return the symbols, over all datasets, that needed no call."""
        return sum(dataset.cached for dataset in self.datasets.values())

    def add(self, other: RefreshReport) -> None:
        """Add what another provider's refresh did. The first reason to stop is kept."""
        self.datasets |= other.datasets
        self.calls += other.calls
        self.requests += other.requests
        self.rate_limited += other.rate_limited
        self.retries += other.retries
        self.waited_seconds = round(self.waited_seconds + other.waited_seconds, 3)
        self.invalid_points += other.invalid_points
        self.stopped = self.stopped or other.stopped
        self.problems += other.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types, with the names under which reports are stored."""
        stored = _with_stored_names(asdict(self))
        stored["datasets"] = {dataset: _with_stored_names(counts) for dataset, counts in stored["datasets"].items()}
        return {**stored, "stopped": self.stopped.value, "cache_hits": self.cache_hits}


def _with_stored_names(values: dict[str, Any]) -> dict[str, Any]:
    return {STORED_NAMES.get(name, name): value for name, value in values.items()}
