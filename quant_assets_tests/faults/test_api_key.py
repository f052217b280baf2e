"""A key rejected during a refresh stops it at once, and no key is ever shown."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path

import orjson
import pytest

from quant_assets.providers.coinalyze import ProviderError
from quant_assets_tests.faults.conftest import Stored, Sweep
from quant_assets_tests.faults.faulty_responses import FAULTY_RESPONSES
from quant_assets_tests.faults.proxy import FaultyProxy, ProxiedRequest
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.faults.test_api_connections import CALLS, REQUESTS
from quant_assets_tests.forking import run
from quant_assets_tests.providers.coinalyze.scripted import Canned
from quant_assets_tests.world import World

SECRET = "k3y-0f-th3-f4ult-t3sts/+=&"


@pytest.mark.parametrize("status", [401, 403])
def test_key_rejected_during_a_refresh_stops_it_and_keeps_fetched_data(
    sweep: Sweep, clean: Stored, status: int
) -> None:
    last = seeded_random(f"refused {status}").randrange(1, REQUESTS)
    sweep.proxy.alter = lambda request, answer: Canned(status, b"{}") if request.number >= last else answer
    _, report = sweep.refresh()
    assert (report.stopped, len(sweep.proxy.requests), report.retries) == ("key_refused", last + 1, 0)
    had = sweep.proxy.requests[:last]
    sweep.proxy.alter = lambda _, answer: answer
    sweep.proxy.requests.clear()
    sweep.refresh()
    assert sweep.proxy.calls == CALLS - sum(len(request.symbols) for request in had)
    assert sweep.stored() == clean


def test_scan_whose_key_is_rejected_midway_writes_its_feed_and_exits_3(world: World, tmp_path: Path) -> None:
    def refuse(request: ProxiedRequest, answer: Canned) -> Canned:
        # Two lists and two history requests succeed.
        return Canned(401, b'{"message": "Invalid or missing API key"}') if request.number >= 4 else answer

    with FaultyProxy(world.emulator, refuse) as proxy:
        environment = {**world.environment("refused_midway"), "COINALYZE_BASE_URL": proxy.url}
        done = run("scan", str(world.candles), "--json", env=environment, cwd=tmp_path)
    assert done.returncode == 3
    assert len(proxy.requests) == 5
    assert "key was refused" in done.stderr
    summary = orjson.loads(done.stdout)
    feed = orjson.loads(Path(summary["feed"]).read_bytes())
    assert len(feed["signals"]) == summary["markets"] * 3 > 0
    assert summary["resolution"]["resolved"] > 0
    fetched = set(proxy.requests[2].symbols + proxy.requests[3].symbols)
    shown = {s["oi_metadata"]["coinalyze_symbol"] for s in feed["signals"] if s["oi_metadata"]["value"] is not None}
    assert shown
    assert shown <= fetched


def _forms(secret: str) -> list[str]:
    return [secret, json.dumps(secret)[1:-1]]


#: All of them in the long form.
SOME = seeded_random("leaks").sample(list(FAULTY_RESPONSES), rounds(6, len(FAULTY_RESPONSES)))


@pytest.mark.parametrize(
    "kind", [*SOME, "400", "401", "302", "a day's pause", "key repeated with 400", "key repeated with 200"]
)
def test_key_is_in_no_exception_log_report_or_file(
    sweep: Sweep, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    others = {
        "400": Canned(400, b"{}"),
        "401": Canned(401, b"{}"),
        "302": Canned(302, b"", {"Location": "https://coinalyze.invalid/?api_key="}),
        "a day's pause": Canned(429, b"{}", {"Retry-After": "86400"}),
        "key repeated with 400": Canned(400, orjson.dumps({"message": f"unknown key {SECRET}"})),
        "key repeated with 200": Canned(200, orjson.dumps({"message": f"welcome {SECRET}"}), {"X-Key": SECRET}),
    }
    caplog.set_level(logging.DEBUG)
    sweep.provider.emulator.key = SECRET
    sweep.proxy.alter = lambda _, answer: FAULTY_RESPONSES[kind](answer) if kind in FAULTY_RESPONSES else others[kind]
    client = sweep.client(SECRET, max_attempts=2, read_timeout_seconds=0.2)
    _, report = sweep.refresh(client=client)
    now = int(sweep.provider.clock.seconds())
    symbols = sorted(sweep.provider.emulator.universe.listings)[:2]
    limits = {"interval": "15min", "start": now - 9000, "end": now, "deadline": now + 300.0}
    with pytest.raises(ProviderError) as caught:
        client.history("open-interest-history", symbols, **limits)  # type: ignore[arg-type]
    sweep.provider.store().save_report("2026-01-19-17:30", orjson.dumps(report.as_dict()).decode())
    shown = [repr(client), repr(vars(client)), repr(report), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [repr(error), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for form in _forms(SECRET):
        assert not any(form in text for text in shown)
        assert not any(form.encode() in content for content in kept)
