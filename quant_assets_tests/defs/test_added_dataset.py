"""A dataset that an installed package adds by one registry entry, from its request to the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pandas as pd
import pytest
import requests
from playwright.sync_api import Browser

from quant_assets.storage.lake import Lake
from quant_assets_tests import forking
from quant_assets_tests.added_dataset import DATASET, NEUTRAL_POINTS, install, install_added_dataset
from quant_assets_tests.prepared import Prepared, prepared
from quant_assets_tests.servers import running
from quant_assets_tests.world import World, small_world

pytestmark = pytest.mark.system

ENDPOINT = "/predicted-funding-rate-history"
COLUMNS = (
    "import json, sys\n"
    "from quant_assets.common.settings import Settings\n"
    "from quant_assets.definitions import build_definitions\n"
    "from quant_assets.derivatives.policy import RefreshPolicy\n"
    "specs = build_definitions(Settings()).resolve_all_asset_specs()\n"
    "schema = 'dagster/column_schema'\n"
    "found = {s.key.to_user_string(): {c.name: c.type for c in s.metadata[schema].schema.columns}\n"
    "         for s in specs if schema in s.metadata}\n"
    "upstream = {s.key.to_user_string(): [d.asset_key.to_user_string() for d in s.deps] for s in specs}\n"
    "json.dump([found, upstream, RefreshPolicy().predicted_funding_rate_minutes], sys.stdout)\n"
)


@dataclass
class Scanned:
    """A world that was scanned without the added dataset, and then with it."""

    world: World
    env: dict[str, str]
    prepared: Prepared
    #: The address of a dashboard with the added dataset.
    origin: str
    calls_before: int
    calls: int
    symbols: int
    stderr: str

    @property
    def feed(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.world.folder / "data" / "master_feed.json").read_bytes())
        return found

    def table(self, name: str) -> pd.DataFrame:
        """Return the window's table of an asset, from the lake."""
        found = Lake(self.world.settings().lake_dir).read([name], self.world.window.key)
        assert found is not None
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the environment with the added dataset."""
        return self.prepared.run(*arguments, env=self.env, cwd=self.world.folder)


def run(env: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    folder = tmp_path_factory.mktemp("added")
    plugins, repository = folder / "plugins", Path(__file__).parents[2]
    with small_world(folder, markets=12) as world:
        scan = ("scan", "candles", "--as-of", world.window.end.isoformat(), "--json")
        done = forking.run(*scan, env=world.environment(), cwd=folder)
        assert done.returncode == 0, done.stderr
        before = world.emulator.accounting.by_endpoint.get(ENDPOINT, 0)
        install_added_dataset(plugins)
        install(plugins, "broken_entry", "entry = 1 / 0", {"quant_assets.datasets": "entry"})
        env = {**world.environment(), "PYTHONPATH": f"{repository}:{plugins}"}
        before_calls = world.emulator.accounting.calls
        with prepared(env, folder) as process:
            done = process.run(*scan, env=env, cwd=folder)
            assert done.returncode == 0, done.stderr
            calls = world.emulator.accounting.calls - before_calls
            symbol_map = Lake(world.settings().lake_dir).read(["symbol_map"])
            assert symbol_map is not None
            symbols = symbol_map[f"{DATASET}_symbol"].replace("", None).nunique()
            with running("serve", env, folder) as (_, line):
                origin = next(word for word in line.split() if word.startswith("http"))
                yield Scanned(world, env, process, origin, before, calls, symbols, done.stderr)


def test_added_dataset_is_fetched_with_one_call_for_each_symbol(scanned: Scanned) -> None:
    assert scanned.calls_before == 0
    assert scanned.world.emulator.accounting.by_endpoint[ENDPOINT] >= 1
    assert scanned.symbols > 1
    assert scanned.calls == 2 * scanned.symbols  # of the two added datasets; all else was stored by the first scan


def test_added_dataset_is_in_the_plan_with_its_own_cadence(scanned: Scanned) -> None:
    plan = orjson.loads(scanned.run("plan", "candles", "--json").stdout)
    found = plan["datasets"][DATASET]
    assert (found["symbols"], found["known"]) == (scanned.symbols, scanned.symbols)
    policy = scanned.world.folder / "data" / "refresh.toml"
    policy.write_text("predicted_funding_rate_minutes = 1\n")
    done = scanned.run("plan", "candles")
    policy.unlink()
    assert done.returncode == 2
    assert "predicted_funding_rate_minutes" in done.stderr


def test_added_dataset_has_a_table_for_the_window(scanned: Scanned) -> None:
    table = scanned.table(DATASET)
    known = table[table["predicted_funding_rate_pct"].notna()]
    assert known["coinalyze_symbol"].nunique() == scanned.symbols
    assert (known["closed_at_ms"] <= scanned.world.window.end_ms).all()
    assert list(table.columns[-2:]) == ["closed_at_ms", "predicted_funding_rate_pct"]
    assert table["predicted_funding_rate_pct"].isna().any()


def test_feed_has_a_block_of_the_added_dataset_or_null(scanned: Scanned) -> None:
    table = scanned.table(DATASET).set_index(["exchange", "symbol"])
    blocks = {(s["exchange"], s["symbol"]): s["derivatives"][DATASET] for s in scanned.feed["signals"]}
    assert None in blocks.values()
    for market, block in blocks.items():
        row = table.loc[market]
        if pd.isna(row["predicted_funding_rate_pct"]):
            assert block is None
        else:
            age = (scanned.world.window.end_ms - row["closed_at_ms"]) / 1000
            assert block == {
                "value": row["predicted_funding_rate_pct"],
                "age_seconds": age,
                "provider": "coinalyze",
            }
    freshness = scanned.feed["stats"]["freshness"][DATASET]
    assert freshness["missing"] == sum(block is None for block in blocks.values())


def test_score_of_a_rule_follows_the_added_dataset(scanned: Scanned) -> None:
    signals = [s for s in scanned.feed["signals"] if s["strategy_name"] == "AgainstTheCrowd"]
    usable = [s for s in signals if s["details"]["reason"] == "never"]
    for signal in usable:
        block = signal["derivatives"][DATASET]
        expected = NEUTRAL_POINTS if block is None else NEUTRAL_POINTS - 100.0 * block["value"]
        assert signal["details"]["score_breakdown"]["crowd"] == pytest.approx(expected, abs=1e-6)
        assert signal["score"] == pytest.approx(expected + 0.5, abs=1e-6)  # 0.5 is neutral for the other dataset
    assert len({signal["score"] for signal in usable}) > 2


def test_dagster_shows_the_columns_of_the_added_dataset(scanned: Scanned) -> None:
    schemas, upstream, minutes = orjson.loads(run(scanned.env, scanned.world.folder, "-c", COLUMNS).stdout)
    assert schemas[DATASET]["predicted_funding_rate_pct"] == "float64"
    assert schemas["symbol_map"][f"{DATASET}_symbol"] == "str"
    added = [f"extra_predicted_funding_rate_{name}" for name in ("pct", "provider", "age_seconds")]
    assert [name for name in schemas["features"] if name.startswith("extra_predicted")] == added
    assert {name: str(kind) for name, kind in scanned.table("features").dtypes.items()} == schemas["features"]
    assert DATASET in upstream["features"]
    assert minutes == 30


def test_open_row_shows_value_and_chart_of_the_added_dataset(scanned: Scanned) -> None:
    table = scanned.table(DATASET).set_index(["exchange", "symbol"])
    signal = next(
        s
        for s in scanned.feed["signals"]
        if s["derivatives"][DATASET] is not None and table.loc[(s["exchange"], s["symbol"]), "status"] == "resolved"
    )
    path = f"{signal['exchange']}/{quote(signal['symbol'], safe='')}"
    value = signal["derivatives"][DATASET]["value"]
    series = requests.get(f"{scanned.origin}/api/signals/{path}", timeout=30).json()[DATASET]
    schemas = requests.get(f"{scanned.origin}/api/openapi.json", timeout=30).json()["components"]["schemas"]
    page = requests.get(f"{scanned.origin}/detail/{path}", timeout=30).text
    assert series["value"][-1] == value
    assert len(series["time"]) == len(series["value"]) > 90
    assert (series["status"], series["age_seconds"]) == ("resolved", 0.0)
    assert set(schemas["PredictedFundingRateSeries"]["properties"]) == set(series)
    assert "Predicted funding" in page
    assert f"{value:+.4f} %".replace("-", "\N{MINUS SIGN}") in page
    assert f'data-dataset="{DATASET}"' in page


def test_open_row_draws_the_chart_of_the_added_dataset(scanned: Scanned, browser: Browser) -> None:
    signal = next(s for s in scanned.feed["signals"] if s["derivatives"][DATASET] is not None)
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(f"{scanned.origin}/?open={quote(name, safe='')}")
        page.wait_for_function("name => document.querySelector('#detail').dataset.drawn === name", arg=name)
        traces = page.evaluate(
            "() => document.querySelector('[data-plot=dataset]').data.map(t => [t.name, t.y.at(-1)])"
        )
    assert traces == [["Predicted funding", signal["derivatives"][DATASET]["value"]]]


def test_broken_entry_is_named_and_costs_only_itself(scanned: Scanned) -> None:
    assert "plugin broken_entry (broken_entry:entry) cannot be loaded: ZeroDivisionError" in scanned.stderr
    assert "predicted_funding " not in scanned.stderr


def test_failing_function_of_an_entry_empties_only_its_own_table(scanned: Scanned) -> None:
    table = scanned.table("unreadable")
    assert table["unreadable_level"].isna().all()
    assert (table["unreadable_bars"] == 0).all()
    assert {s["derivatives"]["unreadable"] for s in scanned.feed["signals"]} == {None}
    assert scanned.table("features")["extra_unreadable_unit"].isin(["BASE_ASSET", "QUOTE_ASSET", ""]).all()
    assert scanned.table("funding_rate")["funding_rate_pct"].notna().any()


def test_removed_dataset_leaves_the_others_and_its_feed_readable(scanned: Scanned) -> None:
    env = {**scanned.env, "PYTHONPATH": str(Path(__file__).parents[2])}
    with running("serve", env, scanned.world.folder) as (_, line):
        origin = next(word for word in line.split() if word.startswith("http"))
        feed = requests.get(f"{origin}/api/results", timeout=30)
    assert feed.status_code == 200
    plan = forking.run("plan", "candles", "--json", env=scanned.world.environment(), cwd=scanned.world.folder)
    assert DATASET not in orjson.loads(plan.stdout)["datasets"]
