"""The event stream: the present feed first, then each new one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import requests

from quant_assets_tests.dashboard.serving import TIMEOUT_SECONDS, Site


def events_of(answer: requests.Response) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield name and data of each event; fail if only heartbeats come until the timeout."""
    name = ""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        assert time.monotonic() < deadline, "no event came"
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, orjson.loads(line.removeprefix("data: "))


def listening(site: Site) -> requests.Response:
    return requests.get(f"{site.url}/api/events", stream=True, timeout=TIMEOUT_SECONDS)


def test_first_event_is_the_present_feed(site: Site) -> None:
    with listening(site) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name, data = next(events_of(answer))
    assert name == "feed"
    assert data["window"] == site.feed["window"]
    assert data["signals"] == len(site.feed["signals"])
    assert f'W/"{data["etag"]}"' == site.get("/api/results").headers["etag"]


def test_all_listeners_get_events_of_new_and_invalid_feeds(own_site: Site) -> None:
    feed = own_site.feed
    with listening(own_site) as first, listening(own_site) as second:
        streams = [events_of(first), events_of(second)]
        assert [next(stream)[0] for stream in streams] == ["feed", "feed"]
        own_site.write(orjson.dumps({**feed, "last_updated": feed["last_updated"] + 1}))
        for stream in streams:
            name, data = next(stream)
            assert (name, data["last_updated"]) == ("feed", feed["last_updated"] + 1)
        own_site.write(b"[]")
        for stream in streams:
            name, data = next(stream)
            assert (name, data["code"]) == ("problem", "bare_list")


def test_disconnected_listener_is_removed(own_site: Site) -> None:
    watcher = own_site.app.state.watcher
    with listening(own_site) as answer:
        stream = events_of(answer)
        next(stream)
        assert watcher.listeners == 1
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while watcher.listeners and time.monotonic() < deadline:
        own_site.write(orjson.dumps({**own_site.feed, "last_updated": own_site.feed["last_updated"] + 1}))
        own_site.get("/api/windows")
    assert watcher.listeners == 0


def test_too_many_listeners_get_503(own_site: Site) -> None:
    own_site.app.state.watcher.listeners = 100
    assert own_site.get("/api/events").status_code == 503
    own_site.app.state.watcher.listeners = 0
