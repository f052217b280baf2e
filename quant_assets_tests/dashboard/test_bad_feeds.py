"""Feeds that cannot be shown: page and API explain the error."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from quant_assets.common.settings import Settings
from quant_assets_tests.dashboard.serving import Site, copy_data, serving

BAD = {
    "missing": (None, "no feed yet"),
    "empty": (b"", "empty file"),
    "half_written": (b'{"signals": [{"symbol": "BTC', "not valid JSON"),
    "bare_list": (b'[{"symbol": "BTCUSDT"}, {}]', "bare list of 2 signals"),
    "other_schema": (b'{"schema_version": "0.9", "signals": []}', "'0.9'"),
    "no_schema": (b'{"signals": []}', "no schema version"),
    "no_object": (b'"feed"', "no schema version"),
    "invalid": (b'{"schema_version": "1.0", "signals": [{}]}', "does not match its schema"),
    "not_text": (b"\xff\xfe\x00", "not valid JSON"),
}


@pytest.fixture(scope="module")
def changing_site(scanned: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard for a copy of the data; each test writes another feed."""
    with serving(copy_data(scanned, tmp_path_factory.mktemp("changing") / "data")) as site:
        yield site


@pytest.mark.parametrize("kind", BAD)
def test_api_explains_why_a_feed_cannot_be_shown(changing_site: Site, kind: str) -> None:
    content, says = BAD[kind]
    _put(changing_site, content)
    for path in ("/api/results", "/api/results?limit=1", "/api/signals/BINANCE/BTCUSDT", "/rows"):
        answer = changing_site.get(path)
        assert answer.status_code == 503
        if path.startswith("/api"):
            assert says in answer.json()["error"]["message"]
            assert answer.json()["error"]["code"] == {"no_schema": "other_schema", "no_object": "other_schema"}.get(
                kind, "half_written" if kind == "not_text" else kind
            )
    health = changing_site.get("/api/health")
    assert health.status_code == 503
    assert health.json()["status"] == "unavailable"
    assert says in health.json()["problem"]["message"]


@pytest.mark.parametrize("kind", BAD)
def test_page_explains_why_a_feed_cannot_be_shown(changing_site: Site, kind: str) -> None:
    content, says = BAD[kind]
    _put(changing_site, content)
    answer = changing_site.get("/")
    assert answer.status_code == 503
    assert "The feed cannot be shown" in answer.text
    assert says.replace("'", "&#39;") in answer.text


def test_valid_feed_after_an_invalid_one_is_shown(own_site: Site) -> None:
    good = own_site.settings.feed_path.read_bytes()
    _put(own_site, b"")
    assert own_site.get("/api/results").status_code == 503
    own_site.write(good)
    assert own_site.get("/api/results").content == good


@pytest.mark.parametrize(
    "change",
    [{"window": "2026-01-19-12:31"}, {"as_of": "2026-13-01T00:00:00Z"}, {"last_updated": 10**17}, {"last_updated": -1}],
    ids=repr,
)
def test_feed_with_an_impossible_time_is_invalid(own_site: Site, change: dict[str, object]) -> None:
    own_site.write(orjson.dumps({**own_site.feed, **change}))
    for path in ("/", "/rows", "/api/results", "/api/health"):
        assert own_site.get(path).status_code == 503
    assert own_site.get("/api/results").json()["error"]["code"] == "invalid"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_pipe_or_folder_in_place_of_the_feed_is_an_error(own_site: Site, make: Callable[[Path], None]) -> None:
    path = own_site.settings.feed_path
    good = path.read_bytes()
    path.unlink()
    make(path)
    answer = own_site.get("/api/results")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unreadable")
    path.rmdir() if path.is_dir() else path.unlink()
    own_site.write(good)
    assert own_site.get("/api/results").content == good


def test_older_windows_are_shown_if_the_newest_feed_is_invalid(own_site: Site) -> None:
    window = own_site.get("/api/windows").json()["windows"][0]["window"]
    _put(own_site, b"[]")
    assert own_site.get("/api/results", params={"window": window}).json()["window"] == window
    assert own_site.get("/", params={"window": window}).status_code == 200


