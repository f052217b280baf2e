"""Measure the dashboard under 200 requests per second: a mix of tables, charts and conditional requests, sent by wrk.

    python -m quant_assets_tests.dashboard.measure_load [--seconds 60] [--markets 1100]

Scans a small simulated market, multiplies it to a full feed, and serves it in a separate process. wrk sends a third of
the requests for tables of 100 signals, a third for charts of 50 markets, and a third with If-None-Match: first at about
200 requests per second, then without a limit. Needs wrk, which Debian has as a package.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import orjson
import requests

from quant_assets.common.files import replace_file
from quant_assets_tests.dashboard.serving import multiply_markets
from quant_assets_tests.world import World, small_world

CONNECTIONS = 10
#: Delay before each request; with ten connections it gives a little over 200 requests per second.
REQUEST_DELAY_MS = 45

SCRIPT = """
local tables, charts, etags = {tables}, {charts}, {etags}
local turn = 0
function init(args) math.randomseed(os.time()); turn = math.random(1000) end
{delay}
function request()
  turn = turn + 1
  local kind, place = turn % 3, math.floor(turn / 3)
  if kind == 0 then return wrk.format("GET", tables[place % #tables + 1], {{["Accept-Encoding"] = "gzip"}}) end
  if kind == 1 then return wrk.format("GET", charts[place % #charts + 1], {{["Accept-Encoding"] = "gzip"}}) end
  local at = place % #tables + 1
  return wrk.format("GET", tables[at], {{["If-None-Match"] = etags[at]}})
end
local seen = {{}}
function response(status) seen[status] = (seen[status] or 0) + 1; counted = seen end
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function done()
  local all = {{}}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("counted") or {{}}) do all[status] = (all[status] or 0) + count end
  end
  for status, count in pairs(all) do print("status " .. status .. ": " .. count) end
end
"""


def resident_mb(process: int) -> float:
    """Return the resident memory of a process, in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else float("nan")


def lua(items: list[str]) -> str:
    return "{" + ", ".join(f"'{item}'" for item in items) + "}"


def run_wrk(url: str, script: Path, seconds: int, process: int) -> tuple[str, list[float]]:
    """Run wrk and return its output, with the server's resident memory in MB at each second."""
    wrk = shutil.which("wrk")
    assert wrk, "wrk is not installed"
    process_of_wrk = subprocess.Popen(
        [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url],
        stdout=subprocess.PIPE,
        text=True,
    )
    memory = []
    while process_of_wrk.poll() is None:
        memory.append(resident_mb(process))
        time.sleep(1)
    assert process_of_wrk.stdout is not None
    return process_of_wrk.stdout.read(), memory


def measure(world: World, seconds: int, markets: int) -> None:
    """Serve a full feed and print the results of each round."""
    world.scan("load")
    path = world.settings("load").feed_path
    small = orjson.loads(path.read_bytes())
    content = orjson.dumps(multiply_markets(small, markets))
    replace_file(path, content)
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_assets", "serve", "--port", "0"],
        env=world.environment("load"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        strategies, exchanges = small["stats"]["strategies"], sorted({s["exchange"] for s in small["signals"]})
        tables = [f"/api/results?limit=100&strategy={strategy}" for strategy in strategies]
        tables += [f"/api/results?limit=100&exchange={exchange}" for exchange in exchanges]
        named = list(dict.fromkeys((s["exchange"], s["symbol"]) for s in small["signals"]))[:50]
        charts = [f"/api/signals/{exchange}/{quote(symbol)}" for exchange, symbol in named]
        etags = [requests.get(url + table, timeout=30).headers["etag"].replace('"', '\\"') for table in tables]
        size = len(requests.get(url + tables[0], timeout=30).content)
        print(f"feed {len(content) / 1e6:.1f} MB, {markets * 3} signals; a table of 100 is {size / 1e3:.0f} kB plain")
        for title, length, delay in (
            ("about 200 per second", seconds, f"function delay() return {REQUEST_DELAY_MS} end"),
            ("without a limit", max(seconds // 4, 5), ""),
        ):
            script = world.folder / "load.lua"
            script.write_text(
                SCRIPT.format(tables=lua(tables), charts=lua(charts), etags=lua(etags), delay=delay), encoding="utf-8"
            )
            output, memory = run_wrk(url, script, length, process.pid)
            print(f"\n== {title}, {length} s ==\n{output}")
            samples = ", ".join(
                f"{memory[at]:.0f} MB after {at} s" for at in range(0, len(memory), max(length // 6, 1))
            )
            print(f"resident: {samples}")
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--markets", type=int, default=1100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, small_world(Path(folder), markets=73) as world:
        measure(world, given.seconds, given.markets)


if __name__ == "__main__":
    main()
