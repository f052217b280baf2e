"""The emulator: a local Coinalyze over real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from quant_assets.emulator.answers import Answer, Refusal, Request, answer_to, parse_request
from quant_assets.emulator.budget import Budget
from quant_assets.emulator.faults import Faults
from quant_assets.emulator.universe import Universe
from quant_assets.emulator.wire import Exchange, LoopbackServer

DEFAULT_CALLS_PER_MINUTE = 40
DEFAULT_KEY = "emulator"


def system_clock() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that was let through and counted; a fault may have befallen its answer all the same."""

    moment: datetime
    endpoint: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accounting:
    """What has been asked of an emulator so far.

    `calls` counts symbols (a list counts 1) and `requests` the requests of what was let through, `by_endpoint` the
    latter by path (`/open-interest-history`); `rate_limited` the answers 429, `refused` those with 400, 401, 404;
    `faults` what was done to answers on purpose, by kind. Calls spent by others are not in it.
    """

    calls: int
    requests: int
    by_endpoint: Mapping[str, int]
    rate_limited: int
    refused: int
    faults: Mapping[str, int]
    accepted: tuple[Accepted, ...]


class Emulator:
    """A local Coinalyze on 127.0.0.1, from `start` to `stop` or within a `with` block.

    `universe` is what it serves, `clock` the one clock of its data and of its limit (timezone-aware), `faults` what
    goes wrong on purpose; these, and `calls_per_minute`, may be changed while it runs. Port 0 takes any free one.
    A request is checked in this order: path, key, parameters, limit, faults; what the limit let through is counted,
    even if a fault then spoils its answer.
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
        self._budget = Budget(calls_per_minute)
        self._lock = Lock()
        self._faults, self._number = faults or Faults(), 0
        self._accepted: list[Accepted] = []
        self._counted: Counter[str] = Counter()
        self._stopped = Event()
        self._server = LoopbackServer(port, self._handle, lambda: self.clock().timestamp())
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, like `http://127.0.0.1:40123/v1`."""
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def calls_per_minute(self) -> int:
        """The limit of the key; 60 seconds slide."""
        return self._budget.calls_per_minute

    @calls_per_minute.setter
    def calls_per_minute(self, calls: int) -> None:
        self._budget.calls_per_minute = calls

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose; setting it starts the numbering of requests anew."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._faults, self._number = faults, 0

    @property
    def accounting(self) -> Accounting:
        """A snapshot of what has been asked so far."""
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
        """Spend calls of the key as a stranger would who uses it too."""
        self._budget.spend(calls, _microseconds(self.clock()))

    def start(self) -> Self:
        """Serve in threads of its own; returns at once, ready to be asked."""
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), name="emulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; a stopped emulator stays stopped."""
        self._stopped.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.close()

    def wait(self) -> None:
        """Block until somebody stops it."""
        # In turns: a signal that comes in the moment before a wait would be heard after it, and so never.
        while not self._stopped.wait(0.5):
            pass

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        moment = self.clock()
        try:
            request = parse_request(exchange.target, exchange.header("api_key"), self.key)
            wait = self._budget.take(request.calls, _microseconds(moment))
            if wait:
                raise Refusal(429, "Too Many Requests", {"Retry-After": _seconds_rounded_up(wait)})
        except Refusal as refusal:
            with self._lock:
                self._counted[str(refusal.status)] += 1
            exchange.send(Answer.of_refusal(refusal))
            return
        with self._lock:
            number, faults = self._number, self._faults
            self._number += 1
            self._accepted.append(Accepted(moment, request.endpoint, request.symbols))
            fault = faults.of_request(number)
            if fault:
                self._counted[fault] += 1
        self._answer(exchange, request, moment, fault, faults, number)

    def _answer(
        self, exchange: Exchange, request: Request, moment: datetime, fault: str, faults: Faults, number: int
    ) -> None:
        if fault == "closed":
            exchange.close()
        elif fault == "server_error":
            exchange.send(Answer.of_server_error(faults.status_of_request(number)))
        else:
            if fault == "slow":
                self._stopped.wait(faults.delay_seconds)
            answer = answer_to(request, self.universe, moment.timestamp())
            exchange.send(answer, cut=fault == "cut")


def _microseconds(moment: datetime) -> int:
    """Epoch microseconds, exactly."""
    since = moment - datetime.fromtimestamp(0, UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def _seconds_rounded_up(microseconds: int) -> str:
    """Seconds with three decimals, never less than the wait itself."""
    milliseconds = -(-microseconds // 1000)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
