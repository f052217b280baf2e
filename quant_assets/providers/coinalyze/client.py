"""The client of the Coinalyze REST API: retries, limits and one method for each endpoint in use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from quant_assets.common.addresses import LOOPBACK_HOSTS
from quant_assets.providers.base import (
    ApiResponse,
    Exchange,
    History,
    Market,
    MarketList,
    RequestedDataset,
    SymbolFilter,
    Usage,
)
from quant_assets.providers.bounded_session import BoundedSession, describe_error
from quant_assets.providers.budget import MAX_PAUSE_SECONDS, CallBudget
from quant_assets.providers.coinalyze.models import MalformedResponse, read_exchanges, read_history, read_markets
from quant_assets.providers.errors import (
    BadRequest,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderUnavailable,
)
from quant_assets.providers.reserve import LeaseExpired, reserve_calls
from quant_assets.providers.retry_after import parse_http_date, parse_retry_after

SYMBOLS_PER_REQUEST: Final = 20
INTERVAL: Final = "15min"
SIMULATED_HEADER: Final = "X-Simulated"
MAX_ATTEMPTS: Final = 5
CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 20.0
#: Must be shorter than the budget's MAX_REQUEST_MS.
RESPONSE_TIMEOUT_SECONDS: Final = 60.0
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_ERROR_BODY_BYTES: Final = 4096
#: How long to pause after a 429 without a usable `Retry-After`.
DEFAULT_PAUSE_SECONDS: Final = 15.0

#: The fields of a point, by history endpoint.
HISTORY_FIELDS: Final[Mapping[str, str]] = {
    "open-interest-history": "o h l c",
    "funding-rate-history": "o h l c",
    "predicted-funding-rate-history": "o h l c",
    "liquidation-history": "l s",
    "long-short-ratio-history": "r l s",
    "ohlcv-history": "o h l c v bv tx btx",
}
_KEY_PATTERN: Final = re.compile(r"[!-~]+")
Row = TypeVar("Row")
RawResponse = tuple[bytes, Mapping[str, str]]


class _TransientError(Exception):
    """A failed attempt that is worth a retry."""


_RETRIED: Final = (_TransientError, MalformedResponse, LeaseExpired)


class CoinalyzeClient:
    """Client of Coinalyze's REST API for one key and one call budget.

    Each request, retries included, acquires its calls from `budget` before it is sent. `clock` returns UNIX seconds.
    All methods raise MissingApiKey, InvalidApiKey, BadRequest, ProviderUnavailable, and DeadlineExceeded if a
    `deadline` (in seconds of the budget's clock) is given.
    """

    def __init__(
        self,
        key: SecretStr | None,
        base_url: str,
        budget: CallBudget,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        max_attempts: int = MAX_ATTEMPTS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self.usage = Usage()
        self.budget = budget
        self._key = key
        self._base_url = base_url
        self._clock = clock
        self._sleep = sleep
        self._max_attempts = max_attempts
        self._read_timeout_seconds = read_timeout_seconds
        self._session = BoundedSession()
        # Requests to this machine, and the key in them, must not go to a proxy that the environment names.
        self._is_local = urlsplit(base_url).hostname in LOOPBACK_HOSTS
        self._session.trust_env = not self._is_local
        self._session.auth = _KeyHeader(key) if key is not None else None
        self._session.headers["Accept"] = "application/json"

    def exchanges(self, *, deadline: float | None = None) -> ApiResponse[Exchange]:
        """Fetch the list of exchanges. Costs one call."""
        return self._list("exchanges", read_exchanges, deadline)

    def future_markets(self, *, deadline: float | None = None) -> ApiResponse[Market]:
        """Fetch the list of futures markets. Costs one call."""
        return self._list("future-markets", read_markets, deadline)

    def market_list(self, *, deadline: float | None = None) -> MarketList:
        """Fetch the exchanges and the futures markets. Costs two calls."""
        exchanges, markets = self.exchanges(deadline=deadline), self.future_markets(deadline=deadline)
        return MarketList(exchanges.rows, markets.rows, exchanges.invalid + markets.invalid, markets.simulated)

    def bars(
        self,
        dataset: RequestedDataset,
        symbols: Sequence[str],
        *,
        start: int,
        end: int,
        deadline: float | None = None,
        still_needed: SymbolFilter | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[ApiResponse[History], tuple[str, ...]]:
        """Fetch the 15-minute bars of a dataset, as `history` does."""
        return self.history(
            dataset.endpoint,
            symbols,
            interval=INTERVAL,
            start=start,
            end=end,
            deadline=deadline,
            still_needed=still_needed,
            on_wait=on_wait,
        )

    def history(
        self,
        endpoint: str,
        symbols: Sequence[str],
        *,
        interval: str,
        start: int,
        end: int,
        deadline: float | None = None,
        still_needed: SymbolFilter | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[ApiResponse[History], tuple[str, ...]]:
        """Fetch the bars of at most 20 symbols from `start` to `end` (UNIX seconds, inclusive). Costs a call each.

        `endpoint` is one of HISTORY_FIELDS. `still_needed` is called with the symbols once their calls are acquired,
        and returns those to request, since another process may have fetched some meanwhile. Return the response and
        the symbols that were requested. Symbols without data are missing in the response.
        """
        fields = HISTORY_FIELDS[endpoint]
        return self._request(
            endpoint,
            symbols,
            {"interval": interval, "from": str(start), "to": str(end)},
            lambda body, requested: read_history(body, fields, requested, signed="funding" in endpoint),
            deadline,
            still_needed,
            on_wait,
        )

    def close(self) -> None:
        """Close the connections. The caller closes the budget."""
        self._session.close()

    def _list(
        self, endpoint: str, read: Callable[[bytes], tuple[tuple[Row, ...], int]], deadline: float | None
    ) -> ApiResponse[Row]:
        response, _ = self._request(endpoint, (), {}, lambda body, _: read(body), deadline)
        return response

    def _request(
        self,
        endpoint: str,
        symbols: Sequence[str],
        parameters: Mapping[str, str],
        read: Callable[[bytes, Sequence[str]], tuple[tuple[Row, ...], int]],
        deadline: float | None,
        still_needed: SymbolFilter | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[ApiResponse[Row], tuple[str, ...]]:
        """Acquire the calls, send the request and parse the response; retry transient errors."""
        if self._key is None:
            raise MissingApiKey("no API key: set COINALYZE_API_KEY, in the environment or in .env")
        if not _KEY_PATTERN.fullmatch(self._key.get_secret_value()):
            raise InvalidApiKey("invalid API key: it contains white space or non-ASCII text; check COINALYZE_API_KEY")
        if len(symbols) > SYMBOLS_PER_REQUEST:
            raise ValueError(f"{len(symbols)} symbols in one request; the provider takes {SYMBOLS_PER_REQUEST}")
        description = f"GET /{endpoint}" + (f" of {len(symbols)} symbols from {symbols[0]}" if symbols else "")
        failures: list[str] = []

        def attempt() -> tuple[ApiResponse[Row], tuple[str, ...]]:
            calls = reserve_calls(
                self.budget, self.usage, symbols, deadline=deadline, still_needed=still_needed, on_wait=on_wait
            )
            try:
                with calls as requested:
                    if symbols and not requested:
                        return ApiResponse((), 0, simulated=False), ()
                    query = {"symbols": ",".join(requested), **parameters} if requested else dict(parameters)
                    body, headers = self._send(endpoint, query, description, deadline)
                    rows, invalid = read(body, requested)
            except _RETRIED as failure:
                failures.append(str(failure))
                raise
            simulated = self._is_local or headers.get(SIMULATED_HEADER, "").lower() == "true"
            return ApiResponse(rows, invalid, simulated, parse_http_date(headers.get("Date"))), requested

        def count_retry(_: RetryCallState) -> None:
            self.usage.retries += 1

        def stop(state: RetryCallState) -> bool:
            return state.attempt_number >= self._max_attempts or (
                deadline is not None and self.budget.now() >= deadline
            )

        retrying = Retrying(
            retry=retry_if_exception_type(_RETRIED),
            stop=stop,
            wait=wait_random_exponential(multiplier=0.5, max=20),
            sleep=self._sleep,
            before_sleep=count_retry,
            retry_error_callback=lambda _: None,
        )
        try:
            result = retrying(attempt)
        except DeadlineExceeded:
            if not failures:  # else report the last failure, since it used up the time
                raise
            result = None
        if result is None:
            times = "once" if len(failures) == 1 else f"{len(failures)} times, at last"
            raise ProviderUnavailable(
                f"{description} of {self._base_url} failed {times}: {failures[-1]}; try again later"
            )
        return result

    def _send(self, endpoint: str, query: Mapping[str, str], description: str, deadline: float | None) -> RawResponse:
        """Send one request and return body and headers. Raise _TransientError, or the error for the status."""
        failure = ""
        timeout = RESPONSE_TIMEOUT_SECONDS
        if deadline is not None:  # a near deadline shortens the timeout, to a second at least
            timeout = min(timeout, max(deadline - self.budget.now(), 1.0))
        with self._session.time_limit(timeout) as timed_out:
            try:
                with self._session.get(
                    f"{self._base_url}/{endpoint}",
                    params=query,
                    timeout=(min(CONNECT_TIMEOUT_SECONDS, timeout), min(self._read_timeout_seconds, timeout)),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    body = self._read_body(response)
            except (requests.RequestException, OSError, ValueError) as error:
                failure = describe_error(error)
        if timed_out.is_set():  # even if the response seems complete: truncated headers can be parsed as shorter ones
            failure = f"no whole answer within {timeout:.0f} s"
        if failure:
            # Raised outside of the except block: the exception of requests holds the request, and so the key.
            raise _TransientError(failure)
        self._raise_for_status(response, body, description)
        return body, response.headers

    def _read_body(self, response: requests.Response) -> bytes:
        """Return the body, of an error response only its beginning. Raise ConnectionError if it is too long."""
        if response.status_code != 200:
            return next(response.iter_content(MAX_ERROR_BODY_BYTES), b"")
        body = bytearray()
        for chunk in response.iter_content(1 << 16):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise requests.ConnectionError(f"the response is longer than {MAX_BODY_BYTES} bytes")
        return bytes(body)

    def _raise_for_status(self, response: requests.Response, body: bytes, description: str) -> None:
        """Raise the error for a status other than 200; after a 429 pause the budget first."""
        status = response.status_code
        if status == 200:
            return
        if status in {401, 403}:
            raise InvalidApiKey(f"{description}: the key was refused ({status}); check COINALYZE_API_KEY")
        if status == 429:
            self.usage.rate_limited += 1
            now = datetime.fromtimestamp(self._clock(), UTC)
            seconds = parse_retry_after(response.headers.get("Retry-After"), now)
            if seconds is not None and seconds > MAX_PAUSE_SECONDS:
                # Too long to wait for, or invalid. The next request is sent after the longest pause.
                self.budget.pause(MAX_PAUSE_SECONDS)
                raise ProviderUnavailable(f"{description}: the provider wants a pause of {seconds:.0f} s (429)")
            self.budget.pause(DEFAULT_PAUSE_SECONDS if seconds is None else seconds)
            raise _TransientError("too many calls (429)")
        if status >= 500 or status == 408:
            raise _TransientError(f"the provider failed with status {status}")
        if status not in {400, 422}:
            # The API never sends such a status for its symbols: the URL is wrong, or a proxy answered.
            raise ProviderUnavailable(f"{description}: unexpected status {status}; check COINALYZE_BASE_URL")
        # The provider's message may repeat the key.
        secret = self._key.get_secret_value() if self._key is not None else ""
        text = body.decode(errors="replace").replace(secret, "…")[:200]
        raise BadRequest(f"{description}: status {status}, {text!r}")


class _KeyHeader(AuthBase):
    """Adds the key to a request's headers only when it is sent, so that no other object holds it."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["api_key"] = self._key.get_secret_value()
        return request
