"""The emulator as a program: it tells its address, and ends when it is interrupted."""

from __future__ import annotations

import pytest
import requests

from quant_assets.emulator import run_emulator


def test_it_tells_its_address_and_ends_on_an_interrupt():
    asked = []

    def ask_and_interrupt(url):
        asked.append(requests.get(url + "/exchanges", headers={"api_key": "mine"}, timeout=5).status_code)
        raise KeyboardInterrupt

    run_emulator(key="mine", on_ready=ask_and_interrupt)
    assert asked == [200]


def test_a_folder_that_is_not_there_is_said_before_anything_is_served(tmp_path):
    with pytest.raises(FileNotFoundError):
        run_emulator(candles=tmp_path / "nowhere")
