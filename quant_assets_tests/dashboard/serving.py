"""A real dashboard server on a free port for tests, and helpers that change its feed."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import requests

from quant_assets.common.files import replace_file
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.dashboard.server import create_app, listen, make_server
from quant_assets.feed import feed_problems
from quant_assets.signals import GateIndex, discover_strategies

#: Timeout of everything that tests wait for. The first charts took over 15 seconds on a busy machine.
TIMEOUT_SECONDS = 60.0
HOSTILE_SYMBOL = "<img src=x onerror=alert(1)>USDT"
GATES = GateIndex(discover_strategies().strategies)
HOSTILE_STRATEGY = 'Bob\'s "best" </script><b>'

Json = dict[str, Any]


@dataclass
class Site:
    """A running dashboard."""

    url: str
    settings: Settings
    app: Any

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=TIMEOUT_SECONDS, **more)

    @property
    def feed(self) -> Json:
        feed: Json = orjson.loads(self.settings.feed_path.read_bytes())
        return feed

    def write(self, content: bytes) -> None:
        """Replace the feed's file atomically."""
        replace_file(self.settings.feed_path, content)


@contextmanager
def serving(settings: Settings, clock: Callable[[], datetime] | None = None) -> Iterator[Site]:
    """Serve a data folder while the block runs; by default the time is one minute after the feed's window."""
    moment = datetime.now(UTC)
    if clock is None:
        feed = orjson.loads(settings.feed_path.read_bytes())
        moment = Window.of_key(feed["window"]).end + timedelta(minutes=1)
    app = create_app(settings, clock=clock or (lambda: moment))
    listener = listen("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", settings, app)
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


def copy_data(settings: Settings, folder: Path) -> Settings:
    """Copy a data folder, so that a test can change it."""
    shutil.copytree(settings.data_dir, folder, ignore=shutil.ignore_patterns("dagster", "*.lock"))
    return settings.model_copy(update={"data_dir": folder})


def with_hostile_names(feed: Json) -> Json:
    """Return a feed with one market and one strategy renamed to names that contain HTML."""
    changed = copy.deepcopy(feed)
    market = next(s for s in changed["signals"] if s["action"] == "WAIT")
    key = (market["exchange"], market["symbol"])
    for signal in changed["signals"]:
        if (signal["exchange"], signal["symbol"]) == key:
            signal["symbol"] = signal["display_symbol"] = HOSTILE_SYMBOL
        if signal["strategy_name"] == "Legacy":
            signal["strategy_name"] = signal["strategy"] = HOSTILE_STRATEGY
    return sort_and_count(changed)


def with_setups(feed: Json) -> Json:
    """Return a feed with a SHORT that broke a trendline, a LONG, and an open interest that is five hours old.

    The signals of the simulated market depend on the hour; tests need each of these at any hour.
    """
    changed = copy.deepcopy(feed)
    lines = next(s for s in changed["signals"] if s["strategy_name"] == "Breakout" and "support" in _lines(s))
    line = _lines(lines)["support"]
    _give_setup(lines, "SHORT")
    lines["setup"]["trendline"] = {
        "m": line["slope"],
        "c": line["intercept"],
        "current_projected_rsi": line["current_value"],
        "start_idx": line["pivot_1"]["index"],
        "end_idx": line["pivot_2"]["index"],
        "start_rsi": line["pivot_1"]["value"],
        "end_rsi": line["pivot_2"]["value"],
        "start_time": line["pivot_1"]["time"],
        "end_time": line["pivot_2"]["time"],
    }
    _give_setup(next(s for s in changed["signals"] if s["strategy_name"] == "Legacy" and s is not lines), "LONG")
    old = next(
        s for s in changed["signals"] if s["oi_metadata"]["value"] is not None and s["symbol"] != lines["symbol"]
    )
    for signal in changed["signals"]:
        if (signal["exchange"], signal["symbol"]) == (old["exchange"], old["symbol"]):
            signal["oi_metadata"]["age_seconds"] = 5 * 3600.0
    return sort_and_count(changed)


def _lines(signal: Json) -> Json:
    lines: Json = signal["observability"]["rsi_visuals"]
    return lines


def _give_setup(signal: Json, side: str) -> None:
    price = signal["price"]
    stop, target = (price * 0.95, price * 1.1) if side == "LONG" else (price * 1.05, price * 0.9)
    signal.update(action=side, bias=side, entry=price, stop_loss=stop, take_profit=target, rr=2.0)
    signal["setup"] = {"side": side, "entry": price, "sl": stop, "tp": target, "rr": 2.0}
    signal["details"]["reason"] = None


def multiply_markets(feed: Json, markets: int) -> Json:
    """Return a feed with this number of markets, copied from those of the given feed."""
    changed = {**feed, "stats": copy.deepcopy(feed["stats"])}
    names = sorted({(s["exchange"], s["symbol"]) for s in feed["signals"]})
    by_name: dict[tuple[str, str], list[Json]] = {name: [] for name in names}
    for signal in feed["signals"]:
        by_name[signal["exchange"], signal["symbol"]].append(signal)
    signals = []
    for number in range(markets):
        turn, place = divmod(number, len(names))
        exchange, symbol = names[place]
        mark = f"{turn}X" if turn else ""
        signals += [
            {**s, "symbol": f"{mark}{symbol}", "display_symbol": f"{mark}{s['display_symbol']}"}
            for s in by_name[exchange, symbol]
        ]
    changed["signals"] = signals
    return sort_and_count(changed)


def sort_and_count(feed: Json) -> Json:
    """Sort the signals and update the counts, so that a changed feed is valid."""
    signals = feed["signals"]
    signals.sort(key=lambda s: (s["action"] == "WAIT", -s["score"], s["exchange"], s["symbol"], s["strategy_name"]))
    markets = {(s["exchange"], s["symbol"]): s["oi_metadata"]["status"] for s in signals}
    stats = feed["stats"]
    stats["markets"], stats["signals"] = len(markets), len(signals)
    stats["strategies"] = sorted({s["strategy_name"] for s in signals})
    stats["resolution"] = {k: list(markets.values()).count(k) for k in ("resolved", "aggregated", "neutral")}
    stats["actions"] = {k: sum(s["action"] == k for s in signals) for k in ("LONG", "SHORT", "WAIT")}
    assert feed_problems(orjson.dumps(feed)) == []
    return feed
