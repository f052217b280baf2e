"""The asset graph: assets, partitions, policies and metadata."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.common.settings import Settings
from quant_assets.definitions import build_definitions
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.orchestration.columns import lineage, signal_columns
from quant_assets.orchestration.io_managers import DocumentIOManager, TableIOManager
from quant_assets.signals import COLUMNS, discover_strategies

SIGNALS = {"signals/legacy", "signals/breakout", "signals/breakout_v2"}
PARTITIONED = {*DATASETS, "candle_features", "watchlist", "features", *SIGNALS, "track_record", "master_feed"}
EXCHANGES = {"exchange_markets", "exchange_candles"}
UNPARTITIONED = {*EXCHANGES, "candles", "candle_files", "coinalyze_markets", "symbol_map", "trades", "disk_use"}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings(data_dir=tmp_path_factory.mktemp("data")))


def specs(graph: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in graph.resolve_all_asset_specs()}


def test_every_box_of_the_architecture_is_an_asset(graph: dg.Definitions) -> None:
    assert set(specs(graph)) == PARTITIONED | UNPARTITIONED


def test_no_asset_is_stored_as_a_pickle(graph: dg.Definitions) -> None:
    """By default Dagster stores outputs as pickles, which run code when they are read."""
    kept = {
        key.to_user_string(): asset.get_io_manager_key_for_asset_key(key)
        for asset in graph.assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }
    assert set(kept) == PARTITIONED | UNPARTITIONED
    resources = graph.resources or {}
    with dg.build_resources(
        {name: resources[name] for name in ("same_configuration", "run_leases", *kept.values())}
    ) as made:
        types = {type(getattr(made, name)) for name in kept.values()}
    assert types == {TableIOManager, DocumentIOManager}


def test_assets_are_partitioned_by_quarter_hours(graph: dg.Definitions) -> None:
    for name, spec in specs(graph).items():
        if name in UNPARTITIONED:
            assert spec.partitions_def is None
            continue
        assert spec.partitions_def is not None
        assert spec.partitions_def.has_partition_key("2026-01-19-16:45")
        assert not spec.partitions_def.has_partition_key("2026-01-19-16:50")


def test_no_asset_without_windows_depends_on_all_windows(graph: dg.Definitions) -> None:
    """Dagster would look up every window since the first one at each scan."""
    every = specs(graph)
    for name in UNPARTITIONED:
        for dep in every[name].deps:
            if dep.asset_key.to_user_string() in PARTITIONED:
                assert isinstance(dep.partition_mapping, dg.LastPartitionMapping), f"{name} <- {dep.asset_key}"


def test_lineage_leads_from_candles_and_market_list_to_the_feed(graph: dg.Definitions) -> None:
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs(graph).items()}
    assert upstream["symbol_map"] == {"candle_files", "coinalyze_markets"}
    assert upstream["candle_features"] == {"candles"}
    assert upstream["candles"] == {"exchange_candles"}
    assert upstream["exchange_candles"] == {"exchange_markets"}
    assert upstream["watchlist"] == {"candle_features"}
    assert all(upstream[dataset] == {"coinalyze_markets", "symbol_map", "watchlist"} for dataset in DATASETS)
    assert upstream["features"] == {"candle_features", "symbol_map", *DATASETS}
    assert upstream["signals/breakout_v2"] == {"features"}
    assert upstream["trades"] == {"candles", *SIGNALS}
    assert upstream["track_record"] == {"trades"}
    signals = {f"signals/{strategy.key}" for strategy in discover_strategies().strategies}
    assert upstream["master_feed"] >= {"track_record", *signals}


def test_each_freshness_policy_warns_before_it_fails(graph: dg.Definitions) -> None:
    hours = dict.fromkeys(("coinalyze_markets", "symbol_map"), 24.0)
    expected = {**hours, **dict.fromkeys(PARTITIONED, 0.25)}
    policies = {name: spec.freshness_policy for name, spec in specs(graph).items() if spec.freshness_policy}
    assert set(policies) == set(expected)
    for name, policy in policies.items():
        assert policy.fail_window.to_timedelta() == timedelta(hours=expected[name])  # type: ignore[attr-defined]
        assert policy.warn_window.to_timedelta() < policy.fail_window.to_timedelta()  # type: ignore[attr-defined]


def test_signals_have_column_lineage() -> None:
    for strategy in discover_strategies().strategies:
        made_from = lineage(strategy)["dagster/column_lineage"].column_lineage.deps_by_column
        assert set(made_from) == set(signal_columns(strategy)) - {"strategy_name"}
        for column, dependencies in made_from.items():
            assert {dep.column_name for dep in dependencies} <= set(COLUMNS), column
            assert {dep.asset_key.to_user_string() for dep in dependencies} == {"features"}


def test_every_asset_has_description_owner_and_column_schema(graph: dg.Definitions) -> None:
    for name, spec in specs(graph).items():
        assert spec.description, name
        assert len(spec.description) > 60, name
        assert spec.group_name != "default", name
        assert spec.kinds, name
        assert spec.owners, name
        if name not in {"master_feed", "disk_use"}:
            schema = spec.metadata["dagster/column_schema"].schema
            assert len(schema.columns) >= 6, name
            assert all(column.description for column in schema.columns), name


def test_every_stage_has_its_checks(graph: dg.Definitions) -> None:
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.resolve_asset_graph().asset_check_keys}
    assert checks >= {
        ("candles", "files_skipped"),
        ("exchange_markets", "lists_fetched"),
        *(("exchange_candles", check) for check in ("exchanges_answered", "bars_valid", "clock_agrees")),
        ("symbol_map", "every_market_has_a_row"),
        ("symbol_map", "not_half_of_the_last"),
        *(("features", check) for check in ("unusable", "with_open_interest", "finite")),
        ("master_feed", "contract"),
        ("master_feed", "newest_window"),
        *((dataset, check) for dataset in DATASETS for check in ("coverage", "age")),
    }


def test_workspace_loads() -> None:
    root = Path(__file__).parents[2]
    text = (root / "workspace.yaml").read_text()
    assert "quant_assets.definitions" in text
    assert (root / "dagster.yaml").resolve() == (root / "quant_assets" / "defs" / "dagster.yaml").resolve()
