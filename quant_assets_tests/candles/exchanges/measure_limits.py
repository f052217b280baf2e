"""Measure how close fetches come to the least time that the limits of exchanges allow.

    python -m quant_assets_tests.candles.exchanges.measure_limits history
    python -m quant_assets_tests.candles.exchanges.measure_limits window

`history`: four days of 400 markets of each of eight exchanges, from nothing. The limits of client and exchange are
scaled by FACTORS, so that each exchange takes about three minutes. `window`: the next bar of 290 markets of
Hyperliquid, in real time at its documented limit. The exchanges run in a process of their own.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.connections import CONNECTIONS, USED_SHARE
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import refresh_bars
from quant_assets.common.sliding_minute import SlidingMinute
from quant_assets.common.timeframes import STEP_MS
from quant_assets.emulator.exchanges import AcceptedRequest
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.providers.exchanges.client import ExchangeClient
from quant_assets.providers.exchanges.market import ExchangeMarket
from quant_assets.storage.lake import Lake
from quant_assets_tests.candles.exchanges.measure_fetch import DAY_MS, LocalExchanges

HISTORY_DAYS: Final = 4
MARKETS: Final = 400
FACTORS: Final[Mapping[str, float]] = {
    "BINANCE": 0.157,
    "BYBIT": 0.047,
    "OKX": 0.42,
    "HYPERLIQUID": 5.1,
    "KUCOIN": 0.325,
    "MEXC": 0.65,  # its list of contracts weighs 10, more than a smaller budget
    "GATE": 0.28,
    "BITGET": 0.32,
}
HYPERLIQUID_MARKETS: Final = 290


@contextmanager
def connected(
    exchanges: LocalExchanges, folder: Path, name: str, factor: float
) -> Iterator[tuple[list[ExchangeClient], int]]:
    """Yield connections with a scaled limit, and this limit."""
    api = EXCHANGE_APIS[name]
    limit = int(api.limit * USED_SHARE * factor)
    with ExitStack() as stack:
        budget = CallBudget(folder / f"{name}-{factor}.sqlite", limit, period_seconds=api.period_seconds)
        stack.callback(budget.close)
        clients = [ExchangeClient(api, budget, exchanges.urls[name], clock=exchanges.clock) for _ in range(CONNECTIONS)]
        for client in clients:
            stack.callback(client.close)
        yield clients, limit


def perpetuals(clients: Sequence[ExchangeClient]) -> list[ExchangeMarket]:
    return [market for market in clients[0].markets() if market.is_perpetual and market.is_linear and market.is_active]


def seconds_of(accepted: Sequence[AcceptedRequest], limit: int, period_seconds: float) -> tuple[float, float]:
    """Return the seconds from the first to the last request, and the least ones that the limit allows."""
    window = SlidingMinute(limit, round(period_seconds * 1_000_000))
    at = 0
    for request in accepted:
        at = window.earliest(request.weight, at)
        window.spend(request.weight, at)
    return (accepted[-1].moment - accepted[0].moment).total_seconds(), at / 1_000_000


def measure_history(exchanges: LocalExchanges, folder: Path, names: Sequence[str]) -> None:
    store = BarStore(Lake(folder / "lake"), folder / "locks")
    # All ask for their market lists first, so that the time is that of bars.
    with ExitStack() as stack:
        found = {name: stack.enter_context(connected(exchanges, folder, name, FACTORS[name])) for name in names}
        for name in names:
            exchanges.scale_limits(name, FACTORS[name])
        with ThreadPoolExecutor(len(names)) as pool:
            listed = dict(zip(names, pool.map(lambda name: perpetuals(found[name][0]), names), strict=True))
        time.sleep(max(EXCHANGE_APIS[name].period_seconds for name in names) + 1)  # the lists cost nothing any more
        before_bars = {name: len(exchanges.counted(name).accepted) for name in names}

        def fetch(name: str) -> tuple[FetchReport, float]:
            began = time.perf_counter()
            report = refresh_bars(
                EXCHANGE_APIS[name],
                found[name][0],
                listed[name][:MARKETS],
                store,
                history_from_ms=int(exchanges.clock() * 1000 - HISTORY_DAYS * DAY_MS),
                clock=exchanges.clock,
            )
            return report, time.perf_counter() - began

        before = resource.getrusage(resource.RUSAGE_SELF)
        with ThreadPoolExecutor(len(names)) as pool:
            reports = dict(zip(names, pool.map(fetch, names), strict=True))
        after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{used:.1f} s processor time, {after.ru_maxrss // 1024} MiB")
    for name, (report, whole) in reports.items():
        counted = exchanges.counted(name)
        took, least = seconds_of(
            counted.accepted[before_bars[name] :], found[name][1], EXCHANGE_APIS[name].period_seconds
        )
        print(
            f"{name:<12} limit x {FACTORS[name]:<5} {report.done:5} requests {report.stored.new:8} bars: least "
            f"{least:6.1f} s, requests {took:6.1f} s (+{took / least - 1:.1%}), all stored {whole:6.1f} s "
            f"(+{whole / least - 1:.1%}); refused {counted.rate_limited}; {report.problem or 'no problem'}",
            flush=True,
        )


def measure_window(exchanges: LocalExchanges, folder: Path) -> None:
    name, store = "HYPERLIQUID", BarStore(Lake(folder / "lake"), folder / "locks")
    exchanges.scale_limits(name, 1000.0)
    with connected(exchanges, folder, name, 1000.0) as (clients, _):
        markets = perpetuals(clients)[:HYPERLIQUID_MARKETS]
        refresh_bars(
            EXCHANGE_APIS[name],
            clients,
            markets,
            store,
            history_from_ms=int(exchanges.clock() * 1000 - DAY_MS),
            clock=exchanges.clock,
        )
    Random(1).shuffle(markets)  # a watchlist of which the exchange knows nothing
    step = STEP_MS["15m"] // 1000
    exchanges.ahead.value += step - exchanges.clock() % step + 1
    if int(exchanges.clock()) // step % 16 == 0:  # no window that closes a 4h bar
        print("this window closes a 4h bar, too")
    exchanges.scale_limits(name, 1.0)
    before = len(exchanges.counted(name).accepted)
    stored: list[tuple[float, int]] = []
    with connected(exchanges, folder, name, 1.0) as (clients, limit):
        began = time.perf_counter()
        report = refresh_bars(
            EXCHANGE_APIS[name],
            clients,
            markets,
            store,
            history_from_ms=int(exchanges.clock() * 1000 - DAY_MS),
            clock=exchanges.clock,
            on_progress=lambda report: stored.append((time.perf_counter() - began, report.stored.new)),
        )
        whole = time.perf_counter() - began
    counted = exchanges.counted(name)
    accepted = counted.accepted[before:]
    took, least = seconds_of(accepted, limit, EXCHANGE_APIS[name].period_seconds)
    place = {market.symbol: number for number, market in enumerate(markets)}
    displaced = max(abs(place[request.contract] - number) for number, request in enumerate(accepted))
    print(f"{report.done} requests, {report.stored.new} new bars; {report.problem or 'no problem'}")
    print(f"least {least:.1f} s, requests {took:.1f} s, all stored {whole:.1f} s; refused {counted.rate_limited}")
    print(f"order: at most {displaced} places from that of the watchlist")
    first = accepted[0].moment
    for count in (40, 100, 200, len(markets)):
        print(f"  request {count} after {(accepted[count - 1].moment - first).total_seconds():.1f} s")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("history", "window"))
    parser.add_argument("--exchange", action="append", choices=list(FACTORS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, ExitStack() as stack:
        if given.what == "history":
            exchanges = stack.enter_context(LocalExchanges.running(markets=0, each=MARKETS))
            measure_history(exchanges, Path(folder), given.exchange or list(FACTORS))
        else:
            exchanges = stack.enter_context(LocalExchanges.running(markets=0, each=HYPERLIQUID_MARKETS))
            measure_window(exchanges, Path(folder))


if __name__ == "__main__":
    main()
