"""The settings that say where tables, records and the feed are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import Settings, SettingsError

PASSWORD = "p4ssw0rd-of-a-test"


def test_lake_is_in_the_data_folder_unless_a_url_is_set(tmp_path: Path) -> None:
    environment = {"QUANT_DATA_DIR": str(tmp_path)}
    assert Settings.from_environment(environment).lake_place == tmp_path / "lake"
    for url in ("s3://bucket", "s3://bucket/some/prefix", "file:///srv/lake"):
        assert Settings.from_environment({**environment, "QUANT_LAKE_URL": url}).lake_place == url
    assert Settings.from_environment({**environment, "QUANT_LAKE_URL": " "}).lake_url is None


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        (f"s3://key:{PASSWORD}@bucket/prefix", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://bucket/prefix?secret={PASSWORD}", "AWS_ENDPOINT_URL"),
        (f"http://{PASSWORD}/lake", "begins with s3:// or file://"),
        ("lake", "begins with s3:// or file://"),
        ("s3://", "no bucket like s3://bucket/prefix"),
        ("s3://bucket:99/prefix", "no bucket like s3://bucket/prefix"),
        ("s3://[::1/prefix", "is not a URL"),
        ("file://host/folder", "file:///folder"),
        ("file:///", "file:///folder"),
    ],
)
def test_invalid_lake_url_names_the_variable_and_not_the_value(url: str, advice: str) -> None:
    with pytest.raises(SettingsError) as found:
        Settings.from_environment({"QUANT_LAKE_URL": url})
    assert str(found.value).startswith("QUANT_LAKE_URL ")
    assert advice in str(found.value)
    assert PASSWORD not in str(found.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2"])
def test_store_and_budgets_are_in_the_database_if_a_url_is_set(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}://quant:{PASSWORD}@db.example:5433/quant?sslmode=require"
    settings = Settings.from_environment({"QUANT_DATA_DIR": str(tmp_path), "QUANT_DATABASE_URL": url})
    assert settings.store_place == DatabaseServer(url)
    assert settings.budget_path == DatabaseServer(url, "api.coinalyze.net")
    assert settings.exchange_budget_path("BYBIT") == DatabaseServer(url, "bybit-bybit")
    assert str(settings.store_place) == "postgresql://db.example:5433/quant"
    assert PASSWORD not in f"{settings!r} {settings} {settings.model_dump_json()} {settings.store_place!r}"


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://quant:{PASSWORD}@127.0.0.1/quant",
        f"postgresql://quant:{PASSWORD}@/quant",
        f"postgresql://quant:{PASSWORD}@127.0.0.1",
        f"postgresql://quant:{PASSWORD}@127.0.0.1:port/quant",
        f"postgresql://quant:{PASSWORD}@[::1/quant",
        PASSWORD,
    ],
)
def test_invalid_database_url_names_the_variable_and_not_the_value(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^QUANT_DATABASE_URL is not an address like postgresql://") as found:
        Settings.from_environment({"QUANT_DATABASE_URL": url})
    assert PASSWORD not in str(found.value)


def test_budget_folder_is_refused_beside_a_database(tmp_path: Path) -> None:
    environment = {"QUANT_DATABASE_URL": "postgresql://127.0.0.1/quant", "QUANT_BUDGET_DIR": str(tmp_path)}
    with pytest.raises(SettingsError, match=r"^QUANT_DATABASE_URL .*unset QUANT_BUDGET_DIR"):
        Settings.from_environment(environment)


def test_feed_is_a_file_of_the_data_folder_unless_a_url_is_set(tmp_path: Path) -> None:
    environment = {"QUANT_DATA_DIR": str(tmp_path)}
    assert Settings.from_environment(environment).feed_place == tmp_path / "master_feed.json"
    url = "s3://bucket/feeds/master_feed.json"
    assert Settings.from_environment({**environment, "QUANT_FEED_URL": url}).feed_place == url


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/feeds/", f"s3://key:{PASSWORD}@bucket/feed.json"])
def test_invalid_feed_url_names_the_variable(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^QUANT_FEED_URL (has|is)") as found:
        Settings.from_environment({"QUANT_FEED_URL": url})
    assert PASSWORD not in str(found.value)
