"""The provider of docs/providers.md, installed as a package: from its market list to the page."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import orjson
import pandas as pd
import pytest
import requests

from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.storage.lake import Lake
from quant_assets_tests.added_dataset import install
from quant_assets_tests.faults.seeding import LONG
from quant_assets_tests.forking import run
from quant_assets_tests.prepared import prepared
from quant_assets_tests.providers.coinalyze.scripted import LoopbackServer
from quant_assets_tests.servers import running
from quant_assets_tests.world import World, small_world

pytestmark = pytest.mark.system

SERVED = ("open_interest", "long_short_ratio")
OTHERS = ("funding_rate", "liquidations")
CHOICE = "".join(f'{dataset} = "example"\n' for dataset in SERVED)
DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
CODE = DOCUMENT.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
FAILING = """
class Failing:
    name, label, url, symbols_per_request = "failing", "Failing", "https://example.com/", 5

    def origin(self, settings):
        return "loopback"

    def calls_per_minute(self, settings):
        return 60

    def has_key(self, settings, environment):
        return True

    def find_problem(self, dataset):
        return ""

    def connect(self, settings, budget, clock):
        raise RuntimeError("no client")
"""
LEAKING = """
import requests
from failing_provider import Failing


class Leaking(Failing):
    name, label = "leaking", "Leaking"

    def connect(self, settings, budget, clock):
        return LeakingClient(budget)


class LeakingClient:
    def __init__(self, budget):
        from quant_assets.providers.base import Usage
        self.usage, self.budget = Usage(), budget

    def market_list(self, *, deadline=None):
        return requests.get("http://127.0.0.1:9/v1/markets?api_key=s3cr3t", timeout=5).json()

    def close(self):
        pass
"""
BROKEN = """
class Broken:
    name = "broken"
