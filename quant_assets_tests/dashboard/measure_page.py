"""How soon the page of a full feed is on screen, and how fast it sorts and filters, in Chromium.

    python -m quant_assets_tests.dashboard.measure_page [--visits 5] [--markets 1100]

Scans a small simulated market, multiplies it to a full feed, serves it in a process of its own, and visits it. The
first visit is that of a browser just started. Moments are counted from the request by the browser's own performance
timeline; a deed is over when the table is laid out anew. Needs Chromium, which Debian has as a package.
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
from quant_assets_tests.dashboard.serving import enlarged
from quant_assets_tests.programs import chromium
from quant_assets_tests.world import World, small_world

_INPUT = "dispatchEvent(new Event('input', {bubbles: true}))"
DEEDS = {
    "sort by market": "document.querySelector('th[data-sort=market] a').click()",
    "sort by funding": "document.querySelector('th[data-sort=funding] a').click()",
    "search": f"const q = document.querySelector('[name=q]'); q.value = 'btc'; q.{_INPUT}",
    "clear the search": f"const q = document.querySelector('[name=q]'); q.value = ''; q.{_INPUT}",
    "filter by action": "document.querySelector('[name=action][value=WAIT]').click()",
    "filter by strategy": f"const s = document.querySelector('[name=strategy]'); s.selectedIndex = 1; s.{_INPUT}",
}
#: The page marks itself once the script has every row; the moment of that is kept.
STAMP = """new MutationObserver(() => {
  if (document.documentElement.dataset.ready) globalThis.atHand ??= performance.now();
}).observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});"""


def visit(browser: Browser, url: str) -> dict[str, float]:
    """Open the page in a window without a past and return what each thing took, in milliseconds."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.add_init_script(STAMP)
        page.goto(url)
        page.wait_for_function("globalThis.atHand && performance.getEntriesByName('first-contentful-paint').length")
        taken = {
            "first paint": page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
            "all rows at hand": page.evaluate("atHand"),
        }
        for name, deed in DEEDS.items():
            timed = f"const at = performance.now(); {deed}; document.body.offsetHeight; return performance.now() - at"
            taken[name] = page.evaluate(f"() => {{ {timed}; }}")
        return taken


def measure(world: World, visits: int, markets: int) -> None:
    """Serve a full feed and print what each visit came to."""
    world.scan("page")
    path = world.settings("page").feed_path
    content = orjson.dumps(enlarged(orjson.loads(path.read_bytes()), markets))
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
            taken = [visit(browser, url) for _ in range(visits)]
        for name in taken[0]:
            print(f"{name:>20}: " + " ".join(f"{one[name]:6.0f}" for one in taken))
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
