"""The HTTP session that ccxt sends its requests with: counted, checked, and sent elsewhere on request.

ccxt's own throttle is off. Every request, whatever method of ccxt sends it, passes here: its weight is acquired from
the exchange's budget, which all processes share, and a response that is no JSON is an error, where ccxt would make an
empty market of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import requests

from quant_assets.providers.bounded_session import BoundedSession, describe_error
from quant_assets.providers.budget import MAX_PAUSE_SECONDS, CallBudget
from quant_assets.providers.errors import DeadlineExceeded
from quant_assets.providers.exchanges.catalogue import ExchangeApi
from quant_assets.providers.exchanges.errors import MalformedBody, RateLimited, RequestFailed
from quant_assets.providers.exchanges.requests_sent import SentRequest
from quant_assets.providers.retry_after import parse_http_date, parse_retry_after

CONNECT_TIMEOUT_SECONDS: Final = 5.0
RESPONSE_TIMEOUT_SECONDS: Final = 30.0
#: Statuses by which exchanges refuse requests for a time.
REFUSING_STATUSES: Final = frozenset({403, 418, 429})


@dataclass(slots=True)
class ExchangeUsage:
    """What requests to an exchange cost. `offset_seconds` is its clock minus the local one; None before a response."""

    requests: int = 0
    weight: int = 0
    retries: int = 0
    rate_limited: int = 0
    offset_seconds: float | None = None

    def add(self, other: ExchangeUsage) -> None:
        """Add what another connection to the same exchange cost."""
        self.requests += other.requests
        self.weight += other.weight
        self.retries += other.retries
        self.rate_limited += other.rate_limited
        if other.offset_seconds is not None:
            self.offset_seconds = other.offset_seconds


class ExchangeSession(BoundedSession):
    """A session for one connection to an exchange; not to be used by two threads at once.

    `address` (`http://127.0.0.1:PORT`) takes the place of the exchange's own hosts; None keeps them. `clock` returns
    UNIX seconds. `deadline`, in seconds of the budget's clock, may be changed between requests. `has_response` is
    whether any response had status 200 and a body that can be right.
    """

    def __init__(
        self,
        api: ExchangeApi,
        budget: CallBudget,
        address: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.usage = ExchangeUsage()
        self.deadline: float | None = None
        self.has_response = False
        self._api, self._budget, self._clock = api, budget, clock
        self._is_aborted = False
        self._address = None if address is None else urlsplit(address)
        # Requests to this machine must not go to a proxy that the environment names.
        self.trust_env = self._address is None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request of ccxt once its weight is acquired, and return a response that is JSON.

        Raise DeadlineExceeded, BudgetUnusable, RateLimited, RequestFailed or MalformedBody, which ccxt passes on.
        """
        sent = SentRequest.of(request)
        if self._address is not None:
            parts = urlsplit(request.url or "")
            request.url = parts._replace(scheme=self._address.scheme, netloc=self._address.netloc).geturl()
        weight = self._api.weight(sent)
        self._require_not_aborted()
        lease = self._budget.acquire(weight, self.deadline, self._require_not_aborted)
        self.usage.requests += 1
        self.usage.weight += weight
        try:
            response = self._send_in_time(request, sent, options)
        finally:
            self._budget.commit(lease)
        self._check(response, sent)
        return response

    def abort(self) -> None:
        """Break off the request on its way, and send no other; for another thread than that which sends."""
        self._is_aborted = True
        self._close_sockets(self._timed_out)

    def _require_not_aborted(self, _: float = 0.0) -> None:
        if self._is_aborted:
            raise DeadlineExceeded(f"{self._api.name}: interrupted")

    def _send_in_time(
        self, request: requests.PreparedRequest, sent: SentRequest, options: dict[str, Any]
    ) -> requests.Response:
        seconds = RESPONSE_TIMEOUT_SECONDS
        if self.deadline is not None:
            seconds = min(seconds, max(self.deadline - self._budget.now(), 1.0))
        options["timeout"] = (min(CONNECT_TIMEOUT_SECONDS, seconds), seconds)
        options["allow_redirects"] = False
        with self.time_limit(seconds) as timed_out:
            try:
                response = super().send(request, **options)
            except (requests.RequestException, OSError, ValueError) as error:
                reason = f"no whole answer within {seconds:.0f} s" if timed_out.is_set() else describe_error(error)
                raise RequestFailed(f"{self._api.name} {sent}: {reason}") from error
        if timed_out.is_set():
            raise RequestFailed(f"{self._api.name} {sent}: no whole answer within {seconds:.0f} s")
        return response

    def _check(self, response: requests.Response, sent: SentRequest) -> None:
        """Note the exchange's time, pause after a refusal, and raise an error for a body that is no JSON."""
        date = parse_http_date(response.headers.get("Date"))
        if date is not None:
            self.usage.offset_seconds = date - self._clock()
        status = response.status_code
        if status in REFUSING_STATUSES:
            raise self.refused(f"{self._api.name} {sent}: status {status}", self._pause_seconds(response))
        if status >= 500 or status == 408:
            raise RequestFailed(f"{self._api.name} {sent}: status {status}")
        if problem := self._body_problem(response, sent):
            kind = response.headers.get("Content-Type", "of unknown type")
            body = f"a body of {len(response.content)} bytes ({kind}) that {problem}"
            raise MalformedBody(f"{self._api.name} {sent}: status {status} with {body}")
        self.has_response |= status == 200

    def _body_problem(self, response: requests.Response, sent: SentRequest) -> str:
        """Return why a body cannot be from the exchange's API, "" if it can."""
        try:
            content = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            return "is no JSON"
        if response.status_code != 200:
            return ""
        if self._api.answers_with_list(sent):
            return "" if isinstance(content, list) else "is no list"
        path, key = self._api.envelope or ("/", "")
        if not isinstance(content, dict):
            return "is no JSON object"
        return f"has no {key!r}" if key and sent.path.startswith(path) and key not in content else ""

    def _pause_seconds(self, response: requests.Response) -> float | None:
        """Return how long a refusal lasts, None if it is not known."""
        now = self._clock()
        seconds = parse_retry_after(response.headers.get("Retry-After"), datetime.fromtimestamp(now, UTC))
        if seconds is None:
            seconds = self._api.pause_seconds(response.headers, now)
        return self._api.ban_seconds.get(response.status_code) if seconds is None else seconds

    def refused(self, what: str, seconds: float | None = None) -> RateLimited:
        """Pause everybody who shares the budget, and return the error to raise.

        A longer pause than a budget keeps is kept in parts: after each, one request finds out that it goes on.
        """
        self.usage.rate_limited += 1
        pause = min(self._api.period_seconds if seconds is None else seconds, MAX_PAUSE_SECONDS)
        self._budget.pause(pause)
        return RateLimited(f"{what}: too many requests; the exchange pauses for {pause:.0f} s", pause)
