"""`move` copies a data folder to an object store and a database, and back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import orjson
import pandas as pd
import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import LOOPBACK_ORIGIN, Settings
from quant_assets.common.windows import WINDOW_LENGTH
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import DerivativesStore, Fetched
from quant_assets.storage.documents import Document
from quant_assets.storage.lake import Lake, compress_document
from quant_assets.storage.origins import record_origin, recorded_origins
from quant_assets_tests.defs.postgresql import DATABASE_PASSWORD
from quant_assets_tests.feed.test_publish import WINDOW, feed_of
from quant_assets_tests.forking import run
from quant_assets_tests.s3 import BUCKET, S3, SECRET, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as running:
        yield running


@pytest.fixture
def env(server: S3, database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment of a machine with the three URLs."""
    prefix = f"s3://{BUCKET}/{request.node.name.partition('[')[0]}"
    return {
        **os.environ,
        **server.environment,
        "QUANT_DATA_DIR": str(tmp_path / "data"),
        "QUANT_LAKE_URL": f"{prefix}/lake",
        "QUANT_FEED_URL": f"{prefix}/master_feed.json",
        "QUANT_DATABASE_URL": database_url,
    }


def fetched(symbol: str, start: int, value: float) -> Fetched:
    bars = {symbol: [(start, value, value)]}
    return Fetched("liquidations", (symbol, "NONE"), bars, start, start + 1000, (start + 1000) * 1000, simulated=True)


@pytest.fixture
def folder(env: dict[str, str]) -> Settings:
    """Return the settings of a data folder with a little of everything."""
    settings = Settings(data_dir=Path(env["QUANT_DATA_DIR"]), origin=LOOPBACK_ORIGIN)
    record_origin(settings, "coinalyze", LOOPBACK_ORIGIN)
    lake = Lake(settings.lake_dir)
    lake.write(["candles"], None, pd.DataFrame({"close": [1.0]}))
    lake.write(["features"], WINDOW.key, pd.DataFrame({"x": [1, 2]}))
    lake.write_document(["master_feed"], WINDOW.key, compress_document(feed_of(WINDOW).content))
    Document.at(settings.feed_path).write(feed_of(WINDOW).content)
    with closing(DerivativesStore(settings.store_path)) as store:
        store.add(fetched("A", 1000, 1.0))
        store.save_report(WINDOW.key, "{}")
    return settings


def contents(lake: Lake) -> dict[str, bytes | None]:
    return {stored.name: lake.objects.get(stored.name) for stored in lake.objects.listing()}


def rows_of(place: Path | DatabaseServer) -> list[object]:
    with closing(DerivativesStore(place, read_only=True)) as store:
        return [
            [store.bars(dataset, ["A", "B"], 0, 10_000) for dataset in DATASETS],
            [store.known_through("liquidations", ["A", "B", "NONE"], start) for start in (1000, 1500, 5000)],
            store.served_symbols("liquidations"),
            store.load_report(WINDOW.key),
            store.simulated,
        ]


def command(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, env=env, cwd=Path(env["QUANT_DATA_DIR"]).parent)


def moved(env: dict[str, str], to: str) -> dict[str, object]:
    done = command(env, "move", "--to", to, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, object] = orjson.loads(done.stdout)
    return found


