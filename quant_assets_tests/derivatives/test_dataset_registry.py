"""The registry of datasets: which entries of installed packages are accepted, and what costs only itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from quant_assets.derivatives.datasets import BUILT_IN, DATASETS, PROBLEMS, discover_datasets
from quant_assets.derivatives.policy import PolicyError, load_policy
from quant_assets_tests.added_dataset import DATASET, ENTRY, install

Install = Callable[[str], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a module as a package with one dataset."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "entry_of_a_test", raising=False)

    def install_entry(code: str) -> None:
        install(tmp_path, "entry_of_a_test", code, {"quant_assets.datasets": DATASET})

    return install_entry


def problem() -> str:
    found = discover_datasets()
    assert found.entries == BUILT_IN
    (message,) = found.problems
    assert "plugin entry_of_a_test" in message
    return message


def test_built_in_datasets_come_first_in_a_fixed_order() -> None:
    assert DATASETS[:4] == ("open_interest", "funding_rate", "long_short_ratio", "liquidations")
    assert PROBLEMS == ()


def test_valid_entry_follows_the_built_in_ones(installed: Install) -> None:
    installed(ENTRY)
    found = discover_datasets()
    assert found.problems == ()
    assert [spec.name for spec in found.entries] == [*DATASETS, DATASET]


def test_entry_that_the_code_location_does_not_know_is_left_out(installed: Install) -> None:
    installed(ENTRY)
    found = discover_datasets(loaded=DATASETS)
    assert (found.entries, found.problems) == (BUILT_IN, ())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("predicted_funding_rate = DatasetSpec", "predicted_funding_rate = dict", "is not a DatasetSpec but dict"),
        ('name="predicted_funding_rate"', 'name="Predicted Funding"', "has an invalid name"),
        ('name="predicted_funding_rate"', 'name="features"', "has an invalid name"),
        ('name="predicted_funding_rate"', 'name="x; DROP TABLE asked"', "has an invalid name"),
        ('name="predicted_funding_rate"', 'name="liquidations"', "has a name that is taken"),
        ('"predicted-funding-rate-history"', '"no-such-history"', "has an unknown endpoint"),
        ('"high", "low", "close")', '"close")', "has 2 columns, but a bar"),
        ('("open", "high"', '("symbol", "high"', "has invalid columns"),
        ('("open", "high"', '("open", "open"', "has invalid columns"),
        ('Value("predicted_funding_rate_pct"', 'Value("closed_at_ms"', "has invalid values"),
        ('"%")', '"%", dtype="str")', "a dtype of float64 or int64"),
        ("cadence_minutes=30", "cadence_minutes=1", "has an invalid cadence_minutes"),
        ('chart={"value": "close"}', 'chart={"value": "nowhere"}', "has an invalid chart: nowhere"),
        ("cadence_minutes=30", "feed={'value': 'nowhere'}", "has an invalid feed: nowhere"),
        ("cadence_minutes=30", "features={'closed_at_ms': 'oi_closed_at_ms'}", "has features, which only built-in"),
        ("cadence_minutes=30", "is_published=lambda market: market.nothing", "AttributeError"),
        ('label="Predicted funding"', 'label=""', "has an invalid label"),
        ("predicted_funding_rate = ", "raise SystemExit(3)\npredicted_funding_rate = ", "SystemExit: 3"),
    ],
)
def test_invalid_entry_is_reported_and_left_out(installed: Install, old: str, new: str, message: str) -> None:
    assert old in ENTRY
    installed(ENTRY.replace(old, new, 1))
    assert message in problem()


@pytest.mark.parametrize("name", DATASETS)
def test_cadence_of_each_dataset_has_a_key_in_the_policy_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "refresh.toml"
    path.write_text(f"{name}_minutes = 45\n")
    assert load_policy(path).cadence_seconds(name) == 45 * 60
    path.write_text("predicted_minutes = 45\n")
    with pytest.raises(PolicyError, match=f"{name}_minutes"):
        load_policy(path)


def test_entries_say_what_the_documentation_says() -> None:
    document = (Path(__file__).parents[2] / "docs" / "derivatives.md").read_text(encoding="utf-8")
    for spec in BUILT_IN:
        values = ", ".join(f"`{value.name}`" for value in spec.values)
        row = f"| `{spec.name}` | {spec.description} | {values} | {spec.cadence_minutes:g} |"
        assert row in document, f"docs/derivatives.md lacks the row\n{row}"


def test_each_column_of_a_built_in_dataset_is_described() -> None:
    described = pd.DataFrame(
        [(spec.name, value.name, value.description) for spec in BUILT_IN for value in spec.values],
        columns=["dataset", "name", "description"],
    )
    assert not described.duplicated(["dataset", "name"]).any()
    assert described["description"].str.endswith(".").all()
