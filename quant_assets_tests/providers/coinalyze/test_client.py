"""Tests of the client: requests, responses, retries, and that the key is never shown."""

from __future__ import annotations

import gzip
import logging
import pickle
import time
import traceback
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests

from quant_assets.emulator import DEFAULT_KEY, Emulator, Faults, plain_universe
from quant_assets.providers.bounded_session import BoundedSession
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets.providers.errors import (
    BadRequest,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderError,
    ProviderUnavailable,
)
from quant_assets_tests.providers.coinalyze.conftest import KEY
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.providers.conftest import VirtualClock

MakeClient = Callable[..., CoinalyzeClient]
BAR = b'[{"symbol": "A", "history": [{"t": 1768838400, "o": 1, "h": 2, "l": 1, "c": 2}]}]'


def ask(client: CoinalyzeClient, symbols: tuple[str, ...] = ("A",), **options: object) -> object:
    answer, _ = client.history(
        "open-interest-history",
        symbols,
        interval="15min",
        start=1768800000,
        end=1768842000,
        **options,  # type: ignore[arg-type]
    )
    return answer


def test_history_from_the_emulator_is_parsed_and_marked_simulated(make_client: MakeClient, clock: VirtualClock) -> None:
    universe = plain_universe(25)
    symbols = tuple(universe.listings)[:20]
    with Emulator(universe, clock=lambda: datetime.fromtimestamp(clock.now, UTC)) as emulator:
        client = make_client(emulator.url, key=DEFAULT_KEY)
        end = int(clock.now)
        answer, asked = client.history("open-interest-history", symbols, interval="15min", start=end - 86400, end=end)
    assert asked == symbols
    assert answer.simulated
    assert [history.symbol for history in answer.rows] == list(symbols)
    assert all(len(history.points) >= 96 for history in answer.rows)
    assert client.usage.calls == 20
    assert client.usage.requests == 1
    assert emulator.accounting.calls == 20


def test_exchanges_and_markets_are_parsed(make_client: MakeClient, clock: VirtualClock) -> None:
    universe = plain_universe(3)
    with Emulator(universe, clock=lambda: datetime.fromtimestamp(clock.now, UTC)) as emulator:
        client = make_client(emulator.url, key=DEFAULT_KEY)
        assert {exchange.name for exchange in client.exchanges().rows} >= {"Binance", "Gate.io"}
        markets = client.future_markets().rows
        assert {market.symbol for market in markets} == set(universe.listings)


def test_key_is_sent_in_the_header_and_not_in_the_url(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        ask(make_client(server.url))
    assert server.keys == [KEY]
    assert KEY not in server.paths[0]


@pytest.mark.parametrize(
    ("retry_after", "min_seconds", "max_seconds"),
    [
        ("7", 7, 7.1),
        ("57.366", 57.366, 57.5),
        (format_datetime(datetime.fromtimestamp(1_768_842_300 + 30, UTC), usegmt=True), 29, 31),
        (None, 10, 20),
        ("soon", 10, 20),
        ("-3", 0, 0.1),
        ("nan", 10, 20),
    ],
)
def test_retry_after_of_a_429_is_honoured(
    make_client: MakeClient, clock: VirtualClock, retry_after: str | None, min_seconds: float, max_seconds: float
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with ScriptedServer(Canned(429, b"{}", headers), Canned(body=BAR)) as server:
        client = make_client(server.url)
        start = clock.now
        ask(client)
    # The retry adds a random wait of at most half a second.
    assert min_seconds <= clock.now - start <= max_seconds + 1.0
    assert client.usage.rate_limited == 1
    assert len(server.paths) == 2


def test_retry_after_of_hours_is_an_error_without_waiting(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(429, b"{}", {"Retry-After": "86400"})) as server:
        start = clock.now
        with pytest.raises(ProviderUnavailable, match="86400"):
            ask(make_client(server.url))
    assert clock.now == start
    assert len(server.paths) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_key_is_not_retried(make_client: MakeClient, status: int) -> None:
    with ScriptedServer(Canned(status, b"{}")) as server:
        with pytest.raises(InvalidApiKey, match="COINALYZE_API_KEY"):
            ask(make_client(server.url))
        assert len(server.paths) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (422, BadRequest),
        (404, ProviderUnavailable),
        (301, ProviderUnavailable),
        (302, ProviderUnavailable),
    ],
)
def test_permanent_errors_are_not_retried(make_client: MakeClient, status: int, error: type[Exception]) -> None:
    headers = {"Location": "http://127.0.0.1:9/elsewhere"} if status < 400 else {}
    with ScriptedServer(Canned(status, b'{"message": "bad interval"}', headers)) as server:
        with pytest.raises(error, match=f"{status}"):
            ask(make_client(server.url))
        assert len(server.paths) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Canned(500, b"oops"),
        Canned(502, b"<html>bad gateway</html>"),
        Canned(503),
        Canned(504),
        Canned(body=b"<html>maintenance</html>"),
        Canned(body=b'{"message": "not a list"}'),
        Canned(body=BAR, length=len(BAR) + 50),
        Canned(body=gzip.compress(BAR)[:-12] + b"\0" * 12, headers={"Content-Encoding": "gzip"}),
        Canned(body=BAR[:40]),
    ],
    ids=["500", "502", "503", "504", "html", "object", "cut", "broken gzip", "half json"],
)
def test_transient_errors_are_retried(make_client: MakeClient, trouble: Canned) -> None:
    with ScriptedServer(trouble, trouble, Canned(body=BAR)) as server:
        client = make_client(server.url)
        answer = ask(client)
    assert answer.rows[0].points == ((1768838400, 1.0, 2.0, 1.0, 2.0),)  # type: ignore[attr-defined]
    assert client.usage.retries == 2
    assert client.usage.calls == 3


