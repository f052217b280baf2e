"""Requests that are rejected: bodies, long headers, other methods, other hosts, and file paths."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from urllib.parse import quote

import pytest
import requests

from quant_assets.dashboard import api, pages
from quant_assets.dashboard.server import MAX_HEADER_BYTES, is_loopback, listen
from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS, Site

TEN_MEGABYTES = 10_000_000
PATHS = (
    "../../etc/passwd",
    "..\\..\\etc\\passwd",
    "/etc/passwd",
    "..",
    "~/.ssh/id_rsa",
    "a/../../b",
    "file:///etc/passwd",
)


def raw(site: Site, head: bytes, rest: bytes = b"") -> bytes:
    """Send raw bytes and return the response; empty if the server closes the connection instead."""
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
        answer = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head + rest)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
        return answer


def test_large_body_is_rejected_before_it_is_sent(site: Site) -> None:
    head = b"POST /api/results HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
    answer = raw(site, head % TEN_MEGABYTES)
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_large_body_is_rejected(site: Site, method: str) -> None:
    head = f"{method} /api/results HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {TEN_MEGABYTES}\r\n\r\n".encode()
    answer = raw(site, head, b"x" * TEN_MEGABYTES)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert site.get("/api/windows").status_code == 200


def test_chunked_body_is_rejected(site: Site) -> None:
    head = b"GET /api/results HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(site, head, b"4\r\nabcd\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("size", [MAX_HEADER_BYTES, 70_000, TEN_MEGABYTES])
@pytest.mark.parametrize("where", ["header", "address"])
def test_large_header_is_rejected(site: Site, where: str, size: int) -> None:
    long = b"x" * size
    head = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + long + b"\r\n\r\n"
        if where == "header"
        else b"GET /?q=" + long + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    )
    answer = raw(site, head)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert site.get("/api/windows").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_methods_other_than_get_and_head_are_405(site: Site, method: str) -> None:
    answer = requests.request(method, f"{site.url}/api/results", timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "name", ["strategy", "exchange", "action", "status", "min_score", "symbol", "limit", "fields", "window"]
)
def test_path_in_a_parameter_of_the_api_is_a_404(site: Site, name: str, path: str) -> None:
    answer = site.get("/api/results", params={name: path})
    assert answer.status_code == 404
    assert "passwd" not in answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "name", ["q", "strategy", "exchange", "action", "status", "min_score", "window", "sort", "dir", "open"]
)
def test_path_in_a_parameter_of_the_page_is_a_404(site: Site, name: str, path: str) -> None:
    assert site.get("/", params={name: path}).status_code == 404


def addresses(site: Site) -> list[str]:
    """Return an address of each route that gives 200, so that new routes are tested too."""
    signal = site.feed["signals"][0]
    parts = {"exchange": signal["exchange"], "symbol": quote(signal["symbol"], safe="")}
    paths = {route.path for router in (api.router, pages.router) for route in router.routes}
    return sorted(re.sub(r"{(\w+)(:path)?}", lambda found: parts[found[1]], path) for path in paths)


def test_path_in_a_parameter_of_any_route_is_a_404(site: Site) -> None:
    for address in addresses(site):
        for path in PATHS:
            for name in ("x", "window", "strategy"):
                with site.get(address, params={name: path}, stream=True) as answer:
                    assert answer.status_code == 404, (address, name, path)
        with site.get(address, params={PATHS[0]: "x"}, stream=True) as answer:
            assert answer.status_code == 404, address


def test_every_route_rejects_unknown_parameters(site: Site) -> None:
    for address in addresses(site):
        for value in ("1", ""):
            with site.get(address, params={"no_such": value}, stream=True) as answer:
                assert answer.status_code == 400, address
                assert "no_such" in answer.text
        if address not in {"/api/results", "/api/trades"}:
            with site.get(address, params={"limit": ""}, stream=True) as answer:
                assert answer.status_code == 400, address
        with site.get(address, stream=True) as answer:
            assert answer.status_code == 200, address


@pytest.mark.parametrize("text", ["/usd", "BTC/USDT", "~", "1..2", "C:"])
def test_single_slash_is_not_a_path(site: Site, text: str) -> None:
    assert site.get("/", params={"q": text}).status_code == 200
    assert site.get("/api/results", params={"symbol": text}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_path_in_an_address_is_a_404(site: Site, path: str) -> None:
    escaped = quote(path, safe="")
    addresses = [
        f"/api/signals/{escaped}/BTCUSDT",
        f"/api/signals/BINANCE/{escaped}",
        f"/detail/BINANCE/{escaped}",
        f"/static/x/{escaped}",
        f"/{escaped}",
    ]
    for address in addresses:
        status = raw(site, f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert status.startswith(b"HTTP/1.1 404 "), address


def test_foreign_host_name_is_rejected(site: Site) -> None:
    assert site.get("/api/results", headers={"Host": "evil.example"}).status_code == 400
    assert site.get("/api/results", headers={"Host": "localhost:3000"}).status_code == 200
    assert site.get("/api/results", headers={"Host": "[::1]:3000"}).status_code == 200


def test_every_response_forbids_inline_scripts_and_frames(site: Site) -> None:
    for path in ("/", "/api/results", "/no/such", "/api/no/such"):
        headers = site.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    assert "<script>" not in site.get("/").text
    assert " style=" not in site.get("/").text


def test_static_files_are_cached_by_their_version(site: Site) -> None:
    page = site.get("/").text
    address = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    assert "immutable" in site.get(address).headers["cache-control"]
    older = site.get("/static/older/dashboard.css")
    assert older.status_code == 200
    assert older.headers["cache-control"] == "no-cache"


def test_internal_error_is_a_500_without_details(own_site: Site) -> None:
    own_site.app.state.context = None
    for path in ("/api/results", "/"):
        answer = own_site.get(path)
        assert answer.status_code == 500
        assert "internal error" in answer.text
        assert "NoneType" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False), ("desk", False)],
)
def test_loopback_addresses_are_recognized(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_port_in_use_raises_oserror() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
