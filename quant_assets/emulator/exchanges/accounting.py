"""Count the requests that a local exchange received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_REMEMBERED: Final = 5_000
"""How many of the newest requests an exchange remembers one by one."""


@dataclass(frozen=True, slots=True)
class AcceptedRequest:
    """A request that passed the limit: when, its route, the contract that it names if any, its weight."""

    moment: datetime
    endpoint: str
    contract: str
    weight: int


@dataclass(frozen=True, slots=True)
class ExchangeAccounting:
    """Counts of the requests that an exchange received.

    `weight` and `requests` count what passed the limit, `by_endpoint` those requests by route
    (`GET /v5/market/kline`), `rate_limited` those refused by the limit, `banned` those refused by a ban, `refused`
    other refusals (unknown contract, parameter or path), `faults` the injected faults by kind; `accepted` has the
    newest requests one by one.
    """

    weight: int
    requests: int
    by_endpoint: Mapping[str, int]
    rate_limited: int
    banned: int
    refused: int
    faults: Mapping[str, int]
    accepted: tuple[AcceptedRequest, ...]