def test_lasting_error_is_raised_after_five_attempts(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(500)) as server:
        with pytest.raises(ProviderUnavailable, match=r"open-interest-history.* failed 5 times.*500"):
            ask(make_client(server.url))
        assert len(server.paths) == 5


def test_budget_stays_open_when_the_client_is_closed(make_client: MakeClient, tmp_path: Path) -> None:
    """Its caller closes it, since other clients may share it."""

    def is_open() -> bool:
        return any(path.resolve() == (tmp_path / "budget.sqlite").resolve() for path in Path("/proc/self/fd").iterdir())

    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url)
        ask(client)
        client.close()
    assert is_open()
    client.budget.close()
    assert not is_open()


def test_refused_connection_is_provider_unavailable(make_client: MakeClient) -> None:
    with pytest.raises(ProviderUnavailable, match="connection failed"):
        ask(make_client("http://127.0.0.1:9/v1", max_attempts=2))


def test_silent_provider_times_out(make_client: MakeClient) -> None:
    with Emulator(plain_universe(1), faults=Faults(slow=1.0, delay_seconds=5.0)) as emulator:
        client = make_client(emulator.url, key=DEFAULT_KEY, max_attempts=1, read_timeout_seconds=0.1)
        with pytest.raises(ProviderUnavailable, match="no answer in time"):
            ask(client, ("S0001USDT_PERP.A",))


@pytest.mark.parametrize(
    "answer",
    [
        Canned(body=b"[", length=10**9, ending="drip"),
        Canned(body=b"[" * 100_000, length=10**9, ending="drip"),
        Canned(500, length=10**9, ending="drip"),
        Canned(302, headers={"Location": "/v1/elsewhere"}, length=10**9, ending="drip"),
        Canned(ending="drip head"),
    ],
    ids=["body", "long body", "error", "redirection", "head"],
)
def test_slowly_dripping_response_times_out(make_client: MakeClient, clock: VirtualClock, answer: Canned) -> None:
    """The timeout of requests does not limit the whole response."""
    began = time.monotonic()
    with ScriptedServer(answer) as server:
        with pytest.raises(ProviderUnavailable, match="no whole answer within 1 s"):
            ask(make_client(server.url, max_attempts=1), deadline=clock.now + 0.5)
        assert len(server.paths) == 1
    assert time.monotonic() - began < 30


def test_closed_connection_is_replaced_by_a_new_one(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(length=99, ending="drip"), Canned(body=BAR)) as server:
        client = make_client(server.url)
        ask(client, deadline=clock.now + 1.5)
        assert (client.usage.requests, client.usage.retries) == (2, 1)


def test_body_of_a_redirect_is_not_read(make_client: MakeClient) -> None:
    """requests would decompress the whole body, and discard it: a zip bomb fills the memory."""
    bomb = gzip.compress(b"\0" * 500_000_000, compresslevel=1)
    headers = {"Location": "/v1/elsewhere", "Content-Encoding": "gzip"}
    with ScriptedServer(Canned(302, bomb, headers)) as server:
        client = make_client(server.url, max_attempts=1)
        tracemalloc.start()
        try:
            with pytest.raises(ProviderUnavailable, match="status 302"):
                ask(client)
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()
        assert len(server.paths) == 1


