"""The client of one exchange: its market list, and the bars of a market, through ccxt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, TypeVar

import ccxt
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from quant_assets.common.timeframes import STEP_MS
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import DeadlineExceeded, ProviderError
from quant_assets.providers.exchanges.catalogue import ExchangeApi
from quant_assets.providers.exchanges.errors import (
    MalformedBody,
    RequestFailed,
    RequestRefused,
    UnknownMarket,
)
from quant_assets.providers.exchanges.history_requests import read_history
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.providers.exchanges.market_by_market import ask_by_market
from quant_assets.providers.exchanges.session import ExchangeSession, ExchangeUsage
from quant_assets.providers.exchanges.snapshot_requests import (
    MarketSnapshot,
    SnapshotRequest,
    SnapshotValues,
    read_snapshot,
)

MAX_ATTEMPTS: Final = 4
Result = TypeVar("Result")
BarRow = list[float]
"""Open of a bar in UNIX milliseconds; open, high, low and close in the quote asset; volume in the base asset."""


class ExchangeClient:
    """A connection to an exchange, for one thread.

    All methods raise RequestFailed, MalformedBody, RateLimited, UnknownMarket, RequestRefused, DeadlineExceeded and
    BudgetUnusable. What is worth a retry was tried `max_attempts` times before. `address` sends the requests to this
    machine (`ExchangeSession`).
    """

    def __init__(
        self,
        api: ExchangeApi,
        budget: CallBudget,
        address: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self.api = api
        self._session = ExchangeSession(api, budget, address, clock=clock)
        self._clock, self._sleep, self._max_attempts = clock, sleep, max_attempts
        # Some of ccxt's classes ask for no bar after its own time.
        own = {"enableRateLimit": False, "session": self._session, "milliseconds": self._exchange_ms}
        self._ccxt: Any = getattr(ccxt, api.ccxt_class)({**own, **api.options})

    @property
    def usage(self) -> ExchangeUsage:
        """Return what the requests cost so far."""
        return self._session.usage

    @property
    def has_response(self) -> bool:
        """Return whether the exchange sent any response that can be right, so that data may be stored."""
        return self._session.has_response

    def markets(self, *, deadline: float | None = None) -> list[ExchangeMarket]:
        """Fetch the list of all contracts, with their 24-hour turnover and last price."""
        markets = self._call(deadline, lambda: self._ccxt.load_markets(reload=True))
        tickers: dict[str, Any] = {}
        for parameters in self.api.ticker_requests:
            tickers |= self._call(deadline, partial(self._ccxt.fetch_tickers, None, dict(parameters)))
        found = [
            self._market(market, tickers.get(symbol, {}))
            for symbol, market in markets.items()
            if market.get("contract") and not market.get("option")
        ]
        if not found:
            raise MalformedBody(f"{self.api.name}: the market list has no contract")
        return found

    def set_markets(self, markets: Sequence[ExchangeMarket]) -> None:
        """Tell ccxt of the markets whose bars will be fetched, so that it fetches no market list for them.

        Telling it of one market takes as long as of all, so tell it of all at once.
        """
        self._ccxt.set_markets([self._of_ccxt(market) for market in markets])

    def bars(
        self, market: ExchangeMarket, timeframe: str, start_ms: int, end_ms: int, *, deadline: float | None = None
    ) -> list[BarRow]:
        """Fetch the bars that open from `start_ms` to before `end_ms`; the newest may still be open.

        This takes one request. Only if the response has bars twice, which then take the place of the newest ones, those
        are requested too. Raise ValueError if the bars are more than the exchange gives in one response.
        """
        step, found = STEP_MS[timeframe], list[BarRow]()
        while (count := -(-(end_ms - start_ms) // step)) > 0:
            if count > self.api.max_bars[timeframe]:
                most = self.api.max_bars[timeframe]
                raise ValueError(f"{self.api.name} gives {most} bars in a response, not {count}")
            rows = self._request_bars(market, timeframe, start_ms, end_ms, count, deadline)
            found += rows
            times = {row[0] for row in rows}
            if len(times) == len(rows) or len(rows) < count:
                break
            start_ms = int(max(times)) + step
        return found

    def _request_bars(
        self, market: ExchangeMarket, timeframe: str, start_ms: int, end_ms: int, count: int, deadline: float | None
    ) -> list[BarRow]:
        """Return the rows of one response; ccxt leaves out the newest of more than `count`."""
        symbol = self._unified(market)
        if symbol not in (self._ccxt.markets or {}):
            self.set_markets([market])
        extra = self.api.bar_parameters(start_ms, end_ms)
        rows: list[BarRow] = self._call(
            deadline, lambda: self._read_rows(self._ccxt.fetch_ohlcv(symbol, timeframe, start_ms, count, dict(extra)))
        )
        if self.api.counts_contracts:
            rows = [[*row[:5], _without_noise(row[5] * market.contract_size)] for row in rows]
        return [row for row in rows if start_ms <= row[0] < end_ms]

    @property
    def asks_by_market(self) -> bool:
        """Return whether a snapshot takes a request for each market: for its open interest."""
        return any(request.symbol_parameter for request in self.api.snapshot_requests)

    def snapshots(
        self, markets: Sequence[ExchangeMarket], *, deadline: float | None = None, only_by_market: bool = False
    ) -> Iterator[list[MarketSnapshot]]:
        """Fetch open interest and funding of markets, and yield what is known after the requests about all of them.

        Where the exchange gives a value only by market, those markets are asked for one after another in their order,
        and each is yielded again with it. With `only_by_market` the requests about all markets are left out. Markets of
        which the exchange says nothing are left out. A market that it does not know any more, or a value that is no
        number, costs only itself. So does a market whose request fails, as `ask_by_market` says.
        """
        requests = () if only_by_market else self.api.snapshot_requests
        bulk = [request for request in requests if not request.symbol_parameter]
        found = [self._values(request, {}, deadline) for request in bulk]
        default = next((r.default_interval_hours for r in bulk if r.default_interval_hours is not None), None)
        known = {market.symbol: self._snapshot(market, found, default) for market in markets}
        yield [snapshot for snapshot in known.values() if not snapshot.is_empty]
        single = [request for request in self.api.snapshot_requests if request.symbol_parameter]

        def ask(market: ExchangeMarket) -> list[SnapshotValues]:
            return [self._values(request, {request.symbol_parameter: market.symbol}, deadline) for request in single]

        for market, own in ask_by_market(markets if single else (), ask):
            yield [self._snapshot(market, [*found, *own], default)]

    def open_interest_history(
        self, market: ExchangeMarket, start_ms: int, end_ms: int, *, deadline: float | None = None
    ) -> dict[int, float]:
        """Fetch a market's open interest at quarter hours from `start_ms` to `end_ms`, at most a day apart.

        Return epoch ms → base units, in the multiplier of the symbol. One request. Raise ValueError for an exchange
        without history.
        """
        request = self.api.history_request
        if request is None:
            raise ValueError(f"{self.api.name} gives no history of open interest")
        send = getattr(self._ccxt, request.method)
        parameters = dict(request.parameters(market.symbol, start_ms, end_ms))
        points = self._call(deadline, lambda: read_history(request, send(parameters)))
        return {
            moment: _without_noise(value * market.contract_size)
            for moment, value in sorted(points.items())
            if start_ms <= moment <= end_ms and moment % STEP_MS["15m"] == 0
        }

    def _values(
        self, request: SnapshotRequest, parameters: Mapping[str, str], deadline: float | None
    ) -> SnapshotValues:
        send = getattr(self._ccxt, request.method)
        return self._call(deadline, lambda: read_snapshot(request, send({**request.parameters, **parameters})))

    def _snapshot(
        self, market: ExchangeMarket, found: Sequence[SnapshotValues], default_hours: float | None
    ) -> MarketSnapshot:
        """Return what the responses say of a market."""
        symbol = market.symbol
        interest = next((v.open_interest[symbol] for v in reversed(found) if symbol in v.open_interest), None)
        rate = next((v.funding_rate[symbol] for v in reversed(found) if symbol in v.funding_rate), None)
        hours = next((v.interval_hours[symbol] for v in reversed(found) if symbol in v.interval_hours), default_hours)
        return MarketSnapshot(
            symbol=symbol,
            open_interest=None if interest is None else _without_noise(interest * market.contract_size),
            funding_rate_pct=None if rate is None else _without_noise(rate * 100),
            interval_hours=None if rate is None else hours,
            observed_ms=int(self._clock() * 1000),
        )

    def abort(self) -> None:
        """Break off the request on its way, and send no other; for another thread than that which sends."""
        self._session.abort()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _exchange_ms(self) -> int:
        """Return the time of the exchange as far as it is known, in UNIX milliseconds."""
        return int((self._clock() + (self.usage.offset_seconds or 0.0)) * 1000)

    def _market(self, market: Mapping[str, Any], ticker: Mapping[str, Any]) -> ExchangeMarket:
        info = market.get("info") or {}
        size = market.get("contractSize")
        return ExchangeMarket(
            symbol=self.api.local_symbol(market),
            base=str(market["base"]),
            quote=str(market["quote"]),
            settle=str(market.get("settle") or market["quote"]),
            is_perpetual=bool(market.get("swap")),
            is_linear=bool(market.get("linear")),
            is_active=market.get("active") is not False,
            contract_size=float(size) if size and self.api.counts_contracts else 1.0,
            tick_size=(market.get("precision") or {}).get("price"),
            listed_ms=market.get("created"),
            quote_volume=self.api.quote_volume(info, ticker),
            last_price=self.api.last_price(info, ticker),
        )

    def _unified(self, market: ExchangeMarket) -> str:
        """Return ccxt's symbol of a market that `set_markets` told it of."""
        return f"{market.symbol}:{market.settle}"

    def _of_ccxt(self, market: ExchangeMarket) -> dict[str, Any]:
        """Return what ccxt needs to know of a market to ask for its bars."""
        return {
            "id": market.symbol,
            "symbol": self._unified(market),
            "base": market.base,
            "baseName": market.symbol,
            "quote": market.quote,
            "settle": market.settle,
            "settleId": market.settle.lower(),  # Gate's address has it
            "type": "swap",
            "swap": True,
            "spot": False,
            "contract": True,
            "linear": True,
            "inverse": False,
            "contractSize": market.contract_size,
        }

    def _read_rows(self, rows: Iterable[list[Any]]) -> list[BarRow]:
        """Return the rows of ccxt, or raise MalformedBody if one lacks a number."""
        found = [row[:6] for row in rows]
        if not ({*map(len, found)} <= {6} and {*map(type, chain.from_iterable(found))} <= {int, float}):
            raise MalformedBody(f"{self.api.name}: bars without time, price or volume")
        return found

    def _call(self, deadline: float | None, call: Callable[[], Result]) -> Result:
        """Call ccxt, again after a failure that may pass, and translate its errors."""
        self._session.deadline = deadline
        failure: ProviderError | None = None

        def attempt() -> Result:
            nonlocal failure
            try:
                return self._translated(call)
            except (RequestFailed, MalformedBody) as error:
                failure = error
                raise
            except DeadlineExceeded:
                if failure is not None:  # it used up the time
                    raise failure from None
                raise

        def count_retry(_: RetryCallState) -> None:
            self.usage.retries += 1

        retrying = Retrying(
            retry=retry_if_exception_type((RequestFailed, MalformedBody)),
            stop=stop_after_attempt(self._max_attempts),
            wait=wait_random_exponential(multiplier=0.3, max=5),
            sleep=self._sleep,
            before_sleep=count_retry,
            reraise=True,
        )
        return retrying(attempt)

    def _translated(self, call: Callable[[], Result]) -> Result:
        name = self.api.name
        try:
            return call()
        except ProviderError:
            raise
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise self._session.refused(f"{name}: {_text(error)}") from error
        except ccxt.BadSymbol as error:
            raise UnknownMarket(f"{name}: {_text(error)}") from error
        except ccxt.NetworkError as error:
            raise RequestFailed(f"{name}: {_text(error)}") from error
        except ccxt.BaseError as error:
            raise RequestRefused(f"{name}: {_text(error)}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # ccxt reads bodies that are JSON of another shape without checking them.
            raise MalformedBody(f"{name}: the response has another shape ({type(error).__name__})") from error


def _text(error: Exception) -> str:
    return str(error).replace("\n", " ")[:200]


def _without_noise(product: float) -> float:
    """Remove the noise of a product in the last digit: 10584 x 0.001 is 10.584, not 10.584000000000001."""
    return float(f"{product:.15g}")
