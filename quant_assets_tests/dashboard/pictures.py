"""Take the screenshots of the dashboard for the documentation.

    python -m quant_assets_tests.dashboard.pictures [FOLDER]

Scans the demo's simulated market in a temporary folder, serves it, and takes screenshots with Chromium, which Debian
has as a package. The market is seeded, so that pictures differ only by the time of day.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from playwright.sync_api import Browser

from quant_assets.dashboard.rows import row_id
from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS, Json, Site, serving
from quant_assets_tests.programs import chromium
from quant_assets_tests.world import small_world

DOCS: Final = Path(__file__).parents[2] / "docs"
DEMO_MARKETS: Final = 73
MAX_BYTES: Final = 300_000


@dataclass(frozen=True)
class Picture:
    """One screenshot: file name, size in CSS pixels, colour scheme, whether a row is open, and scale."""

    name: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    has_open_row: bool = False
    scale: float = 1.0


PICTURES: Final = (
    Picture("dashboard.png", 1440, 900),
    Picture("dashboard_dark.png", 1440, 900, "dark"),
    Picture("dashboard_detail.png", 1280, 1180, has_open_row=True),
    Picture("dashboard_phone.png", 390, 760, scale=1.5),
)


def best_row(feed: Json) -> str:
    """Return the id of the row that shows most: preferably a breakout with its broken line and a conflict."""
    signals = feed["signals"]
    best = max(signals, key=lambda s: ("trendline" in (s["setup"] or {}), s["conflict"] is not None, s["score"]))
    return row_id(best)


def take(browser: Browser, site: Site, picture: Picture, folder: Path) -> int:
    """Take one picture and return its size in bytes."""
    row = best_row(site.feed)
    with browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme=picture.scheme,
        device_scale_factor=picture.scale,
    ) as context:
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        page = context.new_page()
        page.goto(site.url + (f"/?open={quote(row)}" if picture.has_open_row else "/"))
        page.wait_for_selector("html[data-ready]")
        page.wait_for_selector("[data-live=on]")
        if picture.has_open_row:
            page.wait_for_selector("#detail[data-drawn]")
        return len(page.screenshot(path=folder / picture.name, animations="disabled"))


def main() -> None:
    """Read the arguments, take every picture, and fail if one is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS)
    target: Path = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as folder, small_world(Path(folder), markets=DEMO_MARKETS) as world:
        world.scan("pictures")
        with serving(world.settings("pictures")) as site, chromium() as browser:
            sizes = {picture.name: take(browser, site, picture, target) for picture in PICTURES}
    for name, size in sizes.items():
        print(f"{target / name}: {size / 1000:.0f} kB")
    large = [name for name, size in sizes.items() if size > MAX_BYTES]
    if large:
        raise SystemExit(f"{', '.join(large)}: larger than {MAX_BYTES / 1000:.0f} kB; take a smaller window")


if __name__ == "__main__":
    main()