def test_loopback_requests_ignore_proxies_of_the_environment(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(Canned(502)) as proxy, ScriptedServer(Canned(body=BAR)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        ask(make_client(server.url))
        assert (len(server.paths), proxy.paths) == (1, [])


def test_missing_key_sends_no_request(make_client: MakeClient) -> None:
    with ScriptedServer(Canned()) as server:
        with pytest.raises(MissingApiKey, match="COINALYZE_API_KEY"):
            ask(make_client(server.url, key=None))
        assert server.paths == []


def test_symbols_fetched_by_another_process_are_not_requested(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url)
        _, asked = client.history(
            "open-interest-history", ("A", "B"), interval="15min", start=1, end=2, still_needed=lambda _: ["A"]
        )
        assert asked == ("A",)
        assert "symbols=A&" in server.paths[0]
        nothing, asked = client.history(
            "open-interest-history", ("A",), interval="15min", start=1, end=2, still_needed=lambda _: []
        )
    assert (nothing.rows, asked) == ((), ())
    assert len(server.paths) == 1
    assert client.usage.calls == 1


def test_deadline_ends_the_wait_for_the_budget(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url, calls_per_minute=1)
        ask(client, deadline=clock.now + 10)
        with pytest.raises(DeadlineExceeded):
            ask(client, deadline=clock.now + 10)


def test_more_than_twenty_symbols_raise_value_error(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="21 symbols"):
        ask(make_client("http://127.0.0.1:9/v1"), tuple(f"S{n}" for n in range(21)))


@pytest.mark.parametrize(
    "answer",
    [Canned(401), Canned(400, b"no"), Canned(500), Canned(429, b"{}", {"Retry-After": "9999"}), Canned(body=b"{")],
    ids=["401", "400", "500", "429", "broken"],
)
def test_key_is_in_no_exception_and_no_log(
    make_client: MakeClient, answer: Canned, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(answer) as server:
        client = make_client(server.url, max_attempts=2)
        with pytest.raises(ProviderError) as caught:
            ask(client)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + repr(client)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not hasattr(chain, "request")
        shown += repr(chain.args) + repr(pickle.dumps(chain.args))
        chain = chain.__cause__ or chain.__context__
    assert KEY not in shown + caplog.text


def test_key_is_in_no_exception_of_a_refused_connection(make_client: MakeClient) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        ask(make_client("http://127.0.0.1:9/v1", max_attempts=1))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", ["two\nlines", "a b c d", "schl\u00fcssel", "\u20ac"])
def test_invalid_key_is_neither_sent_nor_shown(make_client: MakeClient, key: str) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        with pytest.raises(InvalidApiKey) as caught:
            ask(make_client(server.url, key=key))
        assert server.paths == []
    assert key not in repr(caught.value)


def test_key_in_an_error_message_of_the_provider_is_masked(make_client: MakeClient) -> None:
    echo = Canned(400, b'{"message": "invalid key ' + KEY.encode() + b'"}')
    with ScriptedServer(echo) as server, pytest.raises(BadRequest) as caught:
        ask(make_client(server.url))
    assert KEY not in str(caught.value)
    assert "invalid key" in str(caught.value)


@pytest.mark.parametrize("date", ["1 Jan 99999999999999999999 00:00:00 GMT", "Mon, 99 Foo 2026", "\u0000"])
def test_invalid_retry_after_is_ignored(make_client: MakeClient, date: str) -> None:
    headers = {"Retry-After": date.replace("\u0000", "?")}
    with ScriptedServer(Canned(429, b"{}", headers), Canned(body=BAR)) as server:
        client = make_client(server.url)
        ask(client)
    assert client.usage.rate_limited == 1


def test_last_failure_is_reported_instead_of_the_expired_deadline(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(body=b"<html>maintenance</html>")) as server:
        client = make_client(server.url)
        with pytest.raises(ProviderUnavailable, match="not JSON"):
            client.exchanges(deadline=clock.now + 1e-6)


def test_attempt_that_is_too_late_to_be_sent_does_not_count_as_failed(
    make_client: MakeClient, clock: VirtualClock
) -> None:
    with ScriptedServer(Canned(500), Canned(429, b"{}", {"Retry-After": "90"})) as server:
        client = make_client(server.url)
        with pytest.raises(ProviderUnavailable, match=r"failed 2 times, at last: too many calls"):
            client.exchanges(deadline=clock.now + 60)
        assert len(server.paths) == 2
    with ScriptedServer(Canned(500)) as server:
        with pytest.raises(ProviderUnavailable, match=r"failed once: the provider failed with status 500"):
            make_client(server.url, max_attempts=1).exchanges()
        assert len(server.paths) == 1


def test_deadline_limits_retries_of_market_lists(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(429, b"{}", {"Retry-After": "40"})) as server:
        client = make_client(server.url)
        start = clock.now
        with pytest.raises((DeadlineExceeded, ProviderUnavailable)):
            client.exchanges(deadline=clock.now + 60)
    assert clock.now - start <= 61


def test_calls_that_were_acquired_too_long_ago_are_acquired_again(make_client: MakeClient, clock: VirtualClock) -> None:
    claiming, spent = [200.0, 0.0], []
    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url)

        def claim_slowly(symbols: tuple[str, ...]) -> tuple[str, ...]:
            clock.now += claiming.pop(0)
            spent.append(client.budget.spent())
            return symbols

        ask(client, still_needed=claim_slowly)
        assert spent == [0, 1]
        assert (client.usage.requests, len(server.paths)) == (1, 1)


def test_connection_made_after_the_time_limit_sends_no_request() -> None:
    with ScriptedServer(Canned(body=BAR)) as server, BoundedSession() as session:
        with session.time_limit(0.01) as timed_out:
            assert timed_out.wait(10)
            with pytest.raises(requests.ConnectionError):
                session.get(server.url)
        assert server.paths == []
        assert session.get(server.url).content == BAR
