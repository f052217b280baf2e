"""A package that adds a dataset and a strategy that reads it, installed into a folder for `PYTHONPATH`."""

from __future__ import annotations

from pathlib import Path

DATASET = "predicted_funding_rate"
NEUTRAL_POINTS = 50.0

DOCUMENT = Path(__file__).parents[1] / "docs" / "datasets.md"
#: The entry that the documentation shows.
ENTRY = DOCUMENT.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]

#: An entry whose values cannot be computed: amounts that are 0.5 for strategies where unknown.
UNREADABLE = """
from quant_assets.derivatives.dataset_spec import DatasetSpec, Value


def read(spec, store, symbols, window):
    raise RuntimeError("the rates cannot be read")


unreadable = DatasetSpec(
    name="unreadable",
    label="Unreadable",
    description="A dataset whose function fails.",
    endpoint="predicted-funding-rate-history",
    columns=("open", "high", "low", "close"),
    values=(Value("unreadable_level", "A level.", neutral=0.5), Value("unreadable_bars", "A count.", dtype="int64")),
    read=read,
    has_unit=True,
)
"""

STRATEGY = """
from dataclasses import dataclass

from quant_assets.signals import Strategy, Verdict


@dataclass(frozen=True)
class AgainstTheCrowd(Strategy):
    name = "AgainstTheCrowd"
    key = "against_the_crowd"
    description = "Scores markets whose shorts are about to pay."
    strategy_type = "test"
    parts = ("crowd", "level")
    reads = {"crowd": ("extra_predicted_funding_rate_pct",), "level": ("extra_unreadable_level",)}

    def judge(self, features):
        rate = features.extra["predicted_funding_rate_pct"]
        points = 50.0 if rate is None else 50.0 - 100.0 * rate
        level = features.extra["unreadable_level"]
        return Verdict.of("NONE", {"crowd": points, "level": level}, "never", None)


strategy = AgainstTheCrowd()
"""


def install(folder: Path, name: str, code: str, points: dict[str, str]) -> None:
    """Install a module as a distribution in a folder; `points` are entry-point group → object of the module."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    groups = (f"[{group}]\n{name} = {name}:{target}\n" for group, target in points.items())
    (info / "entry_points.txt").write_text("".join(groups))


def install_added_dataset(folder: Path) -> None:
    """Install the dataset `predicted_funding_rate`, one whose function fails, and the strategy that reads both."""
    install(folder, "predicted_funding", ENTRY, {"quant_assets.datasets": DATASET})
    install(folder, "unreadable_rates", UNREADABLE, {"quant_assets.datasets": "unreadable"})
    install(folder, "against_the_crowd", STRATEGY, {"quant_assets.strategies": "strategy"})