def test_damaged_or_misplaced_window_is_an_error(own_site: Site) -> None:
    folder = own_site.settings.lake_dir / "master_feed"
    newest, older = sorted(folder.glob("*.json.gz"), reverse=True)
    keys = [entry["window"] for entry in own_site.get("/api/windows").json()["windows"]]
    older.write_bytes(newest.read_bytes())
    answer = own_site.get("/api/results", params={"window": keys[1]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "invalid")
    older.write_bytes(newest.read_bytes()[:400])
    assert own_site.get("/api/results", params={"window": keys[1]}).json()["error"]["code"] == "half_written"
    older.write_bytes(gzip.compress(b"{"))
    assert own_site.get("/api/results", params={"window": keys[1]}).json()["error"]["code"] == "half_written"


def test_only_the_page_of_the_newest_feed_reloads(own_site: Site) -> None:
    window = own_site.get("/api/windows").json()["windows"][1]["window"]
    stored = min((own_site.settings.lake_dir / "master_feed").glob("*.json.gz"))
    stored.write_bytes(stored.read_bytes()[:400])
    (own_site.settings.lake_dir / "trades.parquet").write_bytes(b"not a table")
    for address, heading in ((f"/?window={window}", "This window"), ("/record", "The record")):
        answer = own_site.get(address)
        assert answer.status_code == 503
        assert f"<h1>{heading} cannot be shown</h1>" in answer.text
        assert "reload.js" not in answer.text
        assert "as soon as" not in answer.text
    _put(own_site, None)
    answer = own_site.get("/")
    assert "<h1>The feed cannot be shown</h1>" in answer.text
    assert "reload.js" in answer.text


def test_feed_without_signals_is_an_empty_table(own_site: Site) -> None:
    feed = own_site.feed
    feed["signals"] = []
    feed["stats"].update(markets=0, signals=0, strategies=[])
    feed["stats"]["actions"] = dict.fromkeys(feed["stats"]["actions"], 0)
    feed["stats"]["resolution"] = dict.fromkeys(feed["stats"]["resolution"], 0)
    own_site.write(orjson.dumps(feed))
    assert own_site.get("/api/results").json()["signals"] == []
    assert "No signal passes" in own_site.get("/").text
    assert own_site.get("/api/health").json()["coverage"]["served_share"] is None


def test_charts_are_empty_if_lake_and_store_are_damaged(own_site: Site) -> None:
    signal = own_site.feed["signals"][0]
    address = f"/api/signals/{signal['exchange']}/{signal['symbol']}"
    assert own_site.get(address).json()["candles"]["4h"]["time"] != []
    (own_site.settings.lake_dir / "candles.parquet").write_bytes(b"not a table")
    store = own_site.settings.store_dir / "derivatives.sqlite"
    for left in store.parent.glob("derivatives.sqlite*"):
        left.unlink()
    store.write_bytes(b"not a database, but long enough to be opened as one" * 100)
    data = own_site.get(address).json()
    assert data["candles"]["4h"]["time"] == data["open_interest"]["time"] == data["liquidations"]["time"] == []
    assert data["signals"][0] == signal
    for line in data["lines"]:
        assert [line["solid"]["time"][0], line["solid"]["time"][-1]] == [pivot["time"] for pivot in line["pivots"]]
    assert own_site.get(f"/detail/{signal['exchange']}/{signal['symbol']}").status_code == 200


def test_empty_data_folder_is_served_and_stays_empty(own_site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = own_site.settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("nothing")})
    with serving(empty, clock=own_site.app.state.context.clock) as bare:
        assert bare.get("/").status_code == 503
        assert bare.get("/api/windows").json() == {"windows": []}
        assert bare.get("/api/health").json()["problem"]["code"] == "missing"
        assert list(empty.data_dir.iterdir()) == [], "the dashboard must not write"


def _put(site: Site, content: bytes | None) -> None:
    if content is None:
        site.settings.feed_path.unlink(missing_ok=True)
    else:
        site.write(content)
