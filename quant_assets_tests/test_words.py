"""Page, terminal and Dagster say what the strategies say, with the parameters in force; an installed strategy too."""

from __future__ import annotations

import html
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.common.settings import Settings
from quant_assets.definitions import build_definitions
from quant_assets_tests.dashboard.serving import Site, serving
from quant_assets_tests.world import World, kept_in_memory

TIDE = """
from dataclasses import dataclass
from typing import Annotated, ClassVar
from quant_assets.signals import Gate, Strategy, Verdict

@dataclass(frozen=True)
class Tide(Strategy):
    name = "Tide"
    key = "tide"
    description = "Waits for the tide."
    strategy_type = "test"
    parts = ("oi_height",)
    max_points: ClassVar = {"oi_height": 12.5}
    reads: ClassVar = {"oi_height": ("htf_rsi", "oi_z")}

    min_metres: Annotated[float, "Metres of water."] = 250.0

    def judge(self, features):
        return Verdict("NONE", 1.0, {"oi_height": 1.0}, "too_low", reason_value=1.5, reason_bound=self.min_metres)

    def explanations(self):
        return {"oi_height": f"One point for {self.min_metres:g} m."}

    def gates(self):
        return {"too_low": Gate("The tide must be at least {limit} high.", self.min_metres, " m")}

strategy = Tide()
"""
PARAMETERS = "[legacy]\nthreshold = 99.5\nstop_atr = 0.875\n[tide]\nmin_metres = 275.5\n"


@dataclass(frozen=True)
class Scanned:
    """A scan with changed parameters and an installed strategy."""

    world: World
    settings: Settings
    plugins: Path

    def write(self, parameters: str) -> None:
        self.settings.strategies_path.write_text(parameters)


@pytest.fixture(scope="module")
def scanned(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    plugins, settings = tmp_path_factory.mktemp("plugins"), world.settings("words")
    info = plugins / "tide-1.0.dist-info"
    info.mkdir()
    (plugins / "tide.py").write_text(TIDE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tide\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quant_assets.strategies]\ntide = tide:strategy\n")
    with pytest.MonkeyPatch.context() as patch, kept_in_memory(world) as kept:
        patch.syspath_prepend(str(plugins))
        settings.data_dir.mkdir()
        found = Scanned(kept, settings, plugins)
        found.write(PARAMETERS)
        kept.scan("words")
        yield found


@pytest.fixture
def parameters(scanned: Scanned) -> Iterator[Scanned]:
    """Lets a test change the parameters."""
    yield scanned
    scanned.write(PARAMETERS)


@pytest.fixture(scope="module")
def site(scanned: Scanned) -> Iterator[Site]:
    with serving(scanned.settings) as served:
        yield served


def opened(site: Site, strategy: str, reason: str) -> str:
    """Return the open row of a signal of the strategy that waits for this reason, as text."""
    waiting = [signal for signal in site.feed["signals"] if signal["strategy_name"] == strategy]
    signal = next(signal for signal in waiting if signal["details"]["reason"] == reason)
    answer = site.get(f"/detail/{signal['exchange']}/{signal['symbol']}", params={"strategy": strategy})
    assert answer.status_code == 200
    return html.unescape(answer.text)


def specs(settings: Settings) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in build_definitions(settings).resolve_all_asset_specs()}


def column(spec: dg.AssetSpec, name: str) -> str:
    described = {each.name: each.description for each in spec.metadata["dagster/column_schema"].schema.columns}
    return described[name] or ""


def test_page_says_the_gate_maxima_and_sentences_of_an_installed_strategy(site: Site) -> None:
    text = opened(site, "Tide", "too_low")
    assert "too low: 1.5 m < 276 m" in text
    assert "The tide must be at least 275.5 m high." in text
    assert ">OI height</th>" in text
    assert "<b>1.0</b> of 12.5</td>" in text
    assert "One point for 275.5 m. <small>RSI on 4h " in text
    assert "too low: 1.5 m < 276 m" in {row["reason"] for row in site.get("/rows").json()["rows"]}


def test_page_says_the_limits_of_a_built_in_strategy_in_force(site: Site) -> None:
    text = opened(site, "Legacy", "score_below_threshold")
    assert "< 99.5.</strong> The score must be at least 99.5." in text


def test_changed_parameter_changes_the_words_of_the_same_feed(parameters: Scanned, site: Site) -> None:
    assert "One point for 275.5 m." in opened(site, "Tide", "too_low")
    parameters.write("[tide]\nmin_metres = 260.25\n")
    text = opened(site, "Tide", "too_low")
    assert "One point for 260.25 m." in text
    assert "The tide must be at least 275.5 m high." in text, "the feed was judged by the earlier limit"


def test_invalid_parameters_are_named_on_the_page_and_in_dagster(parameters: Scanned, site: Site) -> None:
    parameters.write("[tide]\nmin_metres = 'high'\n")
    text = opened(site, "Tide", "too_low")
    assert "One point for 250 m." in text
    assert "strategies.toml: tide.min_metres" in text
    assert str(parameters.settings.data_dir) not in text
    description = specs(parameters.settings)["signals/tide"].description or ""
    assert "These are the default parameters:" in description
    assert "tide.min_metres" in description
    assert "at least 250 m high" in description


def test_dagster_describes_each_strategy_with_the_parameters_in_force(scanned: Scanned) -> None:
    found = specs(scanned.settings)
    assert "The score must be at least 99.5." in (found["signals/legacy"].description or "")
    assert "The stop is 0.875 ATR(14)" in (found["signals/legacy"].description or "")
    tide = found["signals/tide"]
    assert "The tide must be at least 275.5 m high." in (tide.description or "")
    assert "| `min_metres` | 275.5 |  | Metres of water. |" in (tide.description or "")
    assert column(tide, "part_oi_height") == "Points of the score from OI height, at most 12.5. One point for 275.5 m."
    assert column(found["signals/breakout_v2"], "filter_oi_zscore").endswith("must be above 1.5, or unknown.")


def test_dagster_shows_the_rules_that_a_run_used(scanned: Scanned) -> None:
    with scanned.world.opened(scanned.settings.data_dir.name) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["signals", "tide"]))
    assert event is not None
    assert event.asset_materialization is not None
    rules = event.asset_materialization.metadata["rules"]
    assert isinstance(rules, dg.MarkdownMetadataValue)
    assert "The tide must be at least 275.5 m high." in (rules.md_str or "")


def test_terminal_says_why_signals_of_an_installed_strategy_wait(scanned: Scanned) -> None:
    folder = scanned.settings.data_dir
    options = ["--strategy", "Tide", "--max-wait", "0", "--as-of", scanned.world.window.end.isoformat()]
    done = subprocess.run(
        [sys.executable, "-m", "quant_assets", "scan", str(scanned.world.candles), *options],
        env={**scanned.world.environment(folder.name), "PYTHONPATH": str(scanned.plugins), "COLUMNS": "160"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "too low: 1.5 m < 276 m" in done.stdout
    assert "too low (Tide): The tide must be at least 275.5 m high." in done.stdout
