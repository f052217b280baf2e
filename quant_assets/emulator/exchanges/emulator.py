"""Serve the API of one exchange over HTTP on loopback, with its limits and with faults."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from quant_assets.common.sliding_minute import SlidingMinute
from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.accounting import MAX_REMEMBERED, AcceptedRequest, ExchangeAccounting
from quant_assets.emulator.exchanges.api import (
    BadParameter,
    ExchangeApi,
    Limit,
    Query,
    Refusal,
    Refused,
    Route,
    json_response,
    match_path,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.faults import ExchangeFaults
from quant_assets.emulator.exchanges.venue import DaySummaries, UnknownContract, Venue
from quant_assets.emulator.http_server import LoopbackServer, RequestHandler
from quant_assets.emulator.local_service import LocalService, system_clock


class ExchangeEmulator(LocalService):
    """One exchange on 127.0.0.1, running from `start` to `stop` or within a `with` block.

    A request is checked in this order: down, ban, path, parameters and contract, limit, faults. `faults` and
    `limits_factor` may be changed while it runs.
    """

    def __init__(
        self,
        api: ExchangeApi,
        contracts: Iterable[Contract],
        *,
        clock: Callable[[], datetime] = system_clock,
        port: int = 0,
        limits_factor: float = 1.0,
    ) -> None:
        self.api, self.clock = api, clock
        self.contracts = tuple(contracts)
        self._lock = Lock()
        self._limits_factor = limits_factor
        self._windows: dict[str, SlidingMinute] = {}
        self._banned_until, self._refusals = 0.0, 0
        self._faults, self._number, self._listed = ExchangeFaults(), 0, {item.id: item for item in self.contracts}
        self._ban_by_fault: float | None = None
        self._summaries = DaySummaries()
        self._counted: Counter[str] = Counter()
        self._by_endpoint: Counter[str] = Counter()
        self._weight = 0
        self._accepted: deque[AcceptedRequest] = deque(maxlen=MAX_REMEMBERED)
        super().__init__(f"exchange {api.name}", LoopbackServer(port, self._handle, self._now, accepts_post=True))

    @property
    def url(self) -> str:
        """Return the base URL, like `http://127.0.0.1:40123`."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def faults(self) -> ExchangeFaults:
        """Return the faults in force; setting them restarts the numbering of requests and ends a ban."""
        return self._faults

    @faults.setter
    def faults(self, faults: ExchangeFaults) -> None:
        kept = self.contracts[: round(len(self.contracts) * faults.list_share)]
        hostile = (self._renamed(base) for base in faults.hostile_names)
        with self._lock:
            self._faults, self._number = faults, 0
            self._listed = {contract.id: contract for contract in (*kept, *hostile)}
            self._banned_until, self._ban_by_fault = 0.0, None

    @property
    def limits_factor(self) -> float:
        """Return by what the documented limits are multiplied; setting it forgets what was spent."""
        return self._limits_factor

    @limits_factor.setter
    def limits_factor(self, factor: float) -> None:
        with self._lock:
            self._limits_factor = factor
            self._windows.clear()
            self._banned_until = 0.0

    @property
    def accounting(self) -> ExchangeAccounting:
        """Return the counts so far."""
        with self._lock:
            counted, by_endpoint = Counter(self._counted), dict(self._by_endpoint)
            weight, accepted = self._weight, tuple(self._accepted)
        own = {"rate_limited", "banned", "refused"}
        return ExchangeAccounting(
            weight=weight,
            requests=sum(by_endpoint.values()),
            by_endpoint=by_endpoint,
            rate_limited=counted["rate_limited"],
            banned=counted["banned"],
            refused=counted["refused"],
            faults={kind: count for kind, count in counted.items() if kind not in own},
            accepted=accepted,
        )

    def spend(self, weight: int, endpoint: str = "") -> None:
        """Spend weight as another client of the same address does.

        `endpoint` is a key of the API's routes; it matters where limits are by endpoint.
        """
        limit, scope = self._limit_of(endpoint)
        with self._lock:
            self._window(limit, scope).spend(weight, round(self.clock().timestamp() * 1_000_000))

    def _now(self) -> float:
        """Return the exchange's own time in UNIX seconds."""
        return self.clock().timestamp() + self._faults.clock_offset_seconds

    def _renamed(self, base: str) -> Contract:
        """Return the first contract under a hostile name."""
        first = self.contracts[0]
        return replace(first, id=self.api.contract_id(base, first.quote), base=base, symbol="")

    def _handle(self, handler: RequestHandler) -> None:
        with self._lock:
            faults, number, listed = self._faults, self._number, self._listed
            self._number += 1
        if faults.down:
            self._count("down")
            handler.close()
            return
        at = self.clock().timestamp()  # limits go by the true time, whatever the exchange's clock says
        now = at + faults.clock_offset_seconds
        ban = self._ban(at, now, faults)
        if ban is not None:
            self._count("banned")
            handler.send(self.api.banned(ban))
            return
        path, fields = _parse(handler)
        key, route, query = self._find(handler.method, path, fields)
        if route is None:
            self._count("refused")
            handler.send(self.api.unknown_path(path, now))
            return
        response, cost, failed = self._respond(route, query, Venue(listed, now, faults, number, self._summaries))
        refused, headers = self._spend(key, cost, at, now)
        if refused is not None:
            handler.send(refused)
            return
        self._account(key, query, cost, failed=failed)
        fault = faults.of_request(number)
        if fault:
            self._count(fault)
        whole = replace(response, headers={**response.headers, **headers})
        self._deliver(handler, lambda: whole, faults, fault, number)

    def _find(self, method: str, path: str, fields: Mapping[str, Any]) -> tuple[str, Route | None, Query]:
        asked = f"{method} {self.api.prepare(path, fields)}"
        if asked in self.api.routes:
            return asked, self.api.routes[asked], Query((), fields)
        for pattern, route in self.api.routes.items():
            parts = match_path(pattern, asked) if "{}" in pattern else None
            if parts is not None:
                return pattern, route, Query(tuple(unquote(part) for part in parts), fields)
        return asked, None, Query((), fields)

    def _respond(self, route: Route, query: Query, venue: Venue) -> tuple[Response, int, bool]:
        """Return the response, its weight, and whether it is a refusal."""
        try:
            body = route.handler(venue, query)
            return json_response(body), route.cost(query, body), False
        except UnknownContract as error:
            response = self.api.unknown_contract(str(error), venue.now)
        except BadParameter as error:
            response = self.api.bad_parameter(str(error), venue.now)
        except Refusal as error:
            response = error.response
        return response, route.cost(query, None), True

    def _spend(self, key: str, cost: int, seconds: float, now: float) -> tuple[Response | None, Mapping[str, str]]:
        """Spend the weight of a request and return None with the headers that tell of it, or return the refusal."""
        limit, scope = self._limit_of(key)
        at = round(seconds * 1_000_000)
        with self._lock:
            window = self._window(limit, scope)
            wait = window.earliest(cost, at) - at
            if not wait:
                self._refusals = 0
                window.spend(cost, at)
                spent = window.limit - window.available(at)
                return None, self.api.headers(spent, replace(limit, weight=window.limit))
            self._counted["rate_limited"] += 1
            self._refusals += 1
            if limit.ban_seconds and self._refusals >= limit.ban_after:
                self._banned_until = seconds + limit.ban_seconds
        scaled = replace(limit, weight=window.limit)
        return self.api.over_limit(Refused(scaled, wait / 1_000_000, now)), {}

    def _limit_of(self, endpoint: str) -> tuple[Limit, str]:
        """Return the limit of an endpoint, and which requests share it: the endpoint's name, or "" for all."""
        route = self.api.routes.get(endpoint)
        if route is not None and route.limit is not None:
            return route.limit, endpoint
        return self.api.limit, endpoint if self.api.limit.per_endpoint else ""

    def _window(self, limit: Limit, scope: str) -> SlidingMinute:
        if scope not in self._windows:
            allowed = max(1, round(limit.weight * self._limits_factor))
            self._windows[scope] = SlidingMinute(allowed, round(limit.seconds * 1_000_000))
        return self._windows[scope]

    def _ban(self, at: float, now: float, faults: ExchangeFaults) -> Refused | None:
        with self._lock:
            if faults.ban_seconds and self._ban_by_fault is None:
                self._ban_by_fault = at + faults.ban_seconds
            until = max(self._banned_until, self._ban_by_fault or 0.0)
        return Refused(self.api.limit, until - at, now) if until > at else None

    def _account(self, key: str, query: Query, cost: int, *, failed: bool) -> None:
        named = (*query.path, *(str(query.fields[name]) for name in _CONTRACT_FIELDS if name in query.fields))
        with self._lock:
            self._counted["refused"] += failed
            self._by_endpoint[key] += 1
            self._weight += cost
            self._accepted.append(AcceptedRequest(self.clock(), key, named[0] if named else "", cost))

    def _count(self, kind: str) -> None:
        with self._lock:
            self._counted[kind] += 1


_CONTRACT_FIELDS = ("symbol", "instId", "contract", "coin")


def _parse(handler: RequestHandler) -> tuple[str, dict[str, Any]]:
    """Return the path and the fields of a request: those of its query, and of a JSON body."""
    parts = urlsplit(handler.target)
    fields: dict[str, Any] = {
        name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()
    }
    if handler.method == "POST":
        try:
            body = orjson.loads(handler.body)
        except orjson.JSONDecodeError:
            body = None
        if isinstance(body, dict):
            nested = body.get("req")
            fields |= body | (nested if isinstance(nested, dict) else {})
    return parts.path, fields