"""


@dataclass
class ExampleServer:
    """The example's API over HTTP: open interest of 1000, 1001, … and as many longs as shorts."""

    names: list[dict[str, str]]
    requests: list[tuple[str, list[str]]] = field(default_factory=list)
    status: int = 200
    sent: Callable[[float], list[float | str]] = lambda value: [value]

    def respond(self, target: str) -> Any:
        parts = urlsplit(target)
        path, query = parts.path.removeprefix("/v1/"), parse_qs(parts.query)
        names = query.get("names", [""])[0].split(",")
        self.requests.append((path, names))
        if path == "markets":
            return self.names
        first, last = int(query["from"][0]), int(query["to"][0])
        times = range(first + -first % 900, last + 1, 900)
        value = {"interest": lambda n: self.sent(1000.0 + n), "accounts": lambda _: [60.0, 40.0]}[path]
        return {name: [[t, *value(n)] for n, t in enumerate(times)] for name in names}

    @contextmanager
    def serving(self) -> Iterator[str]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = orjson.dumps(server.respond(self.path))
                self.send_response(server.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        with LoopbackServer(Handler) as loopback:
            yield loopback.url


@dataclass
class Scanned:
    """A world whose open interest and ratios come from the example."""

    world: World
    env: dict[str, str]
    server: ExampleServer
    #: Runs a command of the project: with the installed providers, or without.
    command: Callable[..., subprocess.CompletedProcess[str]]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project."""
        return self.command(*arguments, env=self.env, cwd=self.world.folder)

    def scan(self) -> subprocess.CompletedProcess[str]:
        """Scan the world's window."""
        return self.run("scan", "candles", "--as-of", self.world.window.end.isoformat(), "--json")

    @property
    def feed(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((self.world.folder / "data" / "master_feed.json").read_bytes())
        return found

    def table(self, name: str, *partition: str) -> pd.DataFrame:
        found = Lake(self.world.settings().lake_dir).read([name], *partition)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    folder = tmp_path_factory.mktemp("provider")
    plugins = folder / "plugins"
    install(plugins, "example_provider", CODE, {"quant_assets.providers": "Example"})
    install(plugins, "failing_provider", FAILING, {"quant_assets.providers": "Failing"})
    install(plugins, "leaking_provider", LEAKING, {"quant_assets.providers": "Leaking"})
    install(plugins, "broken_provider", BROKEN, {"quant_assets.providers": "Broken"})
    with small_world(folder, markets=12) as world:
        rows = [listing.row for listing in world.emulator.universe.listings.values()]
        bases = sorted({row.base_asset for row in rows if row.is_perpetual})
        names = [{"name": f"{base}-USDT", "exchange": "Binance", "base": base, "quote": "USDT"} for base in bases]
        server = ExampleServer([*names, {"name": "", "exchange": "Binance", "base": "", "quote": ""}])
        with server.serving() as url:
            path = f"{Path(__file__).parents[2]}:{plugins}"
            env = {**world.environment(), "PYTHONPATH": path, "EXAMPLE_URL": url}
            (folder / "data").mkdir()
            (folder / "data" / "providers.toml").write_text(CHOICE)
            with prepared(env, folder) as process:
                found = Scanned(world, env, server, process.run)
                done = found.scan()
                assert done.returncode == 0, done.stderr
                told = "plugin broken_provider (broken_provider:Broken) is not a provider: it has no label"
                assert told in done.stderr
                yield found


def test_added_provider_is_asked_only_for_its_datasets(scanned: Scanned) -> None:
    paths = {path for path, _ in scanned.server.requests}
    assert paths == {"markets", "interest", "accounts"}
    assert max(len(names) for _, names in scanned.server.requests) == 5
    by_endpoint = scanned.world.emulator.accounting.by_endpoint
    assert {"/open-interest-history", "/long-short-ratio-history"}.isdisjoint(by_endpoint)
    assert {"/funding-rate-history", "/liquidation-history"} <= by_endpoint.keys()


def test_window_tables_and_symbol_map_name_the_provider(scanned: Scanned) -> None:
    for dataset in DATASETS:
        table = scanned.table(dataset, scanned.world.window.key)
        known = table[table["coinalyze_symbol"] != ""]
        provider = "example" if dataset in SERVED else "coinalyze"
        assert set(known["provider"]) == {provider}
        assert known["coinalyze_symbol"].str.startswith("example:").all() == (dataset in SERVED)
        assert set(table.loc[table["coinalyze_symbol"] == "", "provider"]) <= {""}
    interest = scanned.table("open_interest", scanned.world.window.key)
    assert (interest["value"].dropna() > 1000).all()
    assert interest["closed_at_ms"].dropna().eq(scanned.world.window.end_ms).all()
    assert interest["value"].notna().any()
    symbol_map = scanned.table("symbol_map")
    assert symbol_map["open_interest_symbol"].str.startswith("example:").any()
    assert not symbol_map["funding_rate_symbol"].str.contains(":").any()


def test_feed_names_the_provider_of_each_value(scanned: Scanned) -> None:
    signals = scanned.feed["signals"]
    known = [s for s in signals if s["oi_metadata"]["value"] is not None]
    assert known
    assert {s["oi_metadata"]["provider"] for s in known} == {"example"}
    assert {s["oi_metadata"]["coinalyze_symbol"] for s in signals} == {None}
    for dataset, provider in (("long_short_ratio", "example"), ("funding_rate", "coinalyze")):
        blocks = [s["derivatives"][dataset] for s in signals if s["derivatives"][dataset] is not None]
        assert {block["provider"] for block in blocks} == {provider}
    ratios = {s["derivatives"]["long_short_ratio"]["value"] for s in known if s["derivatives"]["long_short_ratio"]}
    assert ratios == {1.5}


def test_second_scan_asks_nothing_again(scanned: Scanned) -> None:
    before = len(scanned.server.requests), scanned.world.emulator.accounting.calls
    done = scanned.scan()
    assert done.returncode == 0, done.stderr
    assert (len(scanned.server.requests), scanned.world.emulator.accounting.calls) == before
    assert orjson.loads(done.stdout)["api"]["calls"] == 0


def test_plan_counts_the_symbols_of_both_providers(scanned: Scanned) -> None:
    done = scanned.run("plan", "candles", "--json", "--simulate", "1h")
    plan = orjson.loads(done.stdout)
    assert all(plan["datasets"][dataset]["symbols"] > 0 for dataset in DATASETS)
    assert "a simulation has the datasets of Example only" in done.stderr
    assert "simulation" not in scanned.run("plan", "candles").stderr


def test_market_list_and_budget_of_the_provider_are_its_own(scanned: Scanned) -> None:
    listed = scanned.table("example_markets")
    assert len(listed) == len(scanned.server.names) - 1  # a row without a base is left out
    assert set(listed["provider"]) == {"loopback"}
    data = scanned.world.folder / "data"
    assert (data / "store" / "example-loopback" / "budget.sqlite").is_file()
    assert orjson.loads((data / "origins.json").read_bytes()) == {"coinalyze": "loopback", "example": "loopback"}


def test_page_names_and_draws_data_of_the_provider(scanned: Scanned) -> None:
    signal = next(s for s in scanned.feed["signals"] if s["oi_metadata"]["value"] is not None)
    path = f"{signal['exchange']}/{quote(signal['symbol'], safe='')}"
    with running("serve", scanned.env, scanned.world.folder) as (_, line):
        origin = next(word for word in line.split() if word.startswith("http"))
        page = requests.get(f"{origin}/detail/{path}", timeout=30).text
        series = requests.get(f"{origin}/api/signals/{path}", timeout=30).json()["open_interest"]
    assert '<a href="https://example.com/" rel="noopener">Example</a>' in page
    assert re.search(r"example:\w+-USDT", page)
    assert (series["provider"], series["coinalyze_symbol"]) == ("example", None)
    assert series["value"][-1] == signal["oi_metadata"]["value"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('open_interest = "nobody"', "open_interest: unknown provider 'nobody'; known are coinalyze, example"),
        ('funding_rate = "example"', "funding_rate: example cannot serve it: funding_rate is not one of open_interest"),
        ('prices = "example"', "prices: unknown key; known are open_interest"),
        ("open_interest = 7", "open_interest: Input should be a valid string"),
    ],
)
def test_invalid_choice_of_providers_is_named_and_changes_nothing(scanned: Scanned, content: str, told: str) -> None:
    path = scanned.world.folder / "data" / "providers.toml"
    feed = scanned.feed
    path.write_text(content)
    done = scanned.scan()
    path.write_text(CHOICE)
    assert done.returncode == 2
    assert f"{path}: {told}" in done.stderr
    assert scanned.feed == feed


def test_other_origin_of_the_provider_is_refused(scanned: Scanned) -> None:
    path = scanned.world.folder / "data" / "origins.json"
    recorded = path.read_bytes()
    path.write_bytes(recorded.replace(b'"example":"loopback"', b'"example":"api.example.com"'))
    done = scanned.scan()
    path.write_bytes(recorded)
    assert done.returncode != 0
    assert "holds data of example from api.example.com, not from a server on this machine" in done.stderr


def test_providers_that_fail_or_cannot_connect_cost_only_their_own_datasets(scanned: Scanned) -> None:
    data = scanned.world.folder / "failing"
    data.mkdir()
    (data / "providers.toml").write_text(CHOICE + 'liquidations = "failing"\n')
    failing = replace(scanned, env={**scanned.env, "QUANT_DATA_DIR": str(data)})
    scanned.server.status = 503
    done = failing.scan()
    scanned.server.status = 200
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((data / "master_feed.json").read_bytes())
    assert {s["oi_metadata"]["value"] for s in feed["signals"]} == {None}
    assert {s["derivatives"]["liquidations"] for s in feed["signals"]} == {None}
    assert any(s["derivatives"]["funding_rate"] for s in feed["signals"])
    assert "market list of Example: GET /markets" in done.stderr
    assert "market list of Failing: failing: RuntimeError: no client" in done.stderr
    assert "there is none yet, so its datasets are neutral" in done.stderr


def test_market_list_whose_request_fails_is_reported_without_its_address(scanned: Scanned) -> None:
    data = scanned.world.folder / "leaking"
    data.mkdir()
    (data / "providers.toml").write_text('liquidations = "leaking"\n')
    done = replace(scanned, env={**scanned.env, "QUANT_DATA_DIR": str(data)}).scan()
    assert done.returncode == 0, done.stderr
    assert "market list of Leaking: leaking: ConnectionError: " in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    written = [path for path in data.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
    assert written == []


@pytest.mark.parametrize(
    ("name", "sent"),
    [("text", lambda value: [str(value)]), *([("missing", lambda _: [])] if LONG else [])],
    ids=["text", *(["no value"] if LONG else [])],
)
def test_bars_that_break_the_code_of_a_provider_cost_only_their_dataset(
    scanned: Scanned, name: str, sent: Callable[[float], list[float | str]]
) -> None:
    data = scanned.world.folder / name
    data.mkdir()
    (data / "providers.toml").write_text(CHOICE)
    breaking = replace(scanned, env={**scanned.env, "QUANT_DATA_DIR": str(data)})
    usual, scanned.server.sent = scanned.server.sent, sent
    done = breaking.scan()
    scanned.server.sent = usual
    assert done.returncode == 0, done.stderr
    feed = orjson.loads((data / "master_feed.json").read_bytes())
    with closing(DerivativesStore(data / "store" / "loopback" / "derivatives.sqlite", read_only=True)) as store:
        report = orjson.loads(store.load_report(scanned.world.window.key) or "")
    assert {s["oi_metadata"]["value"] for s in feed["signals"]} == {None}
    assert any(s["derivatives"]["funding_rate"] for s in feed["signals"]), report
    assert report["datasets"]["open_interest"]["failed"] > 0
    assert report["datasets"]["long_short_ratio"]["fetched"] > 0
    assert any(problem.startswith("open_interest: TypeError: ") for problem in report["problems"])


def test_uninstalled_provider_is_named_and_its_feed_stays_readable(scanned: Scanned) -> None:
    env = {name: value for name, value in scanned.env.items() if name != "PYTHONPATH"}
    given = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    without = replace(scanned, env={**env, **given}, command=run)
    done = without.scan()
    assert done.returncode == 2
    assert "unknown provider 'example'; known are coinalyze" in done.stderr
    (scanned.world.folder / "data" / "providers.toml").unlink()
    done = without.scan()
    (scanned.world.folder / "data" / "providers.toml").write_text(CHOICE)
    assert done.returncode == 0, done.stderr
    known = [s for s in scanned.feed["signals"] if s["oi_metadata"]["value"] is not None]
    assert {s["oi_metadata"]["provider"] for s in known} == {"coinalyze"}
