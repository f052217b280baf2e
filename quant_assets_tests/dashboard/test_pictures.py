"""The screenshots of the documentation: each is taken, and small enough for the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from quant_assets_tests.dashboard.pictures import DOCS, MAX_BYTES, PICTURES, Picture, take
from quant_assets_tests.dashboard.serving import Site

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_each_screenshot_is_taken_and_small(
    browser: Browser, setups_site: Site, tmp_path: Path, picture: Picture
) -> None:
    size = take(browser, setups_site, picture, tmp_path)
    assert (tmp_path / picture.name).read_bytes().startswith(PNG)
    assert size <= MAX_BYTES
    assert (DOCS / picture.name).stat().st_size <= MAX_BYTES
