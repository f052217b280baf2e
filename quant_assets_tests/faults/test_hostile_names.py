"""Names from outside never become paths that leave their folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import dagster as dg
import orjson
import pandas as pd
import pytest

from quant_assets.common.settings import Settings, SettingsError
from quant_assets.definitions import build_definitions
from quant_assets.emulator import DEFAULT_KEY
from quant_assets.orchestration.instance import open_instance
from quant_assets.storage.lake import Lake, LakeError, compress_document
from quant_assets_tests.dashboard.serving import serving
from quant_assets_tests.providers.coinalyze.scripted import Canned, ScriptedServer
from quant_assets_tests.world import World, environment

HOSTILE = ("../../outside", "..", ".", "", "/outside", "a/b", "..\\..\\outside", "out\0side", "~/outside")
STRATEGY = """
from dataclasses import dataclass
from quant_assets.signals import Strategy, Verdict

@dataclass(frozen=True)
class Named(Strategy):
    name: str = "../../named"
    key: str = "named"
    description: str = "../../description"
    strategy_type: str = "../../type"
    parts: tuple[str, ...] = ("one",)

    def judge(self, features):
        return Verdict.of("NONE", {"one": 1.0}, "../../reason", None)

by_name, by_key = Named(), Named("Other", "../../key")
"""
RULES = """
[aliases]
"../../alias" = "../../outside"
"""


def tree(folder: Path) -> dict[str, str]:
    """Return the entries below a folder: the target of each link, the digest of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def outside(folder: Path, *allowed: Path) -> dict[str, str]:
    """Return the tree without the folders that may be written to."""
    names = tuple(str(path.relative_to(folder)) for path in allowed)
    found = tree(folder)
    return {name: what for name, what in found.items() if not name.startswith(names)}


@pytest.fixture
def hostile_folder(tmp_path: Path, world: World) -> Path:
    """Return a folder whose inner folder has hostile candle files and plugins; entries outside it can be detected."""
    inner = tmp_path / "a" / "b"
    candles = inner / "candles"
    candles.mkdir(parents=True)
    (tmp_path / "a" / "treasure.json").write_text("[]")
    sound = sorted(world.candles.glob("BINANCE_*_15m.json"))[0]
    names = ("BINANCE_.._15m.json", "..\\..\\x_BTCUSDT_15m.json", "%2e%2e%2f_..%2f..%2fx_15m.json", "x_~root_15m.json")
    for name in (sound.name, *names):
        (candles / name).write_bytes(sound.read_bytes())
        (candles / name.replace("_15m", "_4h")).write_bytes(
            (world.candles / sound.name.replace("_15m", "_4h")).read_bytes()
        )
    (candles / "OKX_LINKUSDT_15m.json").symlink_to(tmp_path / "a" / "treasure.json")
    (candles / "OKX_LINKUSDT_4h.json").symlink_to("/etc/hostname")
    plugins = inner / "plugins"
    info = plugins / "named-1.0.dist-info"
    info.mkdir(parents=True)
    (plugins / "named.py").write_text(STRATEGY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: named\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[quant_assets.strategies]\n../../first = named:by_name\nsecond = named:by_key\n"
    )
    (inner / "data").mkdir()
    (inner / "data" / "resolution.toml").write_text(RULES)
    return tmp_path


