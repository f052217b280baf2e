"""Any response is read or raises a documented error, and its invalid parts are counted."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from quant_assets.markets import market_list_table
from quant_assets.providers.coinalyze import HISTORY_FIELDS, CallBudget, CoinalyzeClient, ProviderError
from quant_assets.providers.coinalyze.models import (
    MalformedResponse,
    read_exchanges,
    read_history,
    read_markets,
)
from quant_assets_tests.derivatives.conftest import NOW
from quant_assets_tests.faults.seeding import SEED, rounds

ASKED = ("BTCUSDT_PERP.A", "BTC.H", "龙虾USDT_PERP.A")
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 1_768_838_400, 1_768_838_400_000, 1e24, 1e308]),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from([*ASKED, "NaN", "1e999"]))
NAMES = st.sampled_from(
    [
        *("symbol", "history", "t", "o", "h", "l", "c", "r", "s", "v", "bv", "tx", "btx", "value", "update", "code"),
        *("name", "exchange", "base_asset", "quote_asset", "is_perpetual", "expire_at", "symbol_on_exchange"),
    ]
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=24
)


def repeats(short: int, long: int) -> Callable[[Any], Any]:
    """Run a property test with the seed of the fault tests, so that a run can be repeated."""

    def with_seed(test: Any) -> Any:
        chosen = settings(
            max_examples=rounds(short, long),
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        return seed(SEED)(chosen(test))

    return with_seed


TIMES = st.integers(1_768_838_400, 1_768_838_410)


def _sound(fields: str) -> st.SearchStrategy[Any]:
    """Return valid responses whose points may be unordered or repeated."""
    point = st.fixed_dictionaries({"t": TIMES, **dict.fromkeys(fields.split(), st.floats(0, 1e9))})
    history = st.lists(point, min_size=2, max_size=6)
    return st.lists(st.fixed_dictionaries({"symbol": st.sampled_from(ASKED), "history": history}), max_size=3)


def _point(fields: str) -> st.SearchStrategy[dict[str, Any]]:
    value = st.floats(0, 1e9) | NUMBERS | LEAVES
    return st.fixed_dictionaries({"t": TIMES | LEAVES}, optional=dict.fromkeys(fields.split(), value))


def _history(fields: str) -> st.SearchStrategy[Any]:
    row = st.fixed_dictionaries(
        {"symbol": st.sampled_from(ASKED) | LEAVES, "history": st.lists(_point(fields) | ANYTHING, max_size=5) | LEAVES}
    )
    return st.lists(row | ANYTHING, max_size=4)


def _mutated(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Return valid bodies with some bytes removed, changed or inserted."""

    def mutate(body: bytes, place: float, cut: int, more: bytes) -> bytes:
        at = int(place * len(body))
        return body[:at] + more + body[at + cut :]

    bodies = valid.map(orjson.dumps)
    return bodies | st.builds(
        mutate,
        bodies,
        st.floats(0, 1),
        st.integers(0, 6),
        st.sampled_from([b"", b"NaN", b"\xff", b"-", b"1e400", b"]"]),
    )


@pytest.mark.parametrize("endpoint", HISTORY_FIELDS)
def test_any_history_gives_valid_points_and_counts_the_invalid_ones(endpoint: str) -> None:
    fields = HISTORY_FIELDS[endpoint]
    signed = "funding" in endpoint

    @repeats(60, 1200)
    @given(_mutated(_sound(fields)) | _mutated(_history(fields)) | _mutated(ANYTHING) | st.binary(max_size=60))
    def reads(body: bytes) -> None:
        try:
            histories, broken = read_history(body, fields, ASKED, signed=signed)
        except MalformedResponse:
            return
        symbols = [history.symbol for history in histories]
        assert len(symbols) == len(set(symbols)) <= len(ASKED)
        assert set(symbols) <= set(ASKED)
        kept = 0
        for history in histories:
            times = [point[0] for point in history.points]
            assert times == sorted(set(times))
            assert all(isinstance(time, int) and 0 < time < 4_102_444_800 for time in times)
            values = [value for point in history.points for value in point[1:]]
            assert all(math.isfinite(value) and abs(value) < 1e24 and (signed or value >= 0) for value in values)
            assert all(len(point) == 1 + len(fields.split()) for point in history.points)
            kept += len(times)
        rows = orjson.loads(body)
        came = sum(
            len(row["history"])
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("history"), list) and row.get("symbol") in symbols
        )
        # Every row is a history or counted; every point of a history is kept or counted.
        assert broken >= len(rows) - len(histories)
        assert broken + kept <= came + len(rows)
        assert len(histories) < len(rows) or broken + kept == came

    reads()


