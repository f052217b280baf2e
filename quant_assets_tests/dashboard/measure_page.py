"""Measure how fast the page of a full feed appears, sorts and filters in Chromium.

    python -m quant_assets_tests.dashboard.measure_page [--visits 5] [--markets 1100]

Scans a small simulated market, multiplies it to a full feed, serves it in a separate process, and visits it. The first
visit is with a cold browser. Times are from the browser's performance timeline, counted from the request; an action
ends when the table has its new layout. Needs Chromium, which Debian has as a package.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import requests
from playwright.sync_api import Browser

from quant_assets.common.files import replace_file
from quant_assets_tests.dashboard.serving import multiply_markets
from quant_assets_tests.programs import chromium
from quant_assets_tests.world import World, small_world

_INPUT = "dispatchEvent(new Event('input', {bubbles: true}))"
ACTIONS = {
    "sort by market": "document.querySelector('th[data-sort=market] a').click()",
    "sort by funding": "document.querySelector('th[data-sort=funding] a').click()",
    "search": f"const q = document.querySelector('[name=q]'); q.value = 'btc'; q.{_INPUT}",
    "clear the search": f"const q = document.querySelector('[name=q]'); q.value = ''; q.{_INPUT}",
    "filter by action": "document.querySelector('[name=action][value=WAIT]').click()",
    "filter by strategy": f"const s = document.querySelector('[name=strategy]'); s.selectedIndex = 1; s.{_INPUT}",
}
#: Records when the script has all rows and sets data-ready.
RECORD_READY = """new MutationObserver(() => {
  if (document.documentElement.dataset.ready) globalThis.readyAt ??= performance.now();
}).observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});"""


def visit(browser: Browser, url: str) -> dict[str, float]:
    """Open the page in a new context and return how long each step took, in milliseconds."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.add_init_script(RECORD_READY)
        page.goto(url)
        page.wait_for_function("globalThis.readyAt && performance.getEntriesByName('first-contentful-paint').length")
        times = {
            "first paint": page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
            "all rows ready": page.evaluate("readyAt"),
        }
        for name, action in ACTIONS.items():
            timed = f"const at = performance.now(); {action}; document.body.offsetHeight; return performance.now() - at"
            times[name] = page.evaluate(f"() => {{ {timed}; }}")
        return times


def measure(world: World, visits: int, markets: int) -> None:
    """Serve a full feed and print the times of each visit."""
    world.scan("page")
    path = world.settings("page").feed_path
    content = orjson.dumps(multiply_markets(orjson.loads(path.read_bytes()), markets))
    replace_file(path, content)
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_assets", "serve", "--port", "0"],
        env=world.environment("page"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        rows = requests.get(f"{url}/rows", timeout=60).json()["rows"]
        print(f"feed {len(content) / 1e6:.1f} MB, {len(rows)} rows; milliseconds at each of {visits} visits")
        with chromium() as browser:
            measured = [visit(browser, url) for _ in range(visits)]
        for name in measured[0]:
            print(f"{name:>20}: " + " ".join(f"{times[name]:6.0f}" for times in measured))
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--markets", type=int, default=1100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, small_world(Path(folder), markets=73) as world:
        measure(world, given.visits, given.markets)


if __name__ == "__main__":
    main()
