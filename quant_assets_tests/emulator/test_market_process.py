"""The simulated market in a process of its own: its URLs, and when it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.parse import urlsplit

import orjson
import pytest
import requests

from quant_assets.emulator.exchanges import APIS
from quant_assets.emulator.market_process import start_market

HOLDER = """
import sys
from dataclasses import asdict
import orjson
from quant_assets.emulator.market_process import start_market
with start_market(40) as market_urls:
    print(orjson.dumps(asdict(market_urls())).decode(), flush=True)
    sys.stdin.read()
"""


def connected(url: str) -> socket.socket:
    """Connect to a server, so that it can be seen when it ends."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def test_market_is_served_within_the_block_only() -> None:
    with start_market(40) as market_urls:
        urls = market_urls()
        assert set(urls.exchanges) == set(APIS)
        assert requests.get(f"{urls.exchanges['BYBIT']}/v5/market/time", timeout=20).json()["retCode"] == 0
        assert requests.get(f"{urls.coinalyze}/exchanges", timeout=20).status_code == 401  # without a key
    with pytest.raises(ConnectionRefusedError):
        connected(urls.coinalyze)


def test_market_ends_with_the_process_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        urls = orjson.loads(holder.stdout.readline())
        with connected(urls["exchanges"]["GATE"]) as connection:
            holder.kill()
            assert connection.recv(1) == b""  # the end; else the time limit passes
