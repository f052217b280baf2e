"""Find the system programs that some tests need.

Without a program its tests are skipped, or fail if the variable QUANT_TESTS_REQUIRE names it, as in .ci/run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM_SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def require(program: str, path: str | None) -> str:
    """Return the path of a program; skip the test if there is none, or fail it if the program is required."""
    if path is None:
        message = f"{program} is not installed"
        if program in os.environ.get("QUANT_TESTS_REQUIRE", "").split(","):
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open Debian's Chromium, headless. A process can have only one at a time, and no asyncio loop."""
    path = require("chromium", shutil.which("chromium"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


def postgresql_programs() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest installed version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return Path(require("postgresql", str(found[-1]) if found else None)).parent
