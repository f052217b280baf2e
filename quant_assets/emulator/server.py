"""Run the emulator: a local Coinalyze over real HTTP, with a rate limit and injected faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from quant_assets.common.sliding_minute import SlidingMinute
from quant_assets.emulator.api import RequestError, Response, parse_request, respond
from quant_assets.emulator.faults import Faults
from quant_assets.emulator.http_server import LoopbackServer, RequestHandler
from quant_assets.emulator.local_service import LocalService, system_clock
from quant_assets.emulator.universe import Universe

DEFAULT_CALLS_PER_MINUTE = 40
DEFAULT_KEY = "emulator"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that passed the rate limit and was counted; a fault may have spoiled its response."""

    moment: datetime
    endpoint: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accounting:
    """Counts of the requests that an emulator received.

    `calls` and `requests` count what passed the rate limit: symbols (a list counts 1), and requests. `by_endpoint`
    counts those requests by path (`/open-interest-history`), `rate_limited` the responses 429, `refused` those with
    400, 401 or 404, and `faults` the injected faults by kind. Calls spent by other clients are not included.
    """

    calls: int
    requests: int
    by_endpoint: Mapping[str, int]
    rate_limited: int
    refused: int
    faults: Mapping[str, int]
    accepted: tuple[Accepted, ...]


class Emulator(LocalService):
    """A local Coinalyze on 127.0.0.1, running from `start` to `stop` or within a `with` block.

    `universe` is what it serves, `clock` the clock of its data and its rate limit (timezone-aware), `faults` the
    faults to inject; these, and `calls_per_minute`, may be changed while it runs. Port 0 takes any free port.
    A request is checked in this order: path, key, parameters, rate limit, faults. A request that passes the rate
    limit is counted, even if a fault then spoils its response.
    """

    def __init__(
        self,
        universe: Universe,
        *,
        calls_per_minute: int = DEFAULT_CALLS_PER_MINUTE,
        key: str = DEFAULT_KEY,
        port: int = 0,
        clock: Callable[[], datetime] = system_clock,
        faults: Faults | None = None,
    ) -> None:
        self.universe = universe
        self.key = key
        self.clock = clock
        self._minute = SlidingMinute(calls_per_minute)
        self._lock = Lock()
        self._faults, self._number = faults or Faults(), 0
        self._accepted: list[Accepted] = []
        self._counted: Counter[str] = Counter()
        super().__init__("emulator", LoopbackServer(port, self._handle, lambda: self.clock().timestamp()))

    @property
    def url(self) -> str:
        """Return the base URL, like `http://127.0.0.1:40123/v1`."""
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def calls_per_minute(self) -> int:
        """Return the rate limit of the key, in a sliding window of 60 seconds."""
        return self._minute.limit

    @calls_per_minute.setter
    def calls_per_minute(self, calls: int) -> None:
        self._minute.limit = calls

    @property
    def faults(self) -> Faults:
        """Return the faults to inject; setting them restarts the numbering of requests."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._faults, self._number = faults, 0

    @property
    def accounting(self) -> Accounting:
        """Return the counts so far."""
        with self._lock:
            accepted, counted = tuple(self._accepted), Counter(self._counted)
        return Accounting(
            calls=sum(max(1, len(request.symbols)) for request in accepted),
            requests=len(accepted),
            by_endpoint=Counter(request.endpoint for request in accepted),
            rate_limited=counted["429"],
            refused=counted["400"] + counted["401"] + counted["404"],
            faults={kind: count for kind, count in counted.items() if not kind.isdigit()},
            accepted=accepted,
        )

    def spend(self, calls: int) -> None:
        """Spend calls as another client of the same key does."""
        with self._lock:
            self._minute.spend(calls, _microseconds(self.clock()))

    def _spend_or_wait(self, calls: int, now: int) -> int:
        """Spend calls and return 0, or spend nothing and return the microseconds to wait."""
        with self._lock:
            wait = self._minute.earliest(calls, now) - now
            if not wait:
                self._minute.spend(calls, now)
            return wait

    def _handle(self, handler: RequestHandler) -> None:
        """Handle one request."""
        moment = self.clock()
        try:
            request = parse_request(handler.target, handler.header("api_key"), self.key)
            if wait := self._spend_or_wait(request.calls, _microseconds(moment)):
                raise RequestError(429, "Too Many Requests", {"Retry-After": _seconds_rounded_up(wait)})
        except RequestError as error:
            with self._lock:
                self._counted[str(error.status)] += 1
            handler.send(Response.of_error(error))
            return
        with self._lock:
            number, faults = self._number, self._faults
            self._number += 1
            self._accepted.append(Accepted(moment, request.endpoint, request.symbols))
            fault = faults.of_request(number)
            if fault:
                self._counted[fault] += 1
        self._deliver(handler, lambda: respond(request, self.universe, moment.timestamp()), faults, fault, number)


def _microseconds(moment: datetime) -> int:
    """Return exact epoch microseconds."""
    since = moment - datetime.fromtimestamp(0, UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _seconds_rounded_up(microseconds: int) -> str:
    """Return seconds with three decimals, rounded up."""
    milliseconds = -(-microseconds // 1000)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