def test_scan_of_hostile_names_writes_only_below_its_data_folder(hostile_folder: Path, world: World) -> None:
    inner = hostile_folder / "a" / "b"
    (inner / "link.json").symlink_to(hostile_folder / "a" / "treasure.json")
    before = outside(hostile_folder, inner / "data", inner / "plugins")
    done = subprocess.run(
        [sys.executable, "-m", "quant_assets", "scan", "candles", "--json", "--output", "link.json"],
        env={
            **world.environment(),
            "QUANT_DATA_DIR": str(inner / "data"),
            "PYTHONPATH": f"{Path(__file__).parents[2]}:{inner / 'plugins'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(inner / "data"),
        },
        cwd=inner,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((inner / "link.json").read_bytes())
    assert "../../named" in feed["stats"]["strategies"]
    assert "has an invalid key '../../key'" in done.stderr
    assert set(feed["stats"]["skipped"]) >= {"OKX_LINKUSDT_15m.json", "OKX_LINKUSDT_4h.json"}
    after = outside(hostile_folder, inner / "data", inner / "plugins")
    assert after.pop("a/b/link.json") != before.pop("a/b/link.json")  # the link was replaced by the output file
    assert after == before


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_name_cannot_leave_the_lake(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b" / "lake"
    folder.mkdir(parents=True)
    lake = Lake(folder)
    table = pd.DataFrame({"value": [1.0]})
    for reach in (
        lambda: lake.write(["signals", name], "2026-01-19-16:45", table),
        lambda: lake.write([name], None, table),
        lambda: lake.write(["features"], name, table),
        lambda: lake.write_document(["master_feed"], name, compress_document(b"{}")),
        lambda: lake.read([name], name),
        lambda: lake.read_document(["master_feed"], name),
    ):
        with suppress(LakeError):
            reach()
    assert outside(tmp_path, folder) == {"a": "folder", "a/b": "folder"}


@pytest.mark.parametrize("key", ["../../../outside", "2026-01-19-16:45/../../x", "2026-01-19"])
def test_invalid_partition_key_writes_nothing(tmp_path: Path, world: World, key: str) -> None:
    settings = world.settings().model_copy(update={"data_dir": tmp_path / "a" / "data"})
    with environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(tmp_path / "a" / "data" / "dagster")):
        job = build_definitions(settings).resolve_job_def("analyse")
        # Dagster rejects some itself, before there is a run.
        with open_instance(settings) as instance, suppress(dg.DagsterError, ValueError):
            assert not job.execute_in_process(instance=instance, partition_key=key, raise_on_error=False).success
    assert not any(path.suffix in {".parquet", ".gz"} and "candle" not in path.name for path in tmp_path.rglob("*"))
    assert outside(tmp_path, settings.data_dir) == {"a": "folder"}


@pytest.mark.parametrize("address", ["https://../v1", "https://.../v1", "https://a..b/v1", "https://.a/v1"])
def test_host_that_is_no_valid_folder_name_is_rejected(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match="COINALYZE_BASE_URL is not an address"):
        Settings.from_environment({"COINALYZE_BASE_URL": address, "QUANT_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    "address", ["https://[2001:db8::1]:8443/v1", "https://api.coinalyze.net./v1", "http://[::1]:1"]
)
def test_store_folder_of_a_host_is_directly_below_the_store(tmp_path: Path, address: str) -> None:
    settings = Settings.from_environment({"COINALYZE_BASE_URL": address, "QUANT_DATA_DIR": str(tmp_path)})
    assert settings.store_dir.parent == tmp_path / "store"


def test_provider_symbols_cannot_leave_the_data_folder(tmp_path: Path, world: World) -> None:
    rows = [
        {
            "symbol": symbol,
            "exchange": "A",
            "symbol_on_exchange": "../../BTCUSDT",
            "base_asset": base,
            "quote_asset": "USDT",
            "is_perpetual": True,
            "margined": "STABLE",
            "expire_at": None,
            "oi_lq_vol_denominated_in": "BASE_ASSET",
            "has_long_short_ratio_data": True,
        }
        for base in ("BTC", "ETH", "../../x")
        for symbol in (f"../../{base}", f"{base}/../../../x")
    ]
    exchanges = [{"name": "../../Binance", "code": "../../A"}, {"name": "Binance", "code": "A"}]
    settings = world.settings().model_copy(update={"data_dir": tmp_path / "a" / "data"})
    with (
        ScriptedServer(Canned(body=orjson.dumps(exchanges)), Canned(body=orjson.dumps(rows)), Canned()) as server,
        environment(COINALYZE_API_KEY=DEFAULT_KEY, DAGSTER_HOME=str(settings.data_dir / "dagster")),
    ):
        settings = settings.model_copy(update={"base_url": server.url})
        definitions = build_definitions(settings)
        with open_instance(settings) as instance:
            for job, key in (("market_list", None), ("scan", world.window.key)):
                result = definitions.resolve_job_def(job).execute_in_process(instance=instance, partition_key=key)
                assert result.success
    assert any("%2F" in path for path in server.paths)
    assert outside(tmp_path, settings.data_dir) == {"a": "folder"}


def test_hostile_names_sent_to_the_dashboard_write_nothing(world: World) -> None:
    world.scanned("hostile")
    settings = world.settings("hostile")
    with serving(settings) as site:
        before = tree(settings.data_dir)
        for name in HOSTILE:
            for parameter in ("window", "strategy", "exchange", "symbol"):
                site.get("/api/results", params={parameter: name})
                site.get("/", params={parameter: name})
        after = tree(settings.data_dir)
    assert after == before
