"""The client: what it sends, what each answer means, and that the key shows nowhere."""

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

import pytest

from quant_assets.emulator import DEFAULT_KEY, Emulator, Faults, plain_universe
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets.providers.coinalyze.errors import (
    BadRequest,
    CoinalyzeError,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderUnavailable,
)
from quant_assets_tests.providers.coinalyze.conftest import KEY, VirtualClock
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer

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


def test_a_history_comes_typed_and_marked_as_simulated_from_the_emulator(
    make_client: MakeClient, clock: VirtualClock
) -> None:
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


def test_the_market_lists_and_current_values_come_typed(make_client: MakeClient, clock: VirtualClock) -> None:
    universe = plain_universe(3)
    with Emulator(universe, clock=lambda: datetime.fromtimestamp(clock.now, UTC)) as emulator:
        client = make_client(emulator.url, key=DEFAULT_KEY)
        assert {exchange.name for exchange in client.exchanges().rows} >= {"Binance", "Gate.io"}
        markets = client.future_markets().rows
        assert {market.symbol for market in markets} == set(universe.listings)
        values = client.current("funding-rate", [markets[0].symbol]).rows
        assert values[0].symbol == markets[0].symbol
        assert values[0].update > 1_000_000_000_000


def test_the_key_travels_in_the_header_and_never_in_the_address(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        ask(make_client(server.url))
    assert server.keys == [KEY]
    assert KEY not in server.paths[0]


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
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
def test_a_429_is_waited_out_as_long_as_it_says(
    make_client: MakeClient, clock: VirtualClock, retry_after: str | None, least: float, most: float
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with ScriptedServer(Canned(429, b"{}", headers), Canned(body=BAR)) as server:
        client = make_client(server.url)
        start = clock.now
        ask(client)
    # A retry's own jittered wait of at most half a second comes first.
    assert least <= clock.now - start <= most + 1.0
    assert client.usage.rate_limited == 1
    assert len(server.paths) == 2


def test_a_429_that_asks_for_hours_is_an_error_and_no_wait(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(429, b"{}", {"Retry-After": "86400"})) as server:
        start = clock.now
        with pytest.raises(ProviderUnavailable, match="86400"):
            ask(make_client(server.url))
    assert clock.now == start
    assert len(server.paths) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_asked_with_once(make_client: MakeClient, status: int) -> None:
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
def test_what_would_be_answered_so_again_is_not_repeated(
    make_client: MakeClient, status: int, error: type[Exception]
) -> None:
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
def test_trouble_that_may_pass_is_tried_again(make_client: MakeClient, trouble: Canned) -> None:
    with ScriptedServer(trouble, trouble, Canned(body=BAR)) as server:
        client = make_client(server.url)
        answer = ask(client)
    assert answer.rows[0].points == ((1768838400, 1.0, 2.0, 1.0, 2.0),)  # type: ignore[attr-defined]
    assert client.usage.retries == 2
    assert client.usage.calls == 3


def test_a_provider_that_stays_down_is_named_after_five_attempts(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(500)) as server:
        with pytest.raises(ProviderUnavailable, match=r"open-interest-history.* failed 5 times.*500"):
            ask(make_client(server.url))
        assert len(server.paths) == 5


def test_nobody_listening_is_a_provider_that_is_unavailable(make_client: MakeClient) -> None:
    with pytest.raises(ProviderUnavailable, match="connection failed"):
        ask(make_client("http://127.0.0.1:9/v1", attempts=2))


def test_a_silent_provider_runs_into_the_time_out(make_client: MakeClient) -> None:
    with Emulator(plain_universe(1), faults=Faults(slow=1.0, delay_seconds=5.0)) as emulator:
        client = make_client(emulator.url, key=DEFAULT_KEY, attempts=1, read_seconds=0.1)
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
def test_an_answer_that_drips_is_waited_for_no_longer_than_any_other(
    make_client: MakeClient, clock: VirtualClock, answer: Canned
) -> None:
    """requests alone waits as long as a byte comes now and then."""
    began = time.monotonic()
    with ScriptedServer(answer) as server:
        with pytest.raises(ProviderUnavailable, match="no whole answer within 1 s"):
            ask(make_client(server.url, attempts=1), deadline=clock.now + 0.5)
        assert len(server.paths) == 1
    assert time.monotonic() - began < 30


def test_a_connection_that_was_shut_is_followed_by_a_new_one(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(length=99, ending="drip"), Canned(body=BAR)) as server:
        client = make_client(server.url)
        ask(client, deadline=clock.now + 1.5)
        assert (client.usage.requests, client.usage.retries) == (2, 1)


def test_of_a_redirection_no_body_is_read(make_client: MakeClient) -> None:
    """A megabyte of gzip may hold gigabytes; requests alone reads them all, to throw them away."""
    bomb = gzip.compress(b"\0" * 500_000_000, compresslevel=1)
    headers = {"Location": "/v1/elsewhere", "Content-Encoding": "gzip"}
    with ScriptedServer(Canned(302, bomb, headers)) as server:
        client = make_client(server.url, attempts=1)
        tracemalloc.start()
        try:
            with pytest.raises(ProviderUnavailable, match="status 302"):
                ask(client)
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()
        assert len(server.paths) == 1


def test_no_proxy_of_the_environment_gets_what_is_meant_for_this_machine(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(Canned(502)) as proxy, ScriptedServer(Canned(body=BAR)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        ask(make_client(server.url))
        assert (len(server.paths), proxy.paths) == (1, [])


def test_without_a_key_nothing_is_sent(make_client: MakeClient) -> None:
    with ScriptedServer(Canned()) as server:
        with pytest.raises(MissingApiKey, match="COINALYZE_API_KEY"):
            ask(make_client(server.url, key=None))
        assert server.paths == []


def test_what_another_process_fetched_meanwhile_is_not_asked_again(make_client: MakeClient) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url)
        _, asked = client.history(
            "open-interest-history", ("A", "B"), interval="15min", start=1, end=2, narrow=lambda _: ["A"]
        )
        assert asked == ("A",)
        assert "symbols=A&" in server.paths[0]
        nothing, asked = client.history(
            "open-interest-history", ("A",), interval="15min", start=1, end=2, narrow=lambda _: []
        )
    assert (nothing.rows, asked) == ((), ())
    assert len(server.paths) == 1
    assert client.usage.calls == 1


def test_a_deadline_ends_the_waiting(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        client = make_client(server.url, calls_per_minute=1)
        ask(client, deadline=clock.now + 10)
        with pytest.raises(DeadlineExceeded):
            ask(client, deadline=clock.now + 10)


def test_more_than_twenty_symbols_are_a_mistake(make_client: MakeClient) -> None:
    with pytest.raises(ValueError, match="21 symbols"):
        ask(make_client("http://127.0.0.1:9/v1"), tuple(f"S{n}" for n in range(21)))


@pytest.mark.parametrize(
    "answer",
    [Canned(401), Canned(400, b"no"), Canned(500), Canned(429, b"{}", {"Retry-After": "9999"}), Canned(body=b"{")],
    ids=["401", "400", "500", "429", "broken"],
)
def test_the_key_shows_in_no_exception_and_no_log(
    make_client: MakeClient, answer: Canned, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(answer) as server:
        client = make_client(server.url, attempts=2)
        with pytest.raises(CoinalyzeError) as caught:
            ask(client)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + repr(client)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not hasattr(chain, "request")
        shown += repr(chain.args) + repr(pickle.dumps(chain.args))
        chain = chain.__cause__ or chain.__context__
    assert KEY not in shown + caplog.text


def test_the_key_shows_in_no_exception_when_nobody_listens(make_client: MakeClient) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        ask(make_client("http://127.0.0.1:9/v1", attempts=1))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", ["two\nlines", "a b c d", "schl\u00fcssel", "\u20ac"])
def test_what_cannot_be_a_key_is_refused_unsent_and_unshown(make_client: MakeClient, key: str) -> None:
    with ScriptedServer(Canned(body=BAR)) as server:
        with pytest.raises(InvalidApiKey) as caught:
            ask(make_client(server.url, key=key))
        assert server.paths == []
    assert key not in repr(caught.value)


def test_a_provider_that_repeats_the_key_does_not_make_it_known(make_client: MakeClient) -> None:
    echo = Canned(400, b'{"message": "invalid key ' + KEY.encode() + b'"}')
    with ScriptedServer(echo) as server, pytest.raises(BadRequest) as caught:
        ask(make_client(server.url))
    assert KEY not in str(caught.value)
    assert "invalid key" in str(caught.value)


@pytest.mark.parametrize("date", ["1 Jan 99999999999999999999 00:00:00 GMT", "Mon, 99 Foo 2026", "\u0000"])
def test_a_retry_after_that_makes_no_sense_is_passed_over(make_client: MakeClient, date: str) -> None:
    headers = {"Retry-After": date.replace("\u0000", "?")}
    with ScriptedServer(Canned(429, b"{}", headers), Canned(body=BAR)) as server:
        client = make_client(server.url)
        ask(client)
    assert client.usage.rate_limited == 1


def test_a_failure_that_used_up_the_time_is_told_and_not_that_time_is_up(
    make_client: MakeClient, clock: VirtualClock
) -> None:
    with ScriptedServer(Canned(body=b"<html>maintenance</html>")) as server:
        client = make_client(server.url)
        with pytest.raises(ProviderUnavailable, match="not JSON"):
            client.exchanges(deadline=clock.now + 1e-6)


def test_a_deadline_bounds_the_attempts_and_the_lists_too(make_client: MakeClient, clock: VirtualClock) -> None:
    with ScriptedServer(Canned(429, b"{}", {"Retry-After": "40"})) as server:
        client = make_client(server.url)
        start = clock.now
        with pytest.raises((DeadlineExceeded, ProviderUnavailable)):
            client.exchanges(deadline=clock.now + 60)
    assert clock.now - start <= 61