@pytest.mark.parametrize("read", [read_exchanges, read_markets], ids=lambda read: read.__name__)
def test_any_list_gives_valid_rows_and_counts_the_invalid_ones(
    read: Callable[[bytes], tuple[tuple[Any, ...], int]],
) -> None:
    row = st.dictionaries(NAMES, LEAVES, max_size=12)
    known = st.fixed_dictionaries(
        {
            name: st.text(min_size=1, max_size=5)
            for name in ("symbol", "exchange", "base_asset", "quote_asset", "code", "name")
        },
        optional={"expire_at": LEAVES, "is_perpetual": LEAVES, "value": NUMBERS, "update": NUMBERS},
    )

    @repeats(100, 1500)
    @given(_mutated(st.lists(row | known | ANYTHING, max_size=6)) | _mutated(ANYTHING) | st.binary(max_size=60))
    def reads(body: bytes) -> None:
        try:
            rows, broken = read(body)
        except MalformedResponse:
            return
        assert len(rows) + broken == len(orjson.loads(body))
        if read is read_markets:
            plain = [{name: getattr(row, name) for name in row.__slots__} for row in rows]
            table = market_list_table([], plain, NOW)
            assert len(table) <= len(rows)

    reads()


class RawServer:
    """A server that answers any request with the bytes of `answer` and closes the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    connection.recv(1 << 16)
                    connection.sendall(self.answer)
                except OSError:
                    continue

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def raw() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


HEADERS = st.lists(
    st.sampled_from(
        [
            *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 99999999999999"),
            *(b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Content-Encoding: br", b": no name"),
            *(
                b"Retry-After: 1e9",
                b"Retry-After: \xff",
                b"Location: http://[::1",
                b"Location: \xff\xfe",
                b"\x00: \x00",
            ),
            *(b"Set-Cookie: a=b; Max-Age=x", b"X-Simulated: perhaps", b"Content-Length: 5\r\nContent-Length: 6"),
        ]
    ),
    max_size=3,
)
STATUSES = st.sampled_from([b"200 OK", b"302 Found", b"429 Slow", b"204 No", b"100 Go on", b"999 Odd", b"abc", b"-1 x"])


def _whole(status: bytes, headers: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


def test_any_response_bytes_give_an_answer_or_a_documented_error(raw: RawServer, tmp_path: Any) -> None:
    now = [NOW.timestamp()]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    budget = CallBudget(tmp_path / "budget.sqlite", 1_000_000, clock=lambda: now[0], sleep=sleep)
    client = CoinalyzeClient(
        SecretStr("k"), raw.url, budget, clock=lambda: now[0], sleep=sleep, max_attempts=1, read_timeout_seconds=2.0
    )
    bodies = _mutated(_history("l s")) | st.binary(max_size=40) | st.sampled_from([b"5\r\n[]\r\n", b"zz\r\n[]", b"[]"])

    @repeats(40, 1000)
    @given(st.builds(_whole, STATUSES, HEADERS, bodies) | st.binary(max_size=80))
    def answers(whole: bytes) -> None:
        raw.answer = whole
        now[0] += 700.0
        try:
            answer, asked = client.history("liquidation-history", ASKED, interval="15min", start=1, end=2)
        except ProviderError:
            return
        assert asked == ASKED
        assert {row.symbol for row in answer.rows} <= set(ASKED)

    answers()
    client.close()
    budget.close()