@pytest.fixture
def _aws(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_aws")
def test_folder_is_moved_to_the_urls_and_back_without_loss(
    env: dict[str, str], folder: Settings, tmp_path: Path
) -> None:
    before = contents(Lake(folder.lake_dir))
    first = moved(env, "urls")
    assert (first["objects"], first["present"], first["feed"]) == (3, 0, "published")
    database = DatabaseServer(env["QUANT_DATABASE_URL"])
    assert contents(Lake(env["QUANT_LAKE_URL"])) == before
    assert rows_of(database) == rows_of(folder.store_path)
    assert Document.at(env["QUANT_FEED_URL"]).read() == feed_of(WINDOW).content
    assert recorded_origins(Settings(database_url=database.url)) == {"coinalyze": LOOPBACK_ORIGIN}
    back = {**env, "QUANT_DATA_DIR": str(tmp_path / "back")}
    assert moved(back, "folder")["objects"] == 3
    returned = folder.model_copy(update={"data_dir": tmp_path / "back"})
    assert contents(Lake(returned.lake_dir)) == before
    assert rows_of(returned.store_path) == rows_of(folder.store_path)
    assert returned.feed_path.read_bytes() == feed_of(WINDOW).content
    assert recorded_origins(returned) == {"coinalyze": LOOPBACK_ORIGIN}


@pytest.mark.usefixtures("_aws")
def test_move_that_was_broken_off_goes_on(env: dict[str, str], folder: Settings, server: S3) -> None:
    server.refuses = lambda method, path, query: method == "PUT" and path.endswith("candles.parquet")
    done = command(env, "move", "--to", "urls")
    server.refuses = lambda *_: False
    assert done.returncode == 1
    assert "candles.parquet cannot be written" in done.stderr
    assert SECRET not in done.stderr + done.stdout
    # Meanwhile the folder is used.
    later = Lake(folder.lake_dir)
    later.write(["candles"], None, pd.DataFrame({"close": [2.0]}))
    with closing(DerivativesStore(folder.store_path)) as store:
        store.add(fetched("A", 2000, 2.0))
    second = moved(env, "urls")
    assert (second["objects"], second["present"]) == (1, 2)
    assert contents(Lake(env["QUANT_LAKE_URL"])) == contents(later)
    assert rows_of(DatabaseServer(env["QUANT_DATABASE_URL"])) == rows_of(folder.store_path)
    assert moved(env, "urls")["objects"] == 0


@pytest.mark.usefixtures("_aws")
def test_rows_of_both_sides_are_kept(env: dict[str, str], folder: Settings) -> None:
    with closing(DerivativesStore(DatabaseServer(env["QUANT_DATABASE_URL"]))) as store:
        store.add(fetched("A", 1000, 7.0))
        store.add(fetched("A", 1500, 8.0))
        store.add(fetched("B", 5000, 9.0))
    moved(env, "urls")
    with closing(DerivativesStore(DatabaseServer(env["QUANT_DATABASE_URL"]))) as store:
        assert store.bars("liquidations", ["A", "B"], 0, 9000) == [
            ("A", 1000, 7.0, 7.0),
            ("A", 1500, 8.0, 8.0),
            ("B", 5000, 9.0, 9.0),
        ]
        assert store.known_through("liquidations", ["A", "B"], 1000) == {"A": 2500}
        assert store.load_report(WINDOW.key) == "{}"


@pytest.mark.usefixtures("_aws")
def test_newer_tables_of_the_target_are_not_replaced(env: dict[str, str], folder: Settings) -> None:
    newer = Lake(env["QUANT_LAKE_URL"])
    newer.write(["candles"], None, pd.DataFrame({"close": [3.0]}))
    os.utime(folder.lake_dir / "candles.parquet", (1_000_000, 1_000_000))
    before = contents(newer)
    done = command(env, "move", "--to", "urls")
    assert done.returncode == 2
    assert "1 tables of the target are newer than those of the source (candles.parquet)" in done.stderr
    assert contents(newer) == before


@pytest.mark.usefixtures("_aws")
def test_newer_feed_of_the_target_is_kept(env: dict[str, str], folder: Settings) -> None:
    newer = feed_of(type(WINDOW)(WINDOW.end + WINDOW_LENGTH)).content
    Document.at(env["QUANT_FEED_URL"]).write(newer)
    assert moved(env, "urls")["feed"] == "newer_window"
    assert Document.at(env["QUANT_FEED_URL"]).read() == newer


def test_data_of_another_origin_are_not_mixed(env: dict[str, str], folder: Settings) -> None:
    record_origin(Settings(database_url=env["QUANT_DATABASE_URL"]), "coinalyze", "api.coinalyze.net")
    done = command(env, "move", "--to", "urls")
    assert done.returncode == 2
    assert "the target has data of coinalyze from api.coinalyze.net, the source from loopback" in done.stderr


def test_move_without_urls_says_what_to_set(tmp_path: Path) -> None:
    done = command({**os.environ, "QUANT_DATA_DIR": str(tmp_path / "data")}, "move", "--to", "urls")
    assert done.returncode == 2
    assert "set QUANT_LAKE_URL, QUANT_DATABASE_URL or QUANT_FEED_URL" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", ["scan .", "replay --from x --to y", "move --to urls", "serve"])
def test_wrong_password_exits_with_2_and_is_in_no_message(
    env: dict[str, str], folder: Settings, arguments: str
) -> None:
    wrong = {**env, "QUANT_DATABASE_URL": env["QUANT_DATABASE_URL"].replace(DATABASE_PASSWORD, f"{DATABASE_PASSWORD}x")}
    done = command(wrong, *arguments.split())
    assert done.returncode == 2
    assert "check QUANT_DATABASE_URL" in done.stderr
    assert DATABASE_PASSWORD not in done.stdout + done.stderr
