"""The API as a session: configured once, one small method for each thing that can be asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from quant_assets.common.settings import LOOPBACK_HOSTS
from quant_assets.providers.coinalyze.budget import MAX_PAUSE_SECONDS, CallBudget
from quant_assets.providers.coinalyze.errors import (
    BadRequest,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderUnavailable,
)
from quant_assets.providers.coinalyze.models import (
    Answer,
    CurrentValue,
    Exchange,
    History,
    MalformedResponse,
    Market,
    read_current,
    read_exchanges,
    read_history,
    read_markets,
)
from quant_assets.providers.coinalyze.retry_after import read_date, read_retry_after
from quant_assets.providers.coinalyze.session import BoundedSession, describe_error

SYMBOLS_PER_REQUEST: Final = 20
SIMULATED_HEADER: Final = "X-Simulated"
ATTEMPTS: Final = 5
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0
MAX_ANSWER_SECONDS: Final = 60.0
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
MAX_MESSAGE: Final = 4096
PAUSE_WITHOUT_ADVICE_SECONDS: Final = 15.0

#: The history endpoints and the fields of their points.
HISTORY_FIELDS: Final[Mapping[str, str]] = {
    "open-interest-history": "o h l c",
    "funding-rate-history": "o h l c",
    "predicted-funding-rate-history": "o h l c",
    "liquidation-history": "l s",
    "long-short-ratio-history": "r l s",
    "ohlcv-history": "o h l c v bv tx btx",
}
CURRENT_ENDPOINTS: Final = ("open-interest", "funding-rate", "predicted-funding-rate")
_KEY_SHAPE: Final = re.compile(r"[!-~]+")
Row = TypeVar("Row")
Sent = tuple[bytes, Mapping[str, str]]
Narrow = Callable[[Sequence[str]], Sequence[str]]


@dataclass(slots=True)
class Usage:
    """What a client has spent: `calls` counts symbols as the provider does, `requests` counts round trips."""

    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    retries: int = 0


class _Transient(Exception):
    """An attempt that failed in a way that another attempt may mend."""


class CoinalyzeClient:
    """Coinalyze's REST API for one key, within one budget.

    Nothing is sent without taking its calls from `budget` first, attempts that are repeated included.
    `clock` gives epoch seconds. All methods raise MissingApiKey, InvalidApiKey, BadRequest, ProviderUnavailable, and
    DeadlineExceeded where a `deadline` (by the clock of the budget) is given.
    """

    def __init__(
        self,
        key: SecretStr | None,
        base_url: str,
        budget: CallBudget,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.usage = Usage()
        self.budget = budget
        self._key = key
        self._base_url = base_url
        self._clock = clock
        self._sleep = sleep
        self._attempts = attempts
        self._read_seconds = read_seconds
        self._session = BoundedSession()
        # A proxy of the environment would get what is meant for this machine alone, and the key with it.
        self._is_local = urlsplit(base_url).hostname in LOOPBACK_HOSTS
        self._session.trust_env = not self._is_local
        self._session.auth = _KeyHeader(key) if key is not None else None
        self._session.headers["Accept"] = "application/json"

    def exchanges(self, *, deadline: float | None = None) -> Answer[Exchange]:
        """Ask which exchanges there are. One call."""
        return self._list("exchanges", read_exchanges, deadline)

    def future_markets(self, *, deadline: float | None = None) -> Answer[Market]:
        """Ask for every futures market. One call."""
        return self._list("future-markets", read_markets, deadline)

    def current(
        self,
        endpoint: str,
        symbols: Sequence[str],
        *,
        convert_to_usd: bool = False,
        deadline: float | None = None,
    ) -> Answer[CurrentValue]:
        """Ask for the current values of at most 20 symbols; a call each. Unknown symbols are left out.

        `endpoint` is one of CURRENT_ENDPOINTS.
        """
        if endpoint not in CURRENT_ENDPOINTS:
            raise ValueError(f"{endpoint!r} is no current-value endpoint")
        parameters = {"convert_to_usd": "true"} if convert_to_usd else {}
        answer, _ = self._ask(endpoint, symbols, parameters, lambda body, _: read_current(body), deadline)
        return answer

    def history(
        self,
        endpoint: str,
        symbols: Sequence[str],
        *,
        interval: str,
        start: int,
        end: int,
        convert_to_usd: bool = False,
        deadline: float | None = None,
        narrow: Narrow | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[Answer[History], tuple[str, ...]]:
        """Ask for the bars of at most 20 symbols from `start` to `end` (UNIX seconds, inclusive); a call each.

        `endpoint` is one of HISTORY_FIELDS. `narrow` is given the symbols when their calls have been taken and
        returns those that are still wanted, since another process may have fetched some meanwhile. Returns the
        answer and the symbols that were asked for in the end; those without data are left out of the answer.
        """
        fields = HISTORY_FIELDS[endpoint]
        parameters = {"interval": interval, "from": str(start), "to": str(end)}
        if convert_to_usd:
            parameters["convert_to_usd"] = "true"
        return self._ask(
            endpoint,
            symbols,
            parameters,
            lambda body, asked: read_history(body, fields, asked, signed="funding" in endpoint),
            deadline,
            narrow,
            on_wait,
        )

    def close(self) -> None:
        """Close the connections and the budget's file."""
        self._session.close()
        self.budget.close()

    def _list(
        self, endpoint: str, read: Callable[[bytes], tuple[tuple[Row, ...], int]], deadline: float | None
    ) -> Answer[Row]:
        answer, _ = self._ask(endpoint, (), {}, lambda body, _: read(body), deadline)
        return answer

    def _ask(
        self,
        endpoint: str,
        symbols: Sequence[str],
        parameters: Mapping[str, str],
        read: Callable[[bytes, Sequence[str]], tuple[tuple[Row, ...], int]],
        deadline: float | None,
        narrow: Narrow | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[Answer[Row], tuple[str, ...]]:
        """Take the calls, send, read; again where another attempt may help."""
        if self._key is None:
            raise MissingApiKey("no API key: set COINALYZE_API_KEY, in the environment or in .env")
        if not _KEY_SHAPE.fullmatch(self._key.get_secret_value()):
            raise InvalidApiKey("the key cannot be one: white space or other than ASCII in it; check COINALYZE_API_KEY")
        if len(symbols) > SYMBOLS_PER_REQUEST:
            raise ValueError(f"{len(symbols)} symbols in one request; the provider takes {SYMBOLS_PER_REQUEST}")
        what = f"GET /{endpoint}" + (f" of {len(symbols)} symbols from {symbols[0]}" if symbols else "")
        last_failure = ""

        def attempt() -> tuple[Answer[Row], tuple[str, ...]]:
            nonlocal last_failure
            receipt = self.budget.take(max(len(symbols), 1), deadline, on_wait)
            asked = tuple(narrow(symbols)) if narrow is not None else tuple(symbols)
            if symbols and not asked:
                self.budget.give_back(receipt)
                return Answer((), 0, simulated=False), ()
            if len(asked) < len(symbols):
                self.budget.keep(receipt, len(asked))
            query = {"symbols": ",".join(asked), **parameters} if asked else dict(parameters)
            self.usage.requests += 1
            self.usage.calls += max(len(asked), 1)
            try:
                body, headers = self._send(endpoint, query, what, deadline)
                rows, broken = read(body, asked)
            except (_Transient, MalformedResponse) as failure:
                last_failure = str(failure)
                raise
            finally:
                self.budget.settle(receipt)
            simulated = self._is_local or headers.get(SIMULATED_HEADER, "").lower() == "true"
            return Answer(rows, broken, simulated, read_date(headers.get("Date"))), asked

        def count_retry(_: RetryCallState) -> None:
            self.usage.retries += 1

        def stop(state: RetryCallState) -> bool:
            return state.attempt_number >= self._attempts or (deadline is not None and self.budget.now() >= deadline)

        retrying = Retrying(
            retry=retry_if_exception_type((_Transient, MalformedResponse)),
            stop=stop,
            wait=wait_random_exponential(multiplier=0.5, max=20),
            sleep=self._sleep,
            before_sleep=count_retry,
            retry_error_callback=lambda _: None,
        )
        try:
            result = retrying(attempt)
        except DeadlineExceeded:
            if not last_failure:  # else that is what kept the answer from coming in time
                raise
            result = None
        if result is None:
            said = f"failed {retrying.statistics['attempt_number']} times, at last: {last_failure}; try again later"
            raise ProviderUnavailable(f"{what} of {self._base_url} {said}")
        return result

    def _send(self, endpoint: str, query: Mapping[str, str], what: str, deadline: float | None) -> Sent:
        """Send once; returns the body and the headers. Raises _Transient or what the status means."""
        failure = ""
        left = MAX_ANSWER_SECONDS
        if deadline is not None:  # one that is near shortens the waiting, to a second at least
            left = min(left, max(deadline - self.budget.now(), 1.0))
        with self._session.within(left) as late:
            try:
                with self._session.get(
                    f"{self._base_url}/{endpoint}",
                    params=query,
                    timeout=(min(CONNECT_SECONDS, left), min(self._read_seconds, left)),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    body = self._read(response)
            except (requests.RequestException, OSError, ValueError) as error:
                failure = describe_error(error)
        if late.is_set():  # also where it looks whole: a head that was cut off reads as one that is short
            failure = f"no whole answer within {left:.0f} s"
        if failure:
            # Raised outside of the except block: the exception of requests bears the request, and so the key.
            raise _Transient(failure)
        self._check(response, body, what)
        return body, response.headers

    def _read(self, response: requests.Response) -> bytes:
        """Read a body; of one that is no answer, as much as its message may take."""
        if response.status_code != 200:
            return next(response.iter_content(MAX_MESSAGE), b"")
        body = bytearray()
        for chunk in response.iter_content(1 << 16):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise requests.ConnectionError(f"the answer is too long: {len(body)} bytes and no end")
        return bytes(body)

    def _check(self, response: requests.Response, body: bytes, what: str) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in {401, 403}:
            raise InvalidApiKey(f"{what}: the key was refused ({status}); check COINALYZE_API_KEY")
        if status == 429:
            self.usage.rate_limited += 1
            seconds = read_retry_after(response.headers.get("Retry-After"), datetime.fromtimestamp(self._clock(), UTC))
            if seconds is not None and seconds > MAX_PAUSE_SECONDS:
                # Too long to wait for, or nonsense: nobody asks for as long as a pause may last, and then once more.
                self.budget.pause(MAX_PAUSE_SECONDS)
                raise ProviderUnavailable(f"{what}: the provider wants a pause of {seconds:.0f} s (429)")
            self.budget.pause(PAUSE_WITHOUT_ADVICE_SECONDS if seconds is None else seconds)
            raise _Transient("too many calls (429)")
        if status >= 500 or status == 408:
            raise _Transient(f"the provider failed with status {status}")
        if status not in {400, 422}:
            # Nothing that is asked for makes an address or a proxy answer so: no symbol is to blame.
            raise ProviderUnavailable(f"{what}: status {status}, which is not of this API; check COINALYZE_BASE_URL")
        # What the provider says may repeat the key.
        secret = self._key.get_secret_value() if self._key is not None else ""
        text = body.decode(errors="replace").replace(secret, "…")[:200]
        raise BadRequest(f"{what}: status {status}, {text!r}")


class _KeyHeader(AuthBase):
    """Puts the key where the provider wants it, at the last moment, so that no object shows it."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["api_key"] = self._key.get_secret_value()
        return request
